"""Faults of the cache of rendered images: they are rendered again, and errors come before that."""

import errno
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import psutil
import pytest
from storage_faults import Failing, run_as_nobody, run_forked

import ordlib
from ordlib.data import rendered_cache
from ordlib.data.rendered_cache import CHECKSUMS, is_intact
from ordlib.experiments.synthetic_data import load_data
from ordlib.synthetic import rendering
from ordlib.synthetic.load import load_data as load_rendered
from ordlib.utils import cache as cache_module
from ordlib.utils.cache import TEMPORARY_PREFIX

ARGUMENTS = ("counting", "val", 64, 3)
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="of POSIX systems")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def rendered():
    """What is to be loaded, without a cache."""
    return rendering.render_many("counting", "val", range(3), 64)


def assert_loaded(rendered):
    data = load_data(*ARGUMENTS)
    images, values, records = rendered
    assert np.array_equal(data.images, images)
    assert np.array_equal(data.values, values)
    assert data.metadata.equals(records)
    return data


def test_load_data_is_that_of_the_package(rendered):
    assert ordlib.load_data is load_data
    data = assert_loaded(rendered)
    assert data.fingerprint == load_rendered(*ARGUMENTS).fingerprint
    assert load_data.__doc__ == load_rendered.__doc__


def files(cache):
    (folder,) = (cache / "rendered").iterdir()
    return folder


def edit(name, change):
    def damage(folder):
        content = bytearray((folder / name).read_bytes())
        (folder / name).write_bytes(change(content))

    return damage


def flip(content):
    content[-100] ^= 1
    return content


def saved(name, change):
    def damage(folder):
        array = change(np.array(np.load(folder / name)))
        (folder / name).unlink()  # Not in the memory map of another test.
        np.save(folder / name, array)

    return damage


def records(change):
    def damage(folder):
        content = change(json.loads((folder / "records.json").read_text()))
        (folder / "records.json").write_text(json.dumps(content))

    return damage


def replaced(name, make):
    def damage(folder):
        (folder / name).unlink()
        make(folder / name)

    return damage


def emptied(folder):
    for path in folder.iterdir():
        path.unlink()


def moved(make):
    def damage(folder):
        folder.rename(folder.parents[2] / "away")
        make(folder)

    return damage


FAULTS = {
    "empty folder": emptied,
    "a file": moved(Path.touch),
    "a pipe": moved(os.mkfifo),
    "a loop": moved(lambda path: path.symlink_to(path.name)),
    "a dangling link": moved(lambda path: path.symlink_to("nowhere")),
    "no images": lambda folder: (folder / "images.npy").unlink(),
    "no values": lambda folder: (folder / "values.npy").unlink(),
    "no records": lambda folder: (folder / "records.json").unlink(),
    "images empty": edit("images.npy", lambda content: b""),
    "images truncated": edit("images.npy", lambda content: content[:-1]),
    "images of zeros": edit("images.npy", lambda content: bytes(len(content))),
    "flipped bit in an image": edit("images.npy", flip),
    "flipped bit in the header": edit("images.npy", lambda c: c[:20] + b"\x04" + c[21:]),
    "values truncated": edit("values.npy", lambda content: content[:-4]),
    "records truncated": edit("records.json", lambda content: content[:-4]),
    "records are a list": records(lambda content: [1]),
    "records are empty": records(lambda content: {}),
    "a column too short": records(lambda content: content | {"seed": [1]}),
    "a number for a column": records(lambda content: content | {"seed": 1}),
    "another number of images": saved("images.npy", lambda x: x[:2]),
    "another size": saved("images.npy", lambda x: x[:, :32]),
    "another type": saved("images.npy", lambda x: x.astype(np.float32)),
    "values as integers": saved("values.npy", lambda x: x.astype(int)),
    "NaN": saved("values.npy", lambda x: np.full_like(x, np.nan)),
    "images in a folder": replaced("images.npy", Path.mkdir),
    "images in a pipe": replaced("images.npy", os.mkfifo),
    "records in a pipe": replaced("records.json", os.mkfifo),
    "checksums are no JSON": edit(CHECKSUMS, lambda content: b"{"),
    "other checksums": edit(CHECKSUMS, lambda content: b"{}"),
}


@pytest.mark.parametrize("damage", FAULTS.values(), ids=FAULTS)
def test_damaged_split_is_rendered_again(cache, rendered, damage, monkeypatch):
    assert_loaded(rendered)
    damage(files(cache))
    assert_loaded(rendered)
    assert not list((cache / "rendered").glob(f"{TEMPORARY_PREFIX}*"))
    monkeypatch.setattr(rendering, "render_many", None)
    assert_loaded(rendered)


# Without checksums, as earlier versions wrote them; values in the right shape cannot be doubted.
SHAPELY = ("flipped bit in an image", "checksums are no JSON", "other checksums")


@pytest.mark.parametrize("name", sorted(FAULTS.keys() - set(SHAPELY)))
def test_damaged_split_without_checksums_is_rendered_again(cache, rendered, name):
    load_rendered(*ARGUMENTS)
    FAULTS[name](files(cache))
    assert_loaded(rendered)


def test_split_of_an_earlier_version_is_read(cache, rendered, monkeypatch):
    load_rendered(*ARGUMENTS)
    monkeypatch.setattr(rendering, "render_many", None)
    assert_loaded(rendered)
    assert (files(cache) / CHECKSUMS).exists()


def test_intact_files_are_hashed_once(cache, rendered, monkeypatch):
    assert_loaded(rendered)
    hashes = Mock(wraps=rendered_cache._checksums)
    monkeypatch.setattr(rendered_cache, "_checksums", hashes)
    for _ in range(3):
        assert_loaded(rendered)
    assert hashes.call_count <= 1


# Nothing is rendered in vain.


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to(path.name)])
@pytest.mark.parametrize("name", ["", "rendered"])
def test_cache_that_is_no_folder_is_named_before_rendering(cache, monkeypatch, make, name):
    if name:
        cache.mkdir()
    make(cache / name if name else cache)
    monkeypatch.setattr(rendering, "render_many", None)
    with pytest.raises(OSError, match=r"cache cannot be written .*; set ORDLIB_CACHE to a folder"):
        load_data(*ARGUMENTS)


@pytest.mark.parametrize("error", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT])
def test_cache_that_cannot_be_written_is_named_before_rendering(cache, monkeypatch, error):
    monkeypatch.setattr(rendering, "render_many", None)
    with (
        Failing(error, 0, "tempfile.TemporaryFile"),
        pytest.raises(OSError, match=r"cache cannot be written .*; set ORDLIB_CACHE"),
    ):
        load_data(*ARGUMENTS)


def test_too_little_space_is_named_before_rendering(cache, monkeypatch):
    monkeypatch.setattr(rendering, "render_many", None)
    usage = Mock(return_value=Mock(free=3 * 64 * 64 * 3 - 1))
    monkeypatch.setattr(cache_module.shutil, "disk_usage", usage)
    with pytest.raises(
        OSError, match=r"No space left on device\); set ORDLIB_CACHE .*ordlib cache"
    ):
        load_data(*ARGUMENTS)


def test_read_only_cache_is_read(public_folder, rendered, monkeypatch):
    cache = public_folder / "cache"
    monkeypatch.setenv("ORDLIB_CACHE", str(cache))
    assert_loaded(rendered)
    assert_loaded(rendered)
    assert run_as_nobody(lambda: len(assert_loaded(rendered))) == "3"
    (files(cache) / "values.npy").write_bytes(b"")
    message = run_as_nobody(lambda: load_data(*ARGUMENTS))
    assert message.startswith("OSError: ")
    assert "is damaged and cannot be deleted (Permission denied)" in message
    assert "set ORDLIB_CACHE to another folder" in message


@pytest.mark.parametrize("at", range(5))
def test_every_call_of_a_write_may_fail(cache, rendered, at):
    names = ("tempfile.mkdtemp", "os.fsync", "os.replace")
    with (
        Failing(errno.ENOSPC, at, *names) as failing,
        pytest.raises(
            OSError, match=r"the cache cannot be written \(No space left on device\); set"
        ),
    ):
        load_data(*ARGUMENTS)
    assert len(failing.calls) >= at + 1
    assert list((cache / "rendered").iterdir()) == []
    assert_loaded(rendered)


@pytest.mark.parametrize("limit", [100, 5000, 36_900])
def test_limit_of_file_sizes_is_named(cache, rendered, limit):
    """As with a quota; of the last bytes, numpy notices nothing."""

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        return load_data(*ARGUMENTS)

    message = run_forked(limited)
    assert "the cache cannot be written" in message
    assert "ORDLIB_CACHE" in message
    assert list((cache / "rendered").iterdir()) == []
    assert_loaded(rendered)


def test_image_file_without_its_last_bytes_is_named(cache):
    """Numpy does not notice that the disk had no room for them."""
    arguments = ("counting", "val", 65, 3)
    size = 128 + 3 * 65 * 65 * 3

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - 500, size - 500))
        return load_data(*arguments)

    assert "the cache cannot be written; free space with `ordlib cache`" in run_forked(limited)
    assert list((cache / "rendered").iterdir()) == []
    assert load_data(*arguments).images.shape == (3, 65, 65, 3)


@pytest.mark.parametrize("arguments", [
    ("counting", "val", 64, 0), ("cooking", "val"), ("counting", "none"), ("counting", "val", 63),
    ("counting", "pretrain"), ("counting", "val", 64, -3), ("dating", "distractors"),
])  # fmt: skip
def test_invalid_arguments_raise_as_before(arguments):
    with pytest.raises(ValueError, match="=") as expected:
        load_rendered(*arguments)
    with pytest.raises(ValueError, match="=") as found:
        load_data(*arguments)
    assert str(found.value) == str(expected.value)


def test_is_intact_ignores_other_files(cache):
    load_data(*ARGUMENTS)
    (files(cache) / "notes.txt").write_text("mine")
    assert is_intact(files(cache), 3, 64)
    assert not is_intact(files(cache), 4, 64)


RENDERER = """
from ordlib import load_data
load_data("ageing", "train", 224, num_workers=2)
"""


@pytest.mark.slow
def test_workers_end_with_a_killed_process(cache):
    process = subprocess.Popen([sys.executable, "-c", RENDERER])
    deadline = time.monotonic() + 120
    workers = []
    while len([w for w in workers if "loky" in " ".join(w.cmdline())]) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)
        workers = psutil.Process(process.pid).children(recursive=True)
    time.sleep(3)  # They are at work.
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=30)
    for worker in alive:
        worker.kill()
    assert alive == []
    assert load_data(*ARGUMENTS).images.shape == (3, 64, 64, 3)
    assert not list((cache / "rendered").glob(f"{TEMPORARY_PREFIX}*"))

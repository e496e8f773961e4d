import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from ordlib.data import image_index
from ordlib.data.image_index import content_hashes, inspect_images
from ordlib.data.image_io import ImageReport, inspect_image
from ordlib.utils import cache as cache_module
from ordlib.utils.cache_entries import INDEX_NAME


@pytest.fixture
def settled(monkeypatch):
    """As if the files were written two seconds ago."""
    monkeypatch.setattr(cache_module, "TIME_STEP_NS", -(10**12))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    return paths


@pytest.fixture
def inspect(monkeypatch):
    spy = Mock(wraps=inspect_image)
    monkeypatch.setattr(image_index, "inspect_image", spy)
    return spy


def test_content_hashes_depend_on_content_alone(files, tmp_path):
    hashes = content_hashes(files)
    assert len(set(hashes)) == 4
    copy = shutil.copy(files[0], tmp_path / "copy.png")
    assert content_hashes([copy, files[1]]) == hashes[:2]


def test_content_hashes_notice_an_edit_that_keeps_size_and_modification_time(files):
    first, status = content_hashes(files)[0], os.stat(files[0])
    content = bytearray(files[0].read_bytes())
    content[-20] ^= 1
    files[0].write_bytes(content)
    os.utime(files[0], ns=(status.st_atime_ns, status.st_mtime_ns))
    assert content_hashes(files)[0] != first


def test_content_hashes_read_each_file_once(files, monkeypatch, settled):
    first = content_hashes(files)
    monkeypatch.setattr(image_index, "_hash_file", None)
    assert content_hashes(files[::-1]) == first[::-1]


def test_content_hashes_notice_a_change_within_one_step_of_the_clock(files, monkeypatch):
    """Size, times and inode stay what they are: on some disks, times have steps of seconds."""
    signatures = {file: image_index.file_signature(file) for file in files}
    monkeypatch.setattr(image_index, "file_signature", signatures.__getitem__)
    first = content_hashes(files)
    content = bytearray(files[0].read_bytes())
    content[-20] ^= 1
    files[0].write_bytes(content)
    assert content_hashes(files)[0] != first[0]
    assert inspect_images(files[:1])[0].error


@pytest.mark.parametrize("mtime", [0, 2**31, -1])
def test_content_hashes_of_files_with_odd_times(files, monkeypatch, settled, mtime):
    for file in files:
        os.utime(file, (mtime, mtime))
    first = content_hashes(files)
    monkeypatch.setattr(image_index, "_hash_file", None)
    assert content_hashes(files) == first


def test_clock_that_went_back_keeps_nothing(files, monkeypatch):
    first = content_hashes(files)
    monkeypatch.setattr(cache_module.time, "time_ns", lambda: 10**9)
    read = Mock(wraps=image_index._hash_file)
    monkeypatch.setattr(image_index, "_hash_file", read)
    assert content_hashes(files) == content_hashes(files) == first
    assert read.call_count == 8


def test_inspect_images_decodes_each_content_once(files, inspect, tmp_path):
    assert inspect_images(files) == [ImageReport()] * 4
    assert inspect.call_count == 4
    moved = [path.rename(tmp_path / f"moved-{path.name}") for path in files]
    assert inspect_images(moved) == [ImageReport()] * 4
    assert inspect.call_count == 4


def test_inspect_images_inspects_invalid_and_deep_images_again(files, inspect):
    files[0].write_bytes(files[0].read_bytes()[:80])
    Image.fromarray(np.full((8, 8), 3000, np.uint16)).save(files[1])
    for count in (4, 6):
        reports = inspect_images(files)
        assert "cannot be decoded" in reports[0].error
        assert reports[1:] == [ImageReport(None, 0, 3000), ImageReport(), ImageReport()]
        assert inspect.call_count == count
    assert "bit_depth=10" in inspect_images(files, bit_depth=10)[1].error
    for bit_depth in (12, 16):
        assert inspect_images(files, bit_depth=bit_depth)[1].bit_depth == bit_depth
    assert inspect_images(files)[1].bit_depth == 0


def test_inspect_images_keeps_what_is_done_when_interrupted(files, monkeypatch):
    def interrupted(file, **_):
        if file == files[2]:
            raise KeyboardInterrupt
        return ImageReport()

    monkeypatch.setattr(image_index, "inspect_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        inspect_images(files)
    spy = Mock(wraps=inspect_image)
    monkeypatch.setattr(image_index, "inspect_image", spy)
    inspect_images(files)
    assert {call.args[0] for call in spy.call_args_list} == set(files[2:])


def other_tables(index):
    index.unlink()
    with closing(sqlite3.connect(index)) as database, database:
        database.execute("CREATE TABLE files (name TEXT)")
        database.execute("CREATE TABLE images (name TEXT)")


def replaced(make):
    def replace(index):
        index.unlink()
        make(index)

    return replace


def flip_bytes(index):
    content = bytearray(index.read_bytes())
    content[4000:8200] = bytes(x ^ 255 for x in content[4000:8200])
    index.write_bytes(content)


def loop(index):
    index.symlink_to(index.name)


HEALING = {
    "no database": lambda index: index.write_bytes(b"no database" * 100),
    "empty": lambda index: index.write_bytes(b""),
    "zeros": lambda index: index.write_bytes(bytes(index.stat().st_size)),
    "other tables": other_tables,
    "truncated": lambda index: os.truncate(index, index.stat().st_size // 2),
    "flipped bytes": flip_bytes,
}


@pytest.mark.parametrize("damage", HEALING.values(), ids=HEALING)
def test_damaged_index_heals(files, cache, damage, monkeypatch, settled):
    reports, hashes = inspect_images(files), content_hashes(files)
    damage(cache / INDEX_NAME)
    for _ in range(2):
        assert (inspect_images(files), content_hashes(files)) == (reports, hashes)
    monkeypatch.setattr(image_index, "_hash_file", None)
    monkeypatch.setattr(image_index, "inspect_image", None)
    assert (inspect_images(files), content_hashes(files)) == (reports, hashes)


USELESS = {
    "read-only": lambda index: (index.chmod(0o400), index.parent.chmod(0o500)),
    "no cache": lambda index: (shutil.rmtree(index.parent), index.parent.touch()),
    "folder": replaced(Path.mkdir),
    "loop": replaced(loop),
    "pipe": replaced(lambda index: os.mkfifo(index)),
    "device": replaced(lambda index: index.symlink_to("/dev/zero")),
    "not readable": lambda index: index.chmod(0),
}


@pytest.mark.parametrize("damage", USELESS.values(), ids=USELESS)
def test_index_that_cannot_be_used_costs_time_only(files, cache, damage):
    reports, hashes = inspect_images(files), content_hashes(files)
    damage(cache / INDEX_NAME)
    try:
        for _ in range(2):
            assert (inspect_images(files), content_hashes(files)) == (reports, hashes)
    finally:
        if cache.is_file():
            cache.unlink()
        cache.mkdir(exist_ok=True)
        cache.chmod(0o700)


def test_full_disk_leaves_the_index_as_it_is(files, cache, monkeypatch):
    def full(*_, **__):
        raise sqlite3.OperationalError("database or disk is full")

    reports = inspect_images(files)
    content = (cache / INDEX_NAME).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", full)
        assert inspect_images(files) == reports
    assert (cache / INDEX_NAME).read_bytes() == content


def test_content_hashes_names_an_unreadable_file(files):
    files[1].unlink()
    with pytest.raises(OSError, match=r"1\.png"):
        content_hashes(files)

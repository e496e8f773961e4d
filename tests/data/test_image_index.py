import os
import shutil
import sqlite3
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from ordlib.data import image_index
from ordlib.data.image_index import content_hashes, inspect_images
from ordlib.data.image_io import ImageReport, inspect_image
from ordlib.utils.cache_entries import INDEX_NAME


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


def test_content_hashes_read_each_file_once(files, monkeypatch):
    first = content_hashes(files)
    monkeypatch.setattr(image_index, "_hash_file", None)
    assert content_hashes(files[::-1]) == first[::-1]


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


@pytest.mark.parametrize("damage", ["damaged", "read-only", "not writable"])
def test_index_that_cannot_be_used_costs_time_only(files, cache, damage, monkeypatch):
    reports, hashes = inspect_images(files), content_hashes(files)
    index = cache / INDEX_NAME
    if damage == "damaged":
        index.write_bytes(b"no database" * 100)
    elif damage == "read-only":
        index.chmod(0o400)
        cache.chmod(0o500)
    else:
        shutil.rmtree(cache)
        connect = sqlite3.connect
        monkeypatch.setattr(
            sqlite3, "connect", lambda path, **options: connect(cache / "no" / "db", **options)
        )
    try:
        for _ in range(2):
            assert (inspect_images(files), content_hashes(files)) == (reports, hashes)
        if damage == "damaged":
            monkeypatch.setattr(image_index, "_hash_file", None)
            assert content_hashes(files) == hashes
    finally:
        cache.mkdir(exist_ok=True)
        cache.chmod(0o700)


def test_content_hashes_names_an_unreadable_file(files):
    files[1].unlink()
    with pytest.raises(OSError, match=r"1\.png"):
        content_hashes(files)

"""Cache folders with the files of others, damaged notes and odd times: shown, and left alone."""

import os
from pathlib import Path

import pytest
from commands import run

from ordlib.utils.cache import cache_dir
from ordlib.utils.cache_entries import DESCRIPTION_NAME, cache_entries, prune_cache

STORE = "features/features-0123456789abcdef"
OWN = [
    "datasets/photo-folder-1", "datasets/sign-digits-0123456789ab", "hashes/0123456789abcdef",
    "pool/96-0123456789abcdef", "rendered/dating-val-60-96-34875e83c1c98a53",
    "rendered/counting-distractors-60-96-34875e83c1c98a53",
]  # fmt: skip
OTHERS = [
    "datasets/imagenet", "datasets/photo-folder-holiday", "hashes/md5.txt", "pool/images",
    "rendered/film.mp4", "features/mine", "rendered/2026-11-30", "datasets/.git", "photos",
]  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "cache" / STORE).mkdir(parents=True)
    (tmp_path / "cache" / STORE / "a.npy").write_bytes(b"0" * 100)
    return tmp_path / "cache"


@pytest.mark.parametrize("name", OWN)
def test_own_folders_are_deleted(cache, name):
    (cache / name).mkdir(parents=True)
    (cache / name / "file").write_text("x")
    assert len(prune_cache(max_bytes=0)) == 2
    assert not (cache / name).exists()


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("name", OTHERS)
def test_folders_of_others_are_left_alone(cache, tmp_path, name, linked):
    """ORDLIB_CACHE may be a home folder or a disk, with a folder ``datasets`` of its own."""
    parent, _, last = name.rpartition("/")
    if linked and parent not in ("", "features"):
        (tmp_path / "disk").mkdir()
        (cache / parent).symlink_to(tmp_path / "disk")
    (cache / name).mkdir(parents=True)
    (cache / name / "precious").write_text("x")
    assert len(prune_cache(older_than_days=0, max_bytes=0)) == 1
    assert (cache / parent / last / "precious").read_text() == "x"


def test_a_link_in_the_place_of_an_entry_is_deleted_alone(cache, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    (cache / "datasets").mkdir()
    (cache / OWN[0]).symlink_to(tmp_path / "precious")
    prune_cache(older_than_days=0)
    assert not os.path.lexists(cache / OWN[0])
    assert (tmp_path / "precious" / "file").exists()


NOTES = {
    "bytes": lambda path: path.write_bytes(b"\xff\xfe"), "empty": lambda path: path.touch(),
    "folder": lambda path: path.mkdir(), "pipe": os.mkfifo,
    "link to itself": lambda path: path.symlink_to(path.name),
    "link elsewhere": lambda path: path.symlink_to(cache_dir().parent / "secret"),
}  # fmt: skip


@pytest.mark.parametrize("make", NOTES.values(), ids=NOTES)
def test_damaged_notes_do_not_hide_the_cache(cache, make):
    (cache.parent / "secret").write_text("secret")
    make(cache / STORE / DESCRIPTION_NAME)
    assert {entry.kind for entry in cache_entries()} == {"features"}
    assert run("cache", "--max-size", "0").exit_code == 0
    assert not (cache / STORE / "a.npy").exists()


def test_a_note_of_many_lines_is_one(cache):
    (cache / STORE / DESCRIPTION_NAME).write_text("a\x1b[31m\nb" * 1000)
    *_, line = run("cache").output.splitlines()
    assert line.endswith("b")
    assert len(line) < 1000
    assert "\x1b" not in line


@pytest.mark.parametrize("seconds", [4e9, 1e11, -1e9, 0])
def test_times_of_a_wrong_clock(cache, seconds):
    for path in (cache / STORE / "a.npy", cache / STORE):
        try:
            os.utime(path, (seconds, seconds))
        except (OSError, OverflowError):
            pytest.skip("the disk does not record such times")
    assert "features" in run("cache").output
    is_old = seconds < 1e9
    assert len(prune_cache(older_than_days=1)) == is_old


@pytest.mark.parametrize("words", [
    ["--older-than", "inf"], ["--older-than", "1e300"], ["--max-size", "inf"],
    ["--max-size", "1e308"],
])  # fmt: skip
def test_limits_above_everything_delete_nothing(cache, words):
    assert "deleted 0 entries" in run("cache", *words).output


@pytest.mark.parametrize("name", ["features", "pool", "datasets", "images.sqlite"])
@pytest.mark.parametrize("kind", ["file", "link to itself"])
def test_files_in_the_place_of_folders(monkeypatch, tmp_path, name, kind):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "other"))
    (tmp_path / "other").mkdir()
    path: Path = tmp_path / "other" / name
    path.write_text("x") if kind == "file" else path.symlink_to(name)
    assert run("cache", "--older-than", "1").exit_code == 0
    assert os.path.lexists(path)

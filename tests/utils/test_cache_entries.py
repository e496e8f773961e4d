import os
import subprocess
import sys
import time

import numpy as np
import pytest

from ordlib.clip.feature_store import FeatureStore
from ordlib.utils import cache_entries as cache_module
from ordlib.utils.cache import TEMPORARY_PREFIX
from ordlib.utils.cache_entries import cache_entries, prune_cache, summarize

DAY = 24 * 3600
SPLIT = "rendered/dating-val-60-96-0123456789abcdef"
STORE = "features/features-0123456789abcdef"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Two shards of features of 400 bytes and more, used 40 and 3 days ago; a rendered split."""
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path))
    store = FeatureStore(tmp_path / STORE, "features of a CLIP")
    for days in (40, 3):
        before = set(tmp_path.rglob("*.*"))
        store.add([f"{days} days"], np.zeros((1, 100), np.float32))
        for file in set(tmp_path.rglob("*.*")) - before:
            os.utime(file, (time.time() - days * DAY,) * 2)
    (tmp_path / SPLIT).mkdir(parents=True)
    (tmp_path / SPLIT / "images.npy").write_bytes(b"0" * 3000)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "01.json").write_text("{}")
    os.utime(tmp_path / "results" / "01.json", (0, 0))
    return tmp_path


def test_cache_entries_lists_what_belongs_together_by_last_use(cache):
    entries = cache_entries()
    kinds = ["features of a CLIP", "features of a CLIP", "rendered"]
    assert [entry.kind for entry in entries] == kinds
    assert [len(entry.files) for entry in entries] == [2, 2, 1]
    assert entries[2].size == 3000
    assert 400 < entries[0].size < 1000
    assert "      2       0.0" in summarize(entries)


def test_reading_a_shard_counts_as_use(cache):
    FeatureStore(cache / STORE)
    assert all(entry.last_used > time.time() - DAY for entry in cache_entries())


def test_prune_cache_deletes_by_age(cache):
    assert prune_cache(older_than_days=50) == []
    (deleted,) = prune_cache(older_than_days=30)
    assert not any(file.exists() for file in deleted.files)
    store = FeatureStore(cache / STORE)
    assert ("40 days" in store, "3 days" in store) == (False, True)
    assert len(prune_cache(older_than_days=0)) == 2
    assert list((cache / "features").iterdir()) == []
    assert (cache / "results" / "01.json").exists()


def test_prune_cache_deletes_what_was_used_longest_ago_down_to_a_size(cache):
    total = sum(entry.size for entry in cache_entries())
    assert prune_cache(max_bytes=total) == []
    assert [entry.kind for entry in prune_cache(max_bytes=total - 1)] == ["features of a CLIP"]
    assert len(cache_entries()) == 2
    assert len(prune_cache(max_bytes=3000)) == 1
    assert [entry.kind for entry in cache_entries()] == ["rendered"]


def test_prune_cache_deletes_remains_of_an_interrupted_write(cache):
    array = cache / STORE / "lonely.npy"
    array.write_bytes(b"half")
    os.utime(array, (0, 0))
    (deleted,) = prune_cache(older_than_days=100)
    assert deleted.files == (array,)


@pytest.mark.parametrize("folder", ["rendered", STORE])
def test_prune_cache_leaves_what_is_being_written(cache, folder):
    written = cache / folder / f"{TEMPORARY_PREFIX}abc"
    written.mkdir()
    (written / "images.npy").write_bytes(b"half")
    prune_cache(max_bytes=0)
    assert [path.name for path in (cache / folder).iterdir() if path.is_dir()] == [written.name]
    os.utime(written / "images.npy", (time.time() - 2 * DAY,) * 2)
    assert [entry.files for entry in prune_cache(max_bytes=0)] == [(written,)]


def test_prune_cache_waits_for_another_process(cache, monkeypatch):
    monkeypatch.setattr(cache_module, "LOCK_SECONDS", 0.1)
    code = "from filelock import FileLock\nimport sys, time\nwith FileLock(sys.argv[1]):\n"
    code += "    print('locked', flush=True)\n    sys.stdin.read()"
    lock = str(cache / ".prune.lock")
    with subprocess.Popen(
        [sys.executable, "-c", code, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline().strip() == b"locked"
        with pytest.raises(TimeoutError):
            prune_cache(max_bytes=0)
        other.communicate()
        assert len(prune_cache(max_bytes=0)) == 3


@pytest.mark.parametrize("limits", [{"older_than_days": -1}, {"max_bytes": float("nan")}])
def test_prune_cache_rejects_invalid_limits(cache, limits):
    with pytest.raises(ValueError, match="must be 0 or more"):
        prune_cache(**limits)


def test_prune_cache_without_a_cache_does_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "none"))
    assert prune_cache(older_than_days=0) == cache_entries() == []
    assert not (tmp_path / "none").exists()


def test_prune_cache_leaves_other_files_alone(cache):
    others = [cache / name for name in ("photos/a.jpg", "features/mine/b.npy", "c.sqlite", "d")]
    for file in others:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    assert len(prune_cache(max_bytes=0)) == 3
    assert all(file.exists() for file in others)

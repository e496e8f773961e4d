import errno
import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ordlib.course.notebook import ResultsLog
from ordlib.utils.cache import atomic_write, cache_dir, content_hash


def test_cache_dir_follows_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.delenv("ORDLIB_CACHE")
    assert cache_dir() == Path.home() / ".cache" / "ordlib"
    monkeypatch.setenv("ORDLIB_CACHE", "~/mine")
    assert cache_dir() == Path.home() / "mine"


def test_atomic_write_keeps_target_until_block_succeeds(tmp_path):
    target = tmp_path / "deep" / "a.txt"
    with atomic_write(target) as temporary:
        temporary.write_text("old")
        assert not target.exists()
    with pytest.raises(RuntimeError), atomic_write(target) as temporary:
        raise RuntimeError(temporary.write_text("half"))
    assert target.read_text() == "old"
    assert [p.name for p in target.parent.iterdir()] == ["a.txt"]


def test_atomic_write_concurrent_writers_leave_one_complete_folder(tmp_path):
    target = tmp_path / "split"

    def write(_):
        with atomic_write(target) as temporary:
            temporary.mkdir()
            (temporary / "a").write_text("x" * 10_000)
            (temporary / "b").write_text("y")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    assert sorted(p.name for p in target.iterdir()) == ["a", "b"]
    assert [p.name for p in tmp_path.iterdir()] == ["split"]


def test_content_hash_depends_on_content_and_boundaries(tmp_path):
    file = tmp_path / "f"
    file.write_text("ab")
    assert content_hash(file) == content_hash(b"ab")
    assert content_hash("a", "b") != content_hash("ab")
    naive = hashlib.sha256((2).to_bytes(8, "little") + b"ab").hexdigest()[:16]
    assert content_hash("ab") == naive


@pytest.fixture
def read_only(monkeypatch):
    """Nothing can be written below /cache; root could, whatever the permissions are."""
    monkeypatch.setenv("ORDLIB_CACHE", "/cache")
    mkdir = Path.mkdir

    def refuse(path, *args, **options):
        if str(path).startswith("/cache"):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        mkdir(path, *args, **options)

    monkeypatch.setattr(Path, "mkdir", refuse)


def test_atomic_write_to_a_read_only_cache_names_the_remedy(read_only):
    message = (
        r"the cache cannot be written \(Read-only file system\); set ORDLIB_CACHE .*'/cache/a'"
    )
    with pytest.raises(PermissionError, match=message), atomic_write("/cache/a/b"):
        pass


def test_results_of_a_read_only_cache_go_to_temporary_files(read_only, tmp_path, monkeypatch):
    monkeypatch.delenv("ORDLIB_RESULTS", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    results = ResultsLog("demo")
    results["mae"] = 1
    results.save()
    assert (tmp_path / "ordlib-results" / "demo.json").read_text() == '{\n  "mae": 1\n}\n'
    monkeypatch.setenv("ORDLIB_RESULTS", "/cache/results")
    with pytest.raises(PermissionError):
        results.save()

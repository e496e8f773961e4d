"""SharedFolder: who is last, which runs do not mix, and that nothing is left."""

import os
import signal
import time
from pathlib import Path

import pytest
from typer import Exit

from ordlib.utils import shared_folder as module
from ordlib.utils.shared_folder import LOCK, RUN, SharedFolder, share_work

CHUNK = f"0000-of-0001-000000-{0:016}.npz"
pytestmark = pytest.mark.skipif(os.name == "nt", reason="no file locks")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out.csv.chunks"


def set_processes(monkeypatch, rank, world_size):
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv("WORLD_SIZE", str(world_size))
    monkeypatch.setattr(module.warnings, "simplefilter", lambda kind: None)
    monkeypatch.setenv("TQDM_DISABLE", "")


def test_is_last_is_true_for_one_process(path):
    with SharedFolder(path) as one, SharedFolder(path) as two, SharedFolder(path) as three:
        assert not one.is_last()
        assert not two.is_last()
        assert three.is_last()


def test_is_last_after_another_process_was_killed(path):
    with SharedFolder(path) as one:
        pid = os.fork()
        if not pid:
            try:
                os.close(one._file.fileno())  # A copy of the parent's lock.
                SharedFolder(path).__enter__()
                os.kill(os.getpid(), signal.SIGKILL)
            finally:
                os._exit(70)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        assert one.is_last()


def test_folder_is_deleted_unless_it_holds_results(path):
    with SharedFolder(path) as one:
        one.claim({"model": "a"})
    assert not path.exists()
    with SharedFolder(path):
        (path / CHUNK).touch()
    assert (path / CHUNK).exists()
    with SharedFolder(path) as one:
        assert one.is_last()
        one.delete()
    assert not path.exists()


def test_delete_keeps_files_of_others(path):
    path.mkdir()
    (path / "mine.txt").touch()
    with SharedFolder(path) as one:
        (path / CHUNK).touch()
        assert one.is_last()
        one.delete()
    assert [p.name for p in path.iterdir()] == ["mine.txt"]


def test_a_folder_deleted_while_waiting_is_made_again(path, monkeypatch):
    """The last process of an earlier run deletes the folder before this one has its lock."""
    lock, calls = SharedFolder._lock, []

    def deleting(self, alone):
        calls.append(alone)
        if len(calls) == 1:
            (path / LOCK).unlink()
            path.rmdir()
        return lock(self, alone)

    monkeypatch.setattr(SharedFolder, "_lock", deleting)
    with SharedFolder(path) as one:
        assert (path / LOCK).exists()
        assert one._is_current()


def test_claim_refuses_another_run_at_the_same_time(path):
    with SharedFolder(path) as one, SharedFolder(path) as two, SharedFolder(path) as three:
        one.claim({"model": "a", "task": "t"})
        two.claim({"model": "a", "task": "t"})
        with pytest.raises(ValueError, match=f"{path}: a process with another model is at work"):
            three.claim({"model": "b", "task": "t"})
    # Nobody is at work, but a killed process has left its claim.
    path.mkdir(exist_ok=True)
    (path / RUN).write_text('{"model": "a"}')
    with SharedFolder(path) as one:
        one.claim({"model": "b"})


def test_share_work_without_processes_shares_nothing(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with share_work(None, csv=Path("out.csv")) as (shared, processes):
        assert shared is None
        assert processes == {"rank": 0, "world_size": 1}


def test_share_work_is_beside_the_first_output(monkeypatch, path):
    set_processes(monkeypatch, 1, 3)
    with share_work(None, csv=Path("-"), json=path.with_name("out.csv")) as (shared, processes):
        assert shared.path == path
        assert processes == {"rank": 1, "world_size": 3}
        assert os.environ["TQDM_DISABLE"] == "1"


@pytest.mark.parametrize(
    ("rank", "world_size", "message"),
    [
        (0, 2, "2 processes need an output file: give --csv, --json"),
        (2, 2, "RANK = 2, WORLD_SIZE = 2"),
        ("one", 2, "RANK = 'one' in the environment: must be a number"),
    ],
)
def test_share_work_validates(monkeypatch, rank, world_size, message):
    set_processes(monkeypatch, rank, world_size)
    with pytest.raises(ValueError, match=message), share_work(None, csv=Path("-"), json=None):
        pass


def test_share_work_ends_if_others_have_finished_since(monkeypatch, path):
    set_processes(monkeypatch, 1, 2)
    output = path.with_name("out.csv")
    output.touch()
    os.utime(output, (1, 1))
    with share_work(None, csv=output):  # That of an earlier run.
        pass
    os.utime(output, (time.time() + 300,) * 2)
    with share_work(None, csv=output):  # That of a host whose clock is fast.
        pass
    output.touch()
    with pytest.raises(Exit) as end, share_work(None, csv=output):
        pass
    assert end.value.exit_code == 0
    assert not path.exists()


def test_share_work_needs_locks(monkeypatch, path):
    monkeypatch.setattr(module, "fcntl", None)
    with pytest.raises(OSError, match="file locks are needed; give a folder on another disk"):
        SharedFolder(path).__enter__()

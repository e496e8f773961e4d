"""RANK, WORLD_SIZE and limits of the system: commands name them before the work."""

import errno
import os
import time
from pathlib import Path

import pytest
from commands import fail
from typer import Exit

from ordlib.utils.command import plain_errors
from ordlib.utils.shared_folder import check_launch, share_work

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
WHOLE = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "h", "MASTER_PORT": "1"}
TRAIN = ("train", "corn", "--task", "dating", "--output", "o", "--epochs", "0")
COMMANDS = {
    "train": TRAIN, "train-adapter": ("train-adapter", "--output", "o", "--epochs", "0"),
    "pretrain": ("pretrain", "--output", "o", "--samples-seen", "0"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


CASES = [
    ({"RANK": "x"}, "RANK = 'x' in the environment: must be a number"),
    ({"RANK": "-1"}, "RANK = '-1'"), ({"RANK": ""}, "RANK = ''"), ({"RANK": "1.0"}, "RANK = '1.0'"),
    ({"RANK": " 0"}, "RANK = ' 0'"), ({"RANK": "²"}, "RANK = '²'"),
    ({"RANK": "2"}, "RANK = 2, WORLD_SIZE = 2 in the environment: ranks count from 0"),
    ({"WORLD_SIZE": "1e1"}, "WORLD_SIZE = '1e1'"), ({"WORLD_SIZE": ""}, "WORLD_SIZE = ''"),
    ({"LOCAL_RANK": "x"}, "LOCAL_RANK = 'x'"), ({"MASTER_PORT": "x"}, "MASTER_PORT = 'x'"),
    ({"LOCAL_RANK": None}, "WORLD_SIZE = 2 in the environment, without LOCAL_RANK: start the"),
    ({"MASTER_ADDR": None}, "without MASTER_ADDR"), ({"MASTER_PORT": ""}, "without MASTER_PORT"),
]  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize(("changes", "message"), CASES)
def test_processes_that_cannot_find_each_other_do_not_train(monkeypatch, words, changes, message):
    for name, value in (WHOLE | changes).items():
        if value is not None:
            monkeypatch.setenv(name, value)
    fail(message, *words)
    assert os.listdir() == []


def test_check_launch_says_for_whom_a_process_waits(monkeypatch, capsys):
    check_launch()
    assert capsys.readouterr().err == ""
    for name, value in WHOLE.items():
        monkeypatch.setenv(name, value)
    check_launch()
    assert capsys.readouterr().err == "process 0 of 2 joins the others at h:1\n"


@pytest.mark.parametrize(("seconds", "is_late"), [(4e9, False), (None, True), (1e9, False)])
def test_an_old_output_of_a_wrong_clock_is_computed_again(monkeypatch, seconds, is_late):
    """A time in the future is not that of this run: nothing would be predicted."""
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    (output := Path("o.csv")).write_text("old")
    seconds = time.time() if seconds is None else seconds
    os.utime(output, (seconds, seconds))
    if is_late:
        with pytest.raises(Exit), share_work(None, csv=output):
            pass
    else:
        with share_work(None, csv=output) as (shared, _):
            assert shared is not None


@pytest.mark.parametrize(("error", "message"), [
    (OSError(errno.EMFILE, "Too many open files"), "Too many open files; raise the limit"),
    (OSError(errno.ENFILE, "Too many open files", "x"), "'x'; raise the limit"),
    (MemoryError(), "Not enough memory: lower the batch size"),
    (OSError(errno.ENOSPC, "No space left", "x"), "No space left"),
])  # fmt: skip
def test_limits_of_the_system_are_errors_with_a_way_out(capsys, error, message):
    with pytest.raises(Exit), plain_errors():
        raise error
    assert message in capsys.readouterr().err

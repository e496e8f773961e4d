"""`ordlib rank` and `ordlib predict` killed at random moments, or two at once, on one cache."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from inference_models import command, save_models
from kills import KILLS

from ordlib.utils.cache_entries import INDEX_NAME

ROOT = Path(__file__).parents[2]
TEMPORARY = ".ordlib-tmp-"
OUTPUTS = ("out.csv", "out.json", "out.html")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="no SIGKILL"),
]


@pytest.fixture(scope="module")
def saved(tiny_clip_folder, tmp_path_factory):
    return save_models(tiny_clip_folder, tmp_path_factory.mktemp("saved"))


def start(kind: str, saved: Path, folder: Path) -> subprocess.Popen:
    """Start a command that writes all outputs to a folder; two images at a time, for many moments.

    The process has a group of its own, so that what it leaves can be found.
    """
    folder.mkdir(exist_ok=True)
    outputs = [x for n in OUTPUTS for x in (f"--{n.split('.')[1]}", str(folder / n))]
    words = [sys.executable, "-m", "ordlib", *command(kind, saved), "--batch-size", "2", *outputs]
    environment = os.environ | {"ORDLIB_CACHE": str(folder / "cache"), "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(words, env=environment, start_new_session=True, **pipes)


def finish(process: subprocess.Popen) -> None:
    _, error = process.communicate(timeout=120)
    assert process.returncode == 0, error.decode()


def outputs(folder: Path) -> list[str]:
    """The files that a run wrote."""
    return [(folder / name).read_text("utf-8") for name in OUTPUTS]


def group_is_gone(process: subprocess.Popen) -> bool:
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return True
    return False


def check_nothing_is_left_or_twice(folder: Path, num_images: int) -> None:
    assert [path for path in folder.rglob("*") if path.name.startswith(TEMPORARY)] == []
    shards = [*folder.glob("cache/features/*/*.json")]
    keys = [key for shard in shards for key in json.loads(shard.read_text())["keys"]]
    assert len(keys) == len(set(keys)) == num_images
    assert all(len(np.load(shard.with_suffix(".npy"))) for shard in shards)
    assert len(shards) == len([*folder.glob("cache/features/*/*.npy")])
    with closing(sqlite3.connect(folder / "cache" / INDEX_NAME)) as index:
        assert index.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("kind", ["rank", "predict"])
def test_a_killed_run_that_is_repeated_equals_an_uninterrupted_one(saved, tmp_path, kind):
    """Killed while images are hashed, encoded and kept, and while files are written."""
    files = ("--csv", "out.csv", "--json", "out.json", "--html", "out.html", "--batch-size", "1")
    words = [*command(kind, saved), *files]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    script = [sys.executable, ROOT / "tests/helpers/killed_runs.py", tmp_path, str(KILLS)]
    run = subprocess.run([*script, *words], env=environment, timeout=500, capture_output=True)
    assert run.returncode == 0, run.stderr.decode()
    (_, whole), *codes = json.loads(run.stdout)
    expected = outputs(tmp_path / "whole")
    assert whole == 0
    for trial, (_, repeated, is_group_gone, names) in enumerate(codes):
        assert (repeated, is_group_gone) == (0, True)
        assert outputs(tmp_path / str(trial)) == expected
        for name in names:  # The killed run had written all of a file, or nothing.
            killed = (tmp_path / str(trial) / f"killed-{name}").read_text("utf-8")
            assert killed == expected[OUTPUTS.index(name)]
        check_nothing_is_left_or_twice(tmp_path / str(trial), 8)
    killed = sum(killed == -signal.SIGKILL for killed, *_ in codes)
    assert killed >= KILLS // 4, "many are killed before they end, also on a busy machine"


@pytest.mark.parametrize("kind", ["rank", "predict"])
def test_a_kill_while_a_file_is_written_leaves_the_old_one(saved, tmp_path, kind):
    """The writer is stopped for good between the temporary file and its renaming."""
    finish(start(kind, saved, tmp_path / "run"))
    expected = outputs(tmp_path / "run")
    code = (
        "import os, signal, sys; from ordlib.cli import app; replace = os.replace\n"
        "def kill(source, target):\n"
        "    if str(target).endswith(sys.argv[1]): os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return replace(source, target)\n"
        "os.replace = kill; app(sys.argv[2:])"
    )
    environment = os.environ | {"ORDLIB_CACHE": str(tmp_path / "run" / "cache")}
    environment["PYTHONPATH"] = str(ROOT)
    for name in OUTPUTS:
        folder = tmp_path / "run"
        words = [*command(kind, saved), f"--{name.split('.')[1]}", str(folder / name)]
        python = [sys.executable, "-c", code, name]
        run = subprocess.run([*python, *words], env=environment, timeout=120, capture_output=True)
        assert run.returncode == -signal.SIGKILL, run.stderr.decode()
        assert outputs(folder) == expected
        assert [path for path in folder.iterdir() if path.name.startswith(TEMPORARY)]
    finish(start(kind, saved, tmp_path / "run"))
    assert outputs(tmp_path / "run") == expected
    check_nothing_is_left_or_twice(tmp_path / "run", 8)


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("kind", ["rank", "predict"])
def test_signals_end_a_run_at_once_and_without_a_traceback(saved, tmp_path, kind, signal_):
    for trial in range(3):
        process = start(kind, saved, tmp_path / str(trial))
        time.sleep(random.Random(trial).uniform(1, 4))
        process.send_signal(signal_)
        _, error = process.communicate(timeout=30)
        assert process.returncode in (0, 130, -signal_), error.decode()
        assert b"Traceback" not in error
        assert group_is_gone(process)


def test_two_runs_at_once_share_a_cache_and_an_output(saved, tmp_path):
    finish(start("rank", saved, tmp_path / "whole"))
    runs = [start("rank", saved, tmp_path / "both") for _ in range(3)]
    for process in runs:
        finish(process)
    assert outputs(tmp_path / "both") == outputs(tmp_path / "whole")
    remains = [p for p in (tmp_path / "both").rglob("*") if p.name.startswith(TEMPORARY)]
    assert remains == []

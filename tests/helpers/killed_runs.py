"""Runs of a command that are killed at random moments, in children of a process that has imported.

``killed_runs.py FOLDER TRIALS WORD...`` forks an uninterrupted run in ``FOLDER/whole``, and TRIALS
times one that is killed, in ``FOLDER/0`` and so on, and one that repeats it. It prints a JSON list
of the exit codes, whether a process is left, and the files that the killed run had written.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from ordlib.cli import app
from ordlib.components import load_component
from ordlib.inference import console, page, rank
from ordlib.inference.files import find_images

IMPORTED = (load_component, console, page, rank, find_images)


def start(folder: Path, words: list[str]) -> int:
    folder.mkdir(exist_ok=True)
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setsid()
        os.chdir(folder)
        os.environ["ORDLIB_CACHE"] = str(folder / "cache")
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        app(words)
    except SystemExit as error:
        code = int(error.code or 0)
    finally:
        os._exit(code)


def wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def is_group_gone(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return True
    return False


def main(root: Path, trials: int, words: list[str]) -> list[list]:
    wait(start(root / "first", words))  # Slower than the others.
    began = time.monotonic()
    codes = [[None, wait(start(root / "whole", words))]]
    duration, rng = time.monotonic() - began, random.Random(trials)
    for trial in range(trials):
        pid = start(root / str(trial), words)
        time.sleep(duration * rng.uniform(0.02, 0.9))
        os.kill(pid, signal.SIGKILL)
        killed = wait(pid)
        names = [name for name in ("out.csv", "out.json", "out.html")
                 if (root / str(trial) / name).exists()]  # fmt: skip
        for name in names:
            (root / str(trial) / name).rename(root / str(trial) / f"killed-{name}")
        again = start(root / str(trial), words)
        codes.append([killed, wait(again), is_group_gone(pid) and is_group_gone(again), names])
    return codes


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])))

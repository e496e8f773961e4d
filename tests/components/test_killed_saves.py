"""A process that is killed while it saves over a component leaves the old one or the new one."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ordlib.components.io import load_checkpoint, read_card, save_checkpoint

KILLS = 25
FILES = ["README.md", "card.json", "config.json", "model.safetensors"]
# For each call given: a child saves the components 1, 2, ... over each other into a folder of its
# own, prints the number of each when it is done, and kills itself at that call that writes.
SAVER = """
import builtins, os, signal, sys
import torch
from ordlib.components.io import save_checkpoint

def save(folder, last):
    calls = 0
    def killing(real):
        def call(*arguments, **options):
            nonlocal calls
            calls += 1
            if calls == last:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)
        return call

    class Half:
        def __init__(self, file):
            self.file = file
        def __enter__(self):
            return self
        def __exit__(self, *error):
            self.file.close()
        def __getattr__(self, name):
            return getattr(self.file, name)
        def write(self, content):
            self.file.write(content[: len(content) // 2])
            self.file.flush()
            between()
            return self.file.write(content[len(content) // 2 :])

    between = killing(lambda: None)
    for name in ("replace", "fsync", "mkdir", "unlink", "rmdir", "chmod", "close"):
        setattr(os, name, killing(getattr(os, name)))
    real_open = builtins.open
    def opening(path, mode="r", *arguments, **options):
        file = real_open(path, mode, *arguments, **options)
        inside = isinstance(path, (str, os.PathLike)) and os.fspath(path).startswith(folder)
        return Half(file) if inside and "w" in mode else file
    builtins.open = opening
    for number in range(1, 100):
        x = torch.full((50_000,), float(number))
        save_checkpoint(folder, {"method": "A", "n": number}, {"x": x}, {"n": number})
        os.write(1, f"{last}:{number} ".encode())

for call in map(int, sys.argv[2:]):
    folder = os.path.join(sys.argv[1], str(call))
    save_checkpoint(folder, {"method": "A", "n": 0}, {"x": torch.zeros(50_000)}, {"n": 0})
    if not (pid := os.fork()):
        save(folder, call)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
"""


def number_of(folder: Path) -> int:
    """The number of the component in a folder; all of its parts must be of the same."""
    config, tensors = load_checkpoint(folder)
    assert torch.equal(tensors["x"], torch.full((50_000,), float(config["n"])))
    assert read_card(folder)["n"] == config["n"]
    return config["n"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_killed_saves_leave_the_old_or_the_new_component(tmp_path):
    calls = random.Random(0).sample(range(1, 90), KILLS)
    command = [sys.executable, "-c", SAVER, str(tmp_path), *map(str, calls)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    saved = dict.fromkeys(calls, 0)
    for line in done.stdout.split():
        call, number = map(int, line.split(":"))
        saved[call] = number
    news = 0
    for call in calls:
        found = number_of(tmp_path / str(call))
        assert found in (saved[call], saved[call] + 1)
        news += found != saved[call]
        tensors = {"x": torch.full((50_000,), 500.0)}
        save_checkpoint(tmp_path / str(call), {"method": "A", "n": 500}, tensors, {"n": 500})
        assert sorted(path.name for path in (tmp_path / str(call)).iterdir()) == FILES
        assert number_of(tmp_path / str(call)) == 500
    # Both happen, or the calls are no good sample.
    assert 0 < news < KILLS

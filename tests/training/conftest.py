import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import training_runs

from ordlib import load_clip
from ordlib.experiments import adapter_data as ranking_data
from ordlib.synthetic import rendering


@pytest.fixture(scope="session", autouse=True)
def training_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORDLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, "cpu")


@pytest.fixture(scope="session")
def other_process(training_cache):
    """Run the script of the trainings, in processes with as many threads as here."""

    def run(*command: str | Path, launcher: tuple[str, ...] = ()) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
        line = [sys.executable, *launcher, training_runs.__file__, *map(str, command)]
        done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-3000:]

    return run


@pytest.fixture
def small_world(monkeypatch):
    """Rendered splits of a few pictures, for what trains and tests ranking adapters."""
    for split, size in {"train": 20, "val": 24, "test": 20, "distractors": 10}.items():
        monkeypatch.setitem(rendering.SPLIT_SIZES, split, size)
    for task in ranking_data.SIZES:
        monkeypatch.setitem(ranking_data.SIZES, task, 30)
    monkeypatch.setattr(ranking_data, "TEST_SIZE", 40)
    monkeypatch.setattr(ranking_data, "DAMAGED_EACH", 12)

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ordlib import load_clip


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module", autouse=True)
def training_cache(cache_folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORDLIB_CACHE", str(cache_folder))
        yield


@pytest.fixture(scope="session")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, "cpu")


@pytest.fixture(scope="module")
def run_script(training_cache):
    """Run a script in processes with as many threads as here."""

    def run(script: str, *arguments: str | Path, launcher: tuple[str, ...] = ()) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
        line = [sys.executable, *launcher, script, *map(str, arguments)]
        done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-3000:]

    return run

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training_fixtures import cache_folder, clip, training_cache  # noqa: F401


@pytest.fixture(scope="module")
def run_script(training_cache):  # noqa: F811
    """Run a script in processes with as many threads as here."""

    def run(script: str, *arguments: str | Path, launcher: tuple[str, ...] = ()) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
        line = [sys.executable, *launcher, script, *map(str, arguments)]
        done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]

    return run

"""Training runs that are killed at random moments and resumed until they finish.

``kill_runs.py CLIP FOLDER SEED...`` writes the result of each seed's run, and the number of kills,
to FOLDER.
"""

import json
import os
import signal
import sys
import time
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
import training_runs as runs
from safetensors.torch import save, save_file

MAX_KILLS = 3
NUM_STEPS, NUM_SAVES, MAX_SECONDS = 12, 4, 0.6
MOMENTS = ("step", "half written", "before rename", "after rename", "clock")


def kill(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(moment: str, rng: np.random.Generator, model: type, stack: ExitStack) -> None:
    """Let the process kill itself at a step, or in the midst of a save."""
    if moment == "step":
        stack.enter_context(runs.changed_loss(model, int(rng.integers(1, NUM_STEPS + 1)), kill))
        return
    number, count, replace = int(rng.integers(1, NUM_SAVES + 1)), 0, os.replace

    def half_written(tensors: dict, path: Path, metadata: dict) -> None:
        nonlocal count
        count += 1
        content = save(tensors, metadata)
        if count == number:
            Path(path).write_bytes(content[: rng.integers(len(content))])
            kill()
        Path(path).write_bytes(content)

    def renaming(source: Path, target: Path) -> None:
        nonlocal count
        count += "checkpoint" in Path(target).name
        if moment == "after rename":
            replace(source, target)
        if count == number and "checkpoint" in Path(target).name:
            kill()
        if moment == "before rename":
            replace(source, target)

    if moment == "half written":
        stack.enter_context(patch("ordlib.training.checkpoint.save_file", half_written))
    elif moment != "clock":
        stack.enter_context(patch("os.replace", renaming))


def run(seed: int, life: int, clip: str, folder: Path) -> None:
    """Train until the end, or until the process is killed; any life but the last may be killed."""
    kind, rng = kind_of(seed), np.random.default_rng([seed, life])
    with ExitStack() as stack:
        model = runs.make_model(kind, clip)
        if life < MAX_KILLS:
            # A patch of the class, since the first of two stages trains a copy of the model.
            kill_at(moment_of(seed, life), rng, type(model), stack)
        history = runs.train(model, folder / f"run-{seed}", runs.CONFIGS[kind])
    save_file(model.trainable_state_dict(), folder / f"{seed}.safetensors")
    (folder / f"{seed}.json").write_text(json.dumps(history.to_dict("list")))


def kind_of(seed: int) -> str:
    return runs.KINDS[seed % len(runs.KINDS)]


def moment_of(seed: int, life: int) -> str:
    return MOMENTS[(seed // len(runs.KINDS) + life) % len(MOMENTS)]


def run_until_finished(seed: int, clip: str, folder: Path) -> int:
    """Return the number of kills."""
    for life in range(MAX_KILLS + 1):
        # Safe, since nothing was computed yet in this process; and it saves further imports.
        process = get_context("fork").Process(target=run, args=(seed, life, clip, folder))
        process.start()
        if life < MAX_KILLS and moment_of(seed, life) == "clock":
            time.sleep(np.random.default_rng([seed, life]).uniform(0, MAX_SECONDS))
            process.kill()
        process.join()
        if process.exitcode == 0:
            return life
        assert process.exitcode == -signal.SIGKILL, process.exitcode
    raise AssertionError(f"seed {seed}: the last life did not finish")


if __name__ == "__main__":
    clip, folder, *seeds = sys.argv[1:]
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    kills = {seed: run_until_finished(int(seed), clip, Path(folder)) for seed in seeds}
    (Path(folder) / "kills.json").write_text(json.dumps(kills))

"""Short training runs for tests; as a script, it runs them in processes of their own.

``training_runs.py killed CLIP FOLDER``: every kind, each killed within its third epoch.
``training_runs.py distributed CLIP FOLDER``: every kind, on all processes of a launcher.
"""

import json
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import NoReturn
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from ordlib import ImageData, NumCLIP, OrdinalTask, load_clip
from ordlib.methods.base import OrdinalMethod, TrainableModule
from ordlib.methods.l2rclip import L2RCLIP
from ordlib.training import TrainingConfig, fit
from ordlib.training.config import METRICS

TASK = OrdinalTask(
    name="brightness", unit="steps", values=(0, 1, 2, 3, 4, 5), bin_edges=(0, 2, 4),
    bin_phrases=("dark", "grey", "bright"),
)  # fmt: skip
# 24 training images: three steps per epoch.
CONFIG = TrainingConfig(epochs=4, batch_size=8, learning_rate=0.01, seed=5)
KILLED_AT = 8
# The first of two stages has one epoch, so the third epoch is within the second stage.
CONFIGS = dict.fromkeys(("frozen", "lora", "l2rclip"), CONFIG)
CONFIGS["stages"] = replace(CONFIG, prompt_epochs=1, lr_multipliers={"image_encoder": 0.5})
KINDS = tuple(CONFIGS)


def make_data(split: str, count: int, task: OrdinalTask = TASK) -> ImageData:
    """Noise images whose brightness grows with the rank."""
    rng = np.random.default_rng([len(split), count])
    ranks = np.arange(count) % task.num_ranks
    noise = rng.integers(0, 60, (count, 64, 64, 3))
    images = (ranks[:, None, None, None] * 35 + noise).astype(np.uint8)
    values, metadata = task.rank_values[ranks], pd.DataFrame({"rank": ranks})
    return ImageData(task, images, values, metadata, f"{task.name}-{split}-{count}", split)


def make_model(kind: str, folder: str | Path) -> OrdinalMethod:
    """A method whose loss compares the samples of a batch with each other."""
    clip = load_clip(folder, "cpu")
    if kind in ("frozen", "lora"):
        return NumCLIP(clip, TASK, image_encoder=kind)
    options = {"attention_over": "both", "rank_pos_embed": "learned", "alpha": 0.3}
    if kind == "stages":
        return L2RCLIP(clip, TASK, image_encoder="lora", pairwise_loss="both", **options)
    return L2RCLIP(clip, TASK, pairwise_loss="batch", **options)


def train(
    model: OrdinalMethod, folder: Path | None = None, config: TrainingConfig = CONFIG
) -> pd.DataFrame:
    train, val = make_data("train", 24), make_data("val", 12)
    return fit(model, train, val, config, checkpoint_dir=folder, progress=False)


def clone_state(model: TrainableModule) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.trainable_state_dict().items()}


def states_equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether two state dicts are bit-equal."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class Interrupted(BaseException):
    """Interrupts a training run."""


def interrupt(loss: torch.Tensor) -> NoReturn:
    raise Interrupted


def to_nan(loss: torch.Tensor) -> torch.Tensor:
    return loss * math.nan


@contextmanager
def changed_loss(owner, call: int = 0, change: Callable = interrupt) -> Iterator[list]:
    """Change the loss of a model or a class in one call, counted from 1, and yield all calls."""
    calls, original = [], owner.loss

    def loss(*arguments):
        calls.append(arguments)
        value = original(*arguments)
        return change(value) if len(calls) == call else value

    with patch.object(owner, "loss", loss):
        yield calls


def run_killed(kind: str, clip: str, folder: Path) -> None:
    model = make_model(kind, clip)
    # A patch of the class, since the first of two stages trains a copy of the model.
    with changed_loss(type(model), KILLED_AT, lambda _: os.kill(os.getpid(), signal.SIGKILL)):
        train(model, folder / kind, CONFIGS[kind])


def run_distributed(clip: str, folder: Path) -> None:
    rank = int(os.environ["RANK"])
    for kind in KINDS:
        model = make_model(kind, clip)
        history = train(model, folder / kind, CONFIGS[kind])
        resumed = train(make_model(kind, clip), folder / kind, CONFIGS[kind])
        save_file(model.trainable_state_dict(), folder / f"{kind}-{rank}.safetensors")
        report = {
            "processes": torch.distributed.get_world_size(),
            "backend": torch.distributed.get_backend(),
            "history": history.to_dict("list"),
            "resumed": resumed.to_dict("list"),
        }
        (folder / f"{kind}-{rank}.json").write_text(json.dumps(report))
    try:
        train(make_model("frozen", clip), config=TrainingConfig(batch_size=5))
    except ValueError as error:
        (folder / f"error-{rank}.txt").write_text(str(error))


def fork(target, arguments: list[tuple]) -> list[int]:
    """Run a function in one forked process per tuple of arguments; return the exit codes."""
    # Safe, since nothing was computed yet; and it saves a second import.
    processes = [get_context("fork").Process(target=target, args=args) for args in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def run_on_two_processes(function: Callable[[int], dict], folder: Path) -> list[dict]:
    """Return the results of a function of the rank, in two new processes that use gloo.

    Forked processes import nothing again, but cannot compute once autograd has found a device.
    """
    can_fork = sys.platform == "linux" and not torch.accelerator.is_available()
    torch.multiprocessing.start_processes(
        _run_rank, (function, folder), nprocs=2, start_method="fork" if can_fork else "spawn"
    )
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


def _run_rank(rank: int, function: Callable[[int], dict], folder: Path) -> None:
    torch.set_num_threads(1)  # no pool of threads outlives a fork
    store = f"file://{folder}/store"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    torch.save(function(rank), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def check_history(history: pd.DataFrame, epochs: int, steps: int) -> None:
    """Check the columns and attributes of a history that are the same for all methods."""
    assert history.columns.tolist() == ["epoch", "loss", *METRICS, "best"]
    assert history.index.tolist() == list(range(epochs))
    assert history["epoch"].tolist() == list(range(1, epochs + 1))
    previous = history["mae"].cummin().shift(fill_value=math.inf)
    assert history["best"].tolist() == (history["mae"] < previous).tolist()
    assert history.attrs["steps"] == steps
    assert history.attrs["best_epoch"] == history["epoch"][history["mae"].argmin()]
    assert history.attrs["device"] == "cpu"
    assert history.attrs["seconds"] > 0


if __name__ == "__main__":
    mode, clip, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    if mode == "distributed":
        run_distributed(clip, folder)
    else:
        codes = fork(run_killed, [(kind, clip, folder) for kind in KINDS])
        (folder / "codes.json").write_text(json.dumps(dict(zip(KINDS, codes, strict=True))))

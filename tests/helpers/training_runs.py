"""Short training runs for tests; as a script, it runs them in processes of their own.

``training_runs.py killed CLIP FOLDER``: every kind, each killed within its third epoch.
``training_runs.py distributed CLIP FOLDER``: every kind, on all processes of a launcher.
"""

import json
import os
import signal
import sys
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from ordlib import ImageData, NumCLIP, OrdinalTask, load_clip
from ordlib.methods.base import OrdinalMethod, TrainableModule
from ordlib.methods.l2rclip import L2RCLIP
from ordlib.training import TrainingConfig, fit

TASK = OrdinalTask(
    name="brightness",
    unit="steps",
    values=(0, 1, 2, 3, 4, 5),
    bin_edges=(0, 2, 4),
    bin_phrases=("dark", "grey", "bright"),
)
# 24 training images: three steps per epoch.
CONFIG = TrainingConfig(epochs=4, batch_size=8, learning_rate=0.01, seed=5)
KILLED_AT = 8
# The first of two stages has one epoch, so the third epoch is within the second stage.
CONFIGS = {
    "frozen": CONFIG,
    "lora": CONFIG,
    "l2rclip": CONFIG,
    "stages": replace(CONFIG, prompt_epochs=1, lr_multipliers={"image_encoder": 0.5}),
}
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
    stages = kind == "stages"
    return L2RCLIP(
        clip,
        TASK,
        image_encoder="lora" if stages else "frozen",
        pairwise_loss="both" if stages else "batch",
        attention_over="both",
        rank_pos_embed="learned",
        alpha=0.3,
    )


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


def run_killed(kind: str, clip: str, folder: Path) -> None:
    model, calls = make_model(kind, clip), []
    loss = type(model).loss

    # A patch of the class, since the first of two stages trains a copy of the model.
    def killing_loss(self, features, values):
        calls.append(len(values))
        if len(calls) == KILLED_AT:
            os.kill(os.getpid(), signal.SIGKILL)
        return loss(self, features, values)

    type(model).loss = killing_loss
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


if __name__ == "__main__":
    mode, clip, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    if mode == "distributed":
        run_distributed(clip, folder)
    else:
        codes = fork(run_killed, [(kind, clip, folder) for kind in KINDS])
        (folder / "codes.json").write_text(json.dumps(dict(zip(KINDS, codes, strict=True))))

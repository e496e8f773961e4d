"""Small trainings, for tests and, by ``python training_runs.py``, in processes of their own.

``killed CLIP FOLDER``: every kind of training, each in a process that kills itself in the middle
of its third epoch. ``shared CLIP FOLDER``: every kind on all processes of a launcher.
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
from ordlib.methods.base import OrdinalMethod
from ordlib.methods.l2rclip import L2RCLIP
from ordlib.training import TrainingConfig, fit

TASK = OrdinalTask(
    name="brightness",
    unit="steps",
    values=(0, 1, 2, 3, 4, 5),
    bin_edges=(0, 2, 4),
    bin_phrases=("dark", "grey", "bright"),
)
# Three steps an epoch of 24 pictures, and none left over.
CONFIG = TrainingConfig(epochs=4, batch_size=8, learning_rate=0.01, seed=5)
KILLED_AT = 8
# Two stages change after the first epoch, so that the third is amid the second stage.
CONFIGS = {
    "frozen": CONFIG,
    "lora": CONFIG,
    "l2rclip": CONFIG,
    "stages": replace(CONFIG, prompt_epochs=1, lr_multipliers={"image_encoder": 0.5}),
}
KINDS = tuple(CONFIGS)


def pictures_of(split: str, count: int, task: OrdinalTask = TASK) -> ImageData:
    """Noise, the brighter the higher its rank."""
    rng = np.random.default_rng([len(split), count])
    ranks = np.arange(count) % task.num_ranks
    noise = rng.integers(0, 60, (count, 64, 64, 3))
    images = (ranks[:, None, None, None] * 35 + noise).astype(np.uint8)
    values, records = task.rank_values[ranks], pd.DataFrame({"rank": ranks})
    key = f"{task.name}-{split}-{count}"
    return ImageData(
        task=task, images=images, values=values, metadata=records, fingerprint=key, split=split
    )


def make(kind: str, folder: str | Path) -> OrdinalMethod:
    """Methods whose losses compare pictures across the batch."""
    clip = load_clip(folder, "cpu")
    if kind in ("frozen", "lora"):
        return NumCLIP(clip, TASK, image_encoder=kind)
    image_encoder, pairwise = ("lora", "both") if kind == "stages" else ("frozen", "batch")
    options = {
        "attention_over": "both",
        "rank_pos_embed": "learned",
        "alpha": 0.3,
        "pairwise": pairwise,
    }
    return L2RCLIP(clip, TASK, image_encoder=image_encoder, **options)


def train(
    model: OrdinalMethod, folder: Path | None = None, config: TrainingConfig = CONFIG
) -> pd.DataFrame:
    train, val = pictures_of("train", 24), pictures_of("val", 12)
    return fit(model, train, val, config, checkpoint_dir=folder, progress=False)


def be_killed(kind: str, clip: str, folder: Path) -> None:
    model, calls = make(kind, clip), []
    loss = type(model).loss

    # Of the class: the first of two stages trains a copy of the model.
    def deadly(self, features, values):
        calls.append(len(values))
        if len(calls) == KILLED_AT:
            os.kill(os.getpid(), signal.SIGKILL)
        return loss(self, features, values)

    type(model).loss = deadly
    train(model, folder / kind, CONFIGS[kind])


def share(clip: str, folder: Path) -> None:
    rank = int(os.environ["RANK"])
    for kind in KINDS:
        model = make(kind, clip)
        history = train(model, folder / kind, CONFIGS[kind])
        again = train(make(kind, clip), folder / kind, CONFIGS[kind])
        save_file(model.trainable_state_dict(), folder / f"{kind}-{rank}.safetensors")
        told = {
            "processes": torch.distributed.get_world_size(),
            "backend": torch.distributed.get_backend(),
            "history": history.to_dict("list"),
            "again": again.to_dict("list"),
        }
        (folder / f"{kind}-{rank}.json").write_text(json.dumps(told))
    try:
        train(make("frozen", clip), config=TrainingConfig(batch_size=5))
    except ValueError as error:
        (folder / f"refused-{rank}.txt").write_text(str(error))


if __name__ == "__main__":
    what, clip, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    if what == "shared":
        share(clip, folder)
    else:
        # Nothing was computed yet, so that forks are safe, and spare a second import.
        fork = get_context("fork")
        processes = [fork.Process(target=be_killed, args=(kind, clip, folder)) for kind in KINDS]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        codes = {k: p.exitcode for k, p in zip(KINDS, processes, strict=True)}
        (folder / "codes.json").write_text(json.dumps(codes))

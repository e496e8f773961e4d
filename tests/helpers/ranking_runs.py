"""Short training runs of a ranking adapter; as a script, it runs them on two processes.

``ranking_runs.py CLIP FOLDER`` forks two processes that share every batch.
"""

import json
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file
from training_runs import fork

from ordlib import ImageData, OrdinalTask, load_clip
from ordlib.methods.ranking_adapter import network
from ordlib.methods.ranking_adapter.model import RankingAdapter
from ordlib.training import TrainingConfig, fit

LIGHT = OrdinalTask(name="light", unit="steps", values=(0, 1, 2, 3, 4, 5))
SPOTS = OrdinalTask(name="spots", unit="spots", values=(1, 2, 3))
TEMPLATES = {"spots": ["How many {plural}?", "Which shows the most?"]}
# 24 and 10 images: two steps per epoch; a batch of spots has 10 images.
CONFIG = TrainingConfig(epochs=3, batch_size=12, learning_rate=3e-3, seed=5)


def light(split: str, count: int) -> ImageData:
    """Uniform grey squares, labelled by brightness."""
    ranks = np.arange(count) % 6
    greys = 30 + 35 * ranks + np.random.default_rng(count).integers(-8, 9, count)
    images = np.broadcast_to(greys[:, None, None, None], (count, 64, 64, 3)).astype(np.uint8)
    metadata = pd.DataFrame(index=range(count))
    return ImageData(LIGHT, images, LIGHT.rank_values[ranks], metadata, f"light-{count}", split)


def spots(split: str, count: int) -> ImageData:
    """One to three patches of red or blue."""
    ranks, kinds = np.arange(count) % 3, np.arange(count) // 2 % 2
    images = np.full((count, 64, 64, 3), 128, dtype=np.uint8)
    for image, rank, kind in zip(images, ranks, kinds, strict=True):
        for spot in range(rank + 1):
            image[:16, 16 * spot : 16 * (spot + 1)] = (255, 0, 0) if kind else (0, 0, 255)
    metadata = pd.DataFrame({"plural": np.where(kinds, "reds", "blues")})
    return ImageData(SPOTS, images, SPOTS.rank_values[ranks], metadata, f"spots-{count}", split)


def make_adapter(folder: str | Path, **options) -> RankingAdapter:
    """One adapter for both tasks."""
    clip = load_clip(folder, "cpu")
    return RankingAdapter(clip, [LIGHT, SPOTS], prompt_templates=TEMPLATES, **options)


def val_data() -> list[ImageData]:
    return [light("val", 12), spots("val", 6)]


def train(model: RankingAdapter, folder: Path | None = None, **changes) -> pd.DataFrame:
    config = replace(CONFIG, **changes)
    train = [light("train", 24), spots("train", 10)]
    return fit(model, train, val_data(), config, checkpoint_dir=folder, progress=False)


def make_without_dropout(folder: str | Path) -> RankingAdapter:
    """An adapter without dropout, whose random numbers differ between processes."""
    dropout, network.DROPOUT = network.DROPOUT, 0.0
    try:
        return make_adapter(folder)
    finally:
        network.DROPOUT = dropout


def run_distributed(rank: int, port: int, clip: str, folder: Path) -> None:
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in names.items()})
    os.environ.update({"MASTER_ADDR": "127.0.0.1", "ACCELERATE_USE_CPU": "true"})
    model = make_without_dropout(clip)
    history = train(model, folder)
    report = {
        "processes": torch.distributed.get_world_size(),
        "backend": torch.distributed.get_backend(),
        "history": history.to_dict("list"),
        "scores": model.predict_scores(light("val", 12), "Rank by light.").tolist(),
    }
    save_file(model.trainable_state_dict(), folder / f"{rank}.safetensors")
    (folder / f"{rank}.json").write_text(json.dumps(report))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    clip, folder = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sys.exit(max(map(abs, fork(run_distributed, [(i, port, clip, folder) for i in range(2)]))))

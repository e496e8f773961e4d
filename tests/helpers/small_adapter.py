"""An untrained adapter on the tiny CLIP, with label scalers and OOD detectors."""

from pathlib import Path

import numpy as np
import pandas as pd

from ordlib import ImageData, RankingAdapter, load_clip, load_task


def noise(task: str, split: str, count: int = 40) -> ImageData:
    """Images of coarse noise, with labels spread evenly over the range."""
    rng = np.random.default_rng(len(task) + len(split))
    images = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return ImageData(
        task=load_task(task),
        images=images.repeat(8, axis=1).repeat(8, axis=2),
        values=np.linspace(*load_task(task).range, count),
        metadata=pd.DataFrame({"plural": ["stars"] * count}),
        fingerprint=f"noise-{task}-{split}-{count}",
        split=split,
    )


def small_adapter(clip_folder: Path) -> RankingAdapter:
    """An adapter of two tasks."""
    train, val = ([noise(t, split) for t in ("counting", "dating")] for split in ("train", "val"))
    adapter = RankingAdapter(load_clip(clip_folder, "cpu"), [data.task for data in train])
    adapter.fit_label_scalers(train)
    adapter.calibrate(val)
    adapter.fit_ood_detectors(train, val)
    return adapter

"""Splits of noise, in place of the rendered ones."""

import numpy as np
import pandas as pd

from ordlib import ImageData, load_task

SIZES = {"train": 20, "val": 10, "test": 15}


def noise(task: str, split: str, side: int) -> ImageData:
    """Labels in turn, and pictures that say nothing of them."""
    known, count = load_task(task), SIZES[split]
    rng = np.random.default_rng(count)
    values = known.rank_values[np.arange(count) % known.num_ranks]
    images = rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    records, key = pd.DataFrame(index=range(count)), f"{task}-{split}"
    return ImageData(
        task=known, images=images, values=values, metadata=records, fingerprint=key, split=split
    )

"""Small splits of noise images, in place of the rendered ones."""

import numpy as np
import pandas as pd

from ordlib import ImageData, load_task

SIZES = {"train": 20, "val": 10, "test": 15}


def noise(task: str, split: str, side: int) -> ImageData:
    """Images without information on their labels."""
    definition, count = load_task(task), SIZES[split]
    rng = np.random.default_rng(count)
    values = definition.rank_values[np.arange(count) % definition.num_ranks]
    images = rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    metadata = pd.DataFrame(index=range(count))
    return ImageData(definition, images, values, metadata, f"{task}-{split}", split)

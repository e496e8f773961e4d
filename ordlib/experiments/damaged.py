"""Drawn pictures under the damage of the quality task: scenes that its few photographs lack.

Seven photographs teach those seven: an adapter that saw nothing else took whatever it did not know
for bad. What is damaged here are drawings, so that no photograph of val or test is touched.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from ..data import ImageData

# Private to the painter of that task, whose every change draws the whole world anew.
from ..synthetic.quality import _distort, _share_out
from ..utils.cache import digest

SEED = 7


def with_damaged(photographs: ImageData, drawings: list[ImageData], each: int) -> ImageData:
    """Return photographs of the quality task and drawings that were damaged in the same way.

    Args:
        photographs: rendered pictures of the quality task.
        drawings: rendered pictures of other tasks, of the same side.
        each: how many of each set of drawings, its first ones.

    Returns:
        All of them, with scores of opinion from 1 to 5; damaged drawings are a group.

    Example:
        >>> from ordlib import load_data
        >>> photographs = load_data("quality", "val", side=64, size=4)
        >>> with_damaged(photographs, [load_data("counting", "val", side=64, size=3)], 2)
        ImageData(quality, val: 6 pictures, labels ... to ...)
    """
    rng = np.random.default_rng(SEED)
    drawn = [_damaged(data.images[i], rng) for data in drawings for i in range(each)]
    images = np.stack([np.asarray(image) for image, _ in drawn])
    scenes = [*photographs.groups, *["drawing"] * len(drawn)]
    return replace(
        photographs,
        images=np.concatenate([photographs.images, images]),
        values=np.concatenate([photographs.values, [value for _, value in drawn]]),
        records=pd.DataFrame({"scene_id": scenes}),
        groups=np.array(scenes),
        key=digest(photographs.key, *(data.key for data in drawings), each, SEED),
    )


def _damaged(picture: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Draw a score, and damage a picture until it deserves it, as the task's painter does."""
    value = round(float(rng.uniform(1, 5)), 2)
    damage = np.clip((5 - value) / 4 * rng.lognormal(0, 0.13) + rng.normal(0, 0.03), 0, 1.1)
    spoilt = _distort(np.float32(picture), _share_out(rng, float(damage)), rng.spawn(1)[0])
    return (spoilt + 0.5).clip(0, 255).astype(np.uint8), value

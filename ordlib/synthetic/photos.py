"""Photographs bundled with scikit-image, scikit-learn and matplotlib.

Few as they are, they are split by scene: a photograph of the validation or the test split
occurs nowhere else, neither in pretraining nor as a background.
"""

import warnings
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Scene:
    """A bundled photograph: its name, description and split."""

    name: str
    words: str
    split: str


SCENES = (
    Scene("astronaut", "an astronaut", "train"),
    Scene("motorcycle", "a motorcycle", "train"),
    Scene("rocket", "a rocket", "train"),
    Scene("coins", "old coins", "train"),
    Scene("retina", "a retina", "train"),
    Scene("immunohistochemistry", "a tissue sample", "train"),
    Scene("hubble_deep_field", "a galaxy field", "train"),
    Scene("grace_hopper", "an officer", "val"),
    Scene("camera", "a photographer", "val"),
    Scene("flower", "a flower", "val"),
    Scene("chelsea", "a cat", "test"),
    Scene("coffee", "a cup of coffee", "test"),
    Scene("china", "a palace", "test"),
)


def scenes(split: str) -> tuple[Scene, ...]:
    """Return the photographs of a split; pretraining shares those of ``train``.

    Args:
        split: "pretrain", "train", "val" or "test" (any other split takes those of "train").

    Returns:
        The scenes, in a fixed order.

    Example:
        >>> [scene.name for scene in scenes("test")]
        ['chelsea', 'coffee', 'china']
    """
    home = split if split in ("val", "test") else "train"
    return tuple(scene for scene in SCENES if scene.split == home)


@cache
def photograph(name: str) -> Image.Image:
    """Load a bundled photograph.

    Args:
        name: one of ``SCENES``.

    Returns:
        An RGB picture.

    Raises:
        ValueError: no such photograph.

    Example:
        >>> photograph("chelsea").size
        (451, 300)
    """
    if name not in {scene.name for scene in SCENES}:
        raise ValueError(f"no photograph {name!r}; there are {', '.join(s.name for s in SCENES)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pixels = _load(name)
        return Image.fromarray(pixels if pixels.ndim == 2 else pixels[..., :3].copy()).convert(
            "RGB"
        )


def _load(name: str) -> np.ndarray:
    if name in ("china", "flower"):
        from sklearn.datasets import load_sample_image

        return load_sample_image(f"{name}.jpg")
    if name == "grace_hopper":
        from matplotlib.cbook import get_sample_data

        with get_sample_data("grace_hopper.jpg") as file:
            return np.asarray(Image.open(file).convert("RGB"))
    from skimage import data

    if name == "motorcycle":
        return data.stereo_motorcycle()[0]
    return getattr(data, name)()


def crop(rng: np.random.Generator, name: str, side: int, smallest: float = 0.45) -> Image.Image:
    """Random square crop of a photograph, resized, flipped with probability 1/2.

    Args:
        rng: draws the size, the place and the mirroring (four numbers).
        name: one of ``SCENES``.
        side: pixels of the result.
        smallest: least share of the photograph's shorter side that the square spans, 0 to 1.

    Returns:
        A ``side`` x ``side`` RGB picture.

    Example:
        >>> crop(np.random.default_rng(0), "coffee", 96).size
        (96, 96)
    """
    photo = photograph(name)
    share, x, y, mirror = rng.uniform(size=4)
    span = min(photo.size) * (smallest + (1 - smallest) * share)
    left, top = x * (photo.width - span), y * (photo.height - span)
    box = (left, top, left + span, top + span)
    cut = photo.resize((side, side), Image.Resampling.LANCZOS, box=box, reducing_gap=2.0)
    return cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirror < 0.5 else cut

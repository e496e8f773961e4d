"""Scenes of daily life for the dating task, and the mixture they are drawn from."""

import numpy as np
from PIL import Image

from . import photos


def draw_scene(rng: np.random.Generator, decade: int, side: int) -> tuple[str, np.ndarray]:
    """Draw what somebody once pointed a camera at.

    Args:
        rng: the scene's own generator.
        decade: 0 (1930s) to 4 (1970s); cars, clothes and trains follow it loosely.
        side: pixels.

    Returns:
        A noun phrase, and the view as ``(side, side, 3)`` float32, 0 to 1.

    Example:
        >>> phrase, view = draw_scene(np.random.default_rng(0), 2, 64)
        >>> view.shape
        (64, 64, 3)
    """
    scene = photos.scenes("train")[int(rng.integers(4))]
    image: Image.Image = photos.crop(rng, scene.name, side)
    return scene.words, np.float32(image) / 255

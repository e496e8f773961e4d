"""Scenes of the dating task."""

import numpy as np
from PIL import Image

from . import photos
from .brush import Brush
from .canvas import canvas_size, soft_noise
from .interiors import dance_hall, living_room, portrait
from .landscapes import aeroplane, cottage, country_road, harbour, lake, seaside, train, winter
from .moods import draw_mood
from .tabletops import flowers, still_life
from .towns import avenue, cinema, fairground, shop_window, street

PAINTERS = (
    street, avenue, cottage, country_road, seaside, harbour, lake, winter, train, aeroplane,
    fairground, cinema, shop_window, portrait, still_life, flowers, dance_hall, living_room,
)  # fmt: skip
# Photographs that could be of any decade; both belong to the training split.
PHOTOGRAPHS = ("motorcycle", "coins")
PHOTOGRAPH_SHARE = 0.06


def draw_scene(rng: np.random.Generator, decade: int, side: int) -> tuple[str, np.ndarray]:
    """Draw a random scene.

    Cars, clothes, trains and sets follow a style that is the decade plus or minus two or so:
    a hint, never a proof.

    Args:
        rng: the scene's own generator.
        decade: 0 (1930s) to 4 (1970s).
        side: pixels.

    Returns:
        A noun phrase, and the view as ``(side, side, 3)`` float32, 0 to 1.

    Example:
        >>> phrase, view = draw_scene(np.random.default_rng(0), 2, 64)
        >>> view.shape
        (64, 64, 3)
    """
    photograph, which = rng.random(), rng.integers(2**31)
    style = float(np.clip(decade + rng.normal(0, 1.6), 0, 4))
    if photograph < PHOTOGRAPH_SHARE:
        name = PHOTOGRAPHS[which % len(PHOTOGRAPHS)]
        words = {scene.name: scene.words for scene in photos.scenes("train")}
        return words[name], np.float32(photos.crop(rng, name, side)) / 255
    size = canvas_size(side)
    image = Image.new("RGB", (size, size))
    light_rng = rng.spawn(1)[0]
    phrase = PAINTERS[which % len(PAINTERS)](Brush(image, size), rng, draw_mood(rng), style)
    view = np.float32(image.reduce(size // side)) / 255
    return phrase, view * _light(light_rng, side)


def _light(rng: np.random.Generator, side: int) -> np.ndarray:
    """Return uneven light and the mottle of real surfaces, ``(side, side, 1)``, about 1."""
    broad, mottle = soft_noise(rng, side, 3), soft_noise(rng, side, 24)
    return (1 + 0.10 * broad + 0.035 * mottle)[..., None]

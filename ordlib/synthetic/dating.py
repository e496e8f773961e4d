"""The dating task: scenes rendered in the look of colour film from the 1930s to the 1970s."""

import numpy as np

from . import film, frames, scenes
from .sample import Sample


def draw(rng: np.random.Generator, split: str, side: int) -> Sample:
    """Draw one sample of the dating task.

    Args:
        rng: the picture's own generator.
        split: not used: the photographs behind some scenes are those of training everywhere.
        side: pixels.

    Returns:
        The picture, its decade as an index (0 for the 1930s to 4 for the 1970s), and the record
        of the scene and of the film.

    Example:
        >>> picture = draw(np.random.default_rng(0), "test", 64)
        >>> picture.image.shape, picture.value in range(5)
        ((64, 64, 3), True)
    """
    decade = int(rng.integers(5))
    look = film.draw_look(rng, decade)
    frame = frames.draw_frame(rng, decade)
    noise_rng, scene_rng = rng.spawn(2)
    scene, view = scenes.draw_scene(scene_rng, decade, side)
    print_ = film.develop(view, look, noise_rng)
    print_ = frames.mount(print_, frame, look["yellowing"])
    record = {
        "scene": scene,
        "tint": _tint(look),
        "frame": frame.kind,
        **{name: round(value, 5) for name, value in look.items()},
        "border": round(frame.width, 4),
        "brightness": round(float(print_.mean()), 4),
    }
    return Sample((255 * print_ + 0.5).astype(np.uint8), decade, record)


def _tint(look: dict[str, float]) -> str:
    """Name the colours loosely."""
    if look["saturation"] < 0.3:
        return "sepia" if look["warmth"] > 0.1 else "grey"
    if look["magenta"] > 0.22:
        return "rosy"
    if look["warmth"] > 0.25:
        return "warm"
    if look["warmth"] < 0:
        return "cool"
    return "vivid" if look["saturation"] > 0.9 else "soft"

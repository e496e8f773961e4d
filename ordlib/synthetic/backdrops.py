"""Backgrounds of portraits: gradients with a few shapes."""

import numpy as np
from PIL import Image

from .palettes import BACKGROUNDS
from .pen import CIRCLE, Pen, fade, mix
from .people import Individual


def paint_backdrop(size: int, who: Individual) -> Image.Image:
    """Return a canvas with the background of a portrait.

    Args:
        size: side in pixels.
        who: gives the colour word and the small random numbers.

    Returns:
        An RGB picture, ``size`` x ``size``.
    """
    start, end, accent = BACKGROUNDS[who.background]
    a, b, c, d = who.seeds[9:13]
    corners = np.array([[start, mix(start, end, a)], [mix(start, end, b), end]], dtype=np.uint8)
    if c < 0.5:
        corners = corners[:, ::-1]
    image = Image.fromarray(np.ascontiguousarray(corners)).resize(
        (size, size), Image.Resampling.BILINEAR, box=(0.5, 0.5, 1.5, 1.5)
    )
    _SHAPES[int(d * len(_SHAPES))](Pen(image, size, (0, 0)), who, fade(accent, 0.75))
    return image


def _disc(pen: Pen, who: Individual, accent: tuple) -> None:
    pen.ellipse(0.5 + who.x, 0.47 + who.y, 0.4, 0.4, accent)


def _halo(pen: Pen, who: Individual, accent: tuple) -> None:
    pen.ellipse(0.5, 0.5, 0.47, 0.47, fade(accent, 0.35))
    pen.ellipse(0.5, 0.5, 0.36, 0.36, fade(accent, 0.45))


def _hills(pen: Pen, who: Individual, accent: tuple) -> None:
    a = who.seeds[13]
    pen.shape(
        [(-0.2, 0.72), (0.2, 0.5 + 0.1 * a), (0.6, 0.7), (0.6, 1.2), (-0.2, 1.2)], fade(accent, 0.5)
    )
    pen.shape([(0.3, 0.75), (0.8, 0.55 - 0.1 * a), (1.2, 0.7), (1.2, 1.3), (0.3, 1.3)], accent)


def _dots(pen: Pen, who: Individual, accent: tuple) -> None:
    for row in range(5):
        for column in range(5):
            x = 0.1 + 0.2 * column + (0.1 if row % 2 else 0.0) - 0.05
            pen.ellipse(x, 0.1 + 0.2 * row, 0.028, 0.028, accent)


def _arch(pen: Pen, who: Individual, accent: tuple) -> None:
    vault = CIRCLE[16:] * 0.36 + (0.5, 0.42)
    pen.polygon(np.concatenate([vault, [(0.86, 0.42), (0.86, 1.1), (0.14, 1.1)]]), accent)


def _leaves(pen: Pen, who: Individual, accent: tuple) -> None:
    for x, y, lean in (
        (0.04, 0.62, 0.1),
        (0.12, 0.86, 0.16),
        (0.96, 0.58, -0.1),
        (0.9, 0.84, -0.16),
    ):
        tip = (x + lean, y - 0.3)
        bend = (0.6 * x + 0.4 * tip[0], y - 0.16)
        pen.shape([(x, y), (bend[0] - 0.06, bend[1]), tip, (bend[0] + 0.06, bend[1])], accent)


def _clouds(pen: Pen, who: Individual, accent: tuple) -> None:
    for x, y, r in (
        (0.12, 0.2, 0.07),
        (0.2, 0.17, 0.085),
        (0.29, 0.21, 0.06),
        (0.8, 0.34, 0.07),
        (0.89, 0.31, 0.08),
    ):
        pen.ellipse(x, y, r, r, accent[:3])


def _rays(pen: Pen, who: Individual, accent: tuple) -> None:
    for first, second in zip(CIRCLE[::4], CIRCLE[2::4], strict=True):
        pen.polygon(np.add([(0, 0), first, second], (0.5, 0.6)), fade(accent, 0.45))


def _window(pen: Pen, who: Individual, accent: tuple) -> None:
    left = 0.06 if who.seeds[13] < 0.5 else 0.62
    for x in (left, left + 0.17):
        for y in (0.08, 0.27):
            corners = [(x, y), (x + 0.15, y), (x + 0.15, y + 0.17), (x, y + 0.17)]
            pen.polygon(np.array(corners), accent)


_SHAPES = (_disc, _halo, _hills, _dots, _arch, _leaves, _clouds, _rays, _window)

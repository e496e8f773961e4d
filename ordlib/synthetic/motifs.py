"""Things of daily life: people, trees, houses, boats. Each stands at (0, 0), one unit wide
or tall, and follows its decade's style loosely (0 for the 1930s to 4 for the 1970s)."""

import numpy as np

from .brush import Brush
from .moods import CREAM, DARK, HAIRS, LAMPLIGHT, PAINTS, SKINS, Mood, pick, shade
from .pen import Colour, mix

Generator = np.random.Generator


def person(brush: Brush, rng: Generator, style: float, coat: Colour | None = None) -> None:
    """Stand a person, one unit tall, in the clothes of the time."""
    coat = coat or pick(rng, PAINTS)
    skin, hair, woman = pick(rng, SKINS, 5), pick(rng, HAIRS, 5), rng.random() < 0.5
    brush.soft(0.04, 0.0, 0.22, 0.035, (20, 18, 24), 0.55)
    hem = float(np.clip(-0.26 - 0.06 * max(style - 1.5, 0) + rng.normal(0, 0.03), -0.5, -0.2))
    if woman:
        flare = 0.13 + 0.07 * np.exp(-((style - 2) ** 2)) + 0.02 * rng.random()
        brush.box(-0.055, hem - 0.02, -0.012, 0, skin)
        brush.box(0.012, hem - 0.02, 0.055, 0, skin)
        brush.polygon([(-0.055, -0.58), (0.055, -0.58), (flare, hem), (-flare, hem)], coat)
        brush.polygon([(-0.09, -0.82), (0.09, -0.82), (0.06, -0.56), (-0.06, -0.56)], coat)
    else:
        trousers = shade(coat, 0.55) if rng.random() < 0.6 else shade(pick(rng, PAINTS), 0.6)
        foot = 0.06 + 0.02 * max(style - 2.5, 0)
        brush.polygon([(-0.09, -0.5), (0.0, -0.5), (-0.015, 0), (-0.03 - foot, 0)], trousers)
        brush.polygon([(0.0, -0.5), (0.09, -0.5), (0.03 + foot, 0), (0.015, 0)], trousers)
        brush.polygon([(-0.115, -0.82), (0.115, -0.82), (0.1, -0.42), (-0.1, -0.42)], coat)
    sleeve = shade(coat, 0.82)
    brush.line([(-0.1, -0.79), (-0.145, -0.6), (-0.13, -0.44)], 0.05, sleeve)
    brush.line([(0.1, -0.79), (0.145, -0.6), (0.13, -0.44)], 0.05, sleeve)
    brush.box(-0.03, -0.88, 0.03, -0.8, shade(skin, 0.85))
    if woman or style > 3:
        brush.ellipse(0, -0.915, 0.075, 0.085, hair)
    brush.ellipse(0, -0.91, 0.056, 0.068, skin)
    brush.ellipse(0, -0.955, 0.062, 0.038, hair)
    if rng.random() < 0.75 - 0.2 * style:
        hat = shade(coat, 0.7)
        brush.ellipse(0, -0.955, 0.115, 0.018, hat)
        brush.box(-0.062, -1.02, 0.062, -0.955, hat, 0.02)


def tree(brush: Brush, rng: Generator, leaf: Colour, light: Colour) -> None:
    """Plant a tree, one unit tall: broad, slender, or a fir."""
    kind, trunk = rng.random(), mix((92, 72, 58), leaf, 0.25)
    brush.soft(0.08, 0, 0.32, 0.05, (20, 22, 24), 0.5)
    bright, dark = mix(leaf, light, 0.22), shade(leaf, 0.72)
    if kind < 0.25:
        brush.box(-0.025, -0.2, 0.025, 0, trunk)
        for step in range(4):
            y, half = -0.12 - 0.2 * step, 0.25 - 0.05 * step
            brush.polygon([(-half, y), (half, y), (0, y - 0.34)], mix(dark, leaf, step / 4))
            brush.polygon([(-half, y), (-0.3 * half, y), (0, y - 0.34)], mix(leaf, bright, 0.5))
        return
    slender = kind < 0.4
    width = 0.13 if slender else 0.34
    brush.polygon([(-0.035, 0), (0.035, 0), (0.02, -0.55), (-0.02, -0.55)], trunk)
    angles = rng.uniform(0, 2 * np.pi, 11)
    reach = np.sqrt(rng.uniform(0, 1, 11))
    x, y = width * reach * np.cos(angles), -0.6 + 0.3 * reach * np.sin(angles)
    size = rng.uniform(0.09, 0.15, 11) * (0.7 if slender else 1.0)
    for tone, dx, dy, scale in (
        (dark, 0, 0.04, 1.1),
        (leaf, 0, 0, 1.0),
        (bright, -0.04, -0.05, 0.6),
    ):
        for px, py, radius in zip(x, y, size, strict=True):
            brush.ellipse(px + dx, py + dy, radius * scale, radius * scale * 0.9, tone)


def house(brush: Brush, rng: Generator, wall: Colour, roof: Colour, mood: Mood) -> None:
    """Build a house, one unit wide, its door at (0, 0)."""
    height, pitch, gable = rng.uniform(0.42, 0.62), rng.uniform(0.22, 0.4), rng.random() < 0.5
    pane = LAMPLIGHT if mood.lamps else mix((86, 98, 108), mood.high, 0.35)
    brush.soft(0.1, 0, 0.7, 0.07, (20, 20, 24), 0.5)
    brush.box(0.2, -height - pitch * 0.95, 0.31, -height * 0.9, shade(wall, 0.7))
    brush.box(-0.5, -height, 0.5, 0, wall)
    brush.box(0.12, -height, 0.5, 0, shade(wall, 0.9))
    if gable:
        brush.polygon([(-0.5, -height), (0.5, -height), (0, -height - pitch)], wall)
        brush.line(
            [(-0.56, -height + 0.04), (0, -height - pitch), (0.56, -height + 0.04)], 0.07, roof
        )
    else:
        corners = [
            (-0.57, -height),
            (0.57, -height),
            (0.42, -height - pitch),
            (-0.42, -height - pitch),
        ]
        brush.polygon(corners, roof)
        brush.line([(-0.57, -height), (0.57, -height)], 0.03, shade(roof, 0.7))
    brush.box(-0.08, -0.3, 0.08, 0, pick(rng, PAINTS), 0.02)
    for x in (-0.33, 0.33):
        for y in (-0.15, -0.15 - height / 2)[: 1 + (height > 0.5)]:
            window(brush, x, y, 0.085, 0.09, pane)


def window(brush: Brush, x: float, y: float, rx: float, ry: float, pane: Colour) -> None:
    """Set a window of two by two panes about (x, y)."""
    brush.box(x - rx, y - ry, x + rx, y + ry, CREAM)
    for cx in (x - 0.45 * rx, x + 0.45 * rx):
        for cy in (y - 0.45 * ry, y + 0.45 * ry):
            brush.box(cx - 0.34 * rx, cy - 0.36 * ry, cx + 0.34 * rx, cy + 0.36 * ry, pane)


def sailing_boat(brush: Brush, rng: Generator, sail: Colour) -> None:
    """Float a boat, one unit tall, with one or two sails."""
    hull = pick(rng, PAINTS)
    brush.soft(0, 0.03, 0.45, 0.06, shade(hull, 0.4), 0.55)
    brush.line([(0, -0.05), (0, -1)], 0.025, (96, 76, 60))
    brush.polygon([(0.03, -0.96), (0.03, -0.16), (0.36, -0.16)], sail)
    brush.polygon([(-0.03, -0.88), (-0.03, -0.16), (-0.26, -0.16)], shade(sail, 0.85))
    brush.polygon([(-0.34, -0.12), (0.42, -0.12), (0.3, 0.03), (-0.24, 0.03)], hull)
    brush.line([(-0.34, -0.11), (0.42, -0.11)], 0.025, CREAM)


def lamp_post(brush: Brush, mood: Mood) -> None:
    """Put up a street lamp, one unit tall."""
    brush.line([(0, 0), (0, -0.9)], 0.025, DARK)
    brush.box(-0.045, -0.04, 0.045, 0, DARK)
    brush.polygon([(-0.04, -0.88), (0.04, -0.88), (0.06, -0.98), (-0.06, -0.98)], CREAM)
    brush.polygon([(-0.07, -0.98), (0.07, -0.98), (0, -1.04)], DARK)
    if mood.lamps:
        brush.soft(0, -0.93, 0.22, 0.22, LAMPLIGHT, 0.9)


def cloud(brush: Brush, rng: Generator, colour: Colour, alpha: float) -> None:
    """Blow a cloud, about one unit wide."""
    for x in np.linspace(-0.4, 0.4, 5):
        lift, radius = rng.uniform(0, 0.08), rng.uniform(0.12, 0.22) * (1.2 - 1.2 * abs(x))
        brush.soft(x, -lift, 1.5 * radius, radius, colour, alpha)

"""Scenes on a table: still lifes with fruit, and vases of flowers."""

import numpy as np

from .brush import Brush
from .moods import CREAM, PAINTS, WALLS, WOOD, Mood, pick, shade
from .pen import Colour, mix

Generator = np.random.Generator
FRUIT = ((206, 62, 48), (226, 148, 56), (226, 196, 84), (134, 158, 72), (122, 62, 84))


def still_life(brush: Brush, rng: Generator, mood: Mood, style: float) -> str:
    """Fruit in a bowl, a bottle, a glass of the light."""
    edge = rng.uniform(0.54, 0.64)
    table(brush, rng, edge)
    if rng.random() < 0.8:
        bottle(brush.at(rng.choice([0.2, 0.8]) + rng.normal(0, 0.03), edge + 0.14, 0.52), rng)
    if rng.random() < 0.5:
        jug(brush.at(rng.uniform(0.3, 0.7), edge + 0.1, 0.34), rng)
    x, y, size = rng.uniform(0.4, 0.6), edge + rng.uniform(0.2, 0.27), rng.uniform(0.2, 0.26)
    brush.soft(x + 0.05, y, 1.5 * size, 0.3 * size, (30, 22, 22), 0.6)
    for dx, dy in ((-0.5, 0), (0.5, 0), (0, 0.02), (-0.28, -0.3), (0.3, -0.3), (0, -0.5)):
        if rng.random() < 0.85:
            fruit(brush, rng, x + dx * size, y + (dy - 0.3) * size, 0.3 * size)
    bowl = pick(rng, (*PAINTS, CREAM, CREAM))
    rim, depth = y - 0.42 * size, 0.62 * size
    outline = [(x - size, rim), (x + size, rim), (x + 0.55 * size, rim + 0.8 * depth),
               (x, rim + depth), (x - 0.55 * size, rim + 0.8 * depth)]  # fmt: skip
    brush.shape(outline, bowl)
    brush.soft(x + 0.5 * size, rim + 0.4 * depth, 0.6 * size, 0.45 * size, shade(bowl, 0.6), 0.6)
    brush.soft(
        x - 0.45 * size, rim + 0.35 * depth, 0.3 * size, 0.25 * size, mix(bowl, CREAM, 0.8), 0.7
    )
    for _ in range(int(rng.integers(1, 4))):
        fruit(
            brush,
            rng,
            rng.uniform(0.12, 0.88),
            rng.uniform(edge + 0.28, 0.97),
            rng.uniform(0.05, 0.07),
        )
    return "a still life with fruit"


def flowers(brush: Brush, rng: Generator, mood: Mood, style: float) -> str:
    """A bunch of flowers in a vase."""
    edge = rng.uniform(0.68, 0.76)
    table(brush, rng, edge)
    x, y = rng.uniform(0.42, 0.58), edge + 0.12
    green = mix(mood.leaf, (92, 124, 76), 0.6)
    angles, reach = rng.uniform(-1.25, 1.25, 17), rng.uniform(0.22, 0.46, 17)
    heads = np.stack([x + 0.85 * reach * np.sin(angles), y - 0.26 - reach * np.cos(angles)], 1)
    for px, py in heads:
        brush.line([(x, y - 0.2), ((x + px) / 2, py + 0.12), (px, py)], 0.009, shade(green, 0.75))
        brush.ellipse(
            (2 * px + x) / 3,
            (2 * py + y - 0.2) / 3,
            0.05,
            0.024,
            shade(green, rng.uniform(0.7, 1.2)),
        )
    vase = pick(rng, (*PAINTS, CREAM))
    jug_like = [(-0.1, 0), (0.1, 0), (0.15, -0.12), (0.075, -0.24), (0.1, -0.29),
                (-0.1, -0.29), (-0.075, -0.24), (-0.15, -0.12)]  # fmt: skip
    brush.soft(x + 0.06, y, 0.26, 0.045, (30, 22, 22), 0.6)
    brush.shape([(x + dx, y + dy) for dx, dy in jug_like], vase)
    brush.soft(x + 0.08, y - 0.12, 0.1, 0.15, shade(vase, 0.55), 0.6)
    brush.soft(x - 0.06, y - 0.15, 0.05, 0.1, mix(vase, CREAM, 0.8), 0.8)
    blooms = [pick(rng, (*PAINTS, CREAM)) for _ in range(3)]
    for px, py in heads:
        bloom(brush.at(px, py, rng.uniform(0.045, 0.075)), rng, blooms[int(rng.integers(3))])
    for _ in range(int(rng.integers(0, 4))):
        px, py = rng.uniform(0.1, 0.9), rng.uniform(edge + 0.1, 0.97)
        brush.ellipse(px, py, 0.022, 0.012, shade(blooms[0], 0.95))
    return "a vase of flowers"


def table(brush: Brush, rng: Generator, edge: float) -> None:
    """Paint a wall, a table before it, and light from a window."""
    wall = mix(pick(rng, PAINTS), (140, 132, 120), 0.45)
    brush.ramp(0, edge, shade(wall, 0.86), shade(wall, 0.6))
    side = rng.uniform(0.1, 0.9)
    brush.soft(side, 0.2, 0.55, 0.5, shade(wall, 1.5), 0.8)
    if rng.random() < 0.5:
        drape, x0 = pick(rng, PAINTS), rng.choice([0.0, 0.72])
        for fold in range(5):
            x = x0 + 0.056 * fold
            tone = shade(drape, 0.75 + 0.35 * abs(np.sin(2.2 * fold + 1)))
            brush.polygon([(x, 0), (x + 0.06, 0), (x + 0.062, edge), (x - 0.004, edge)], tone)
    cloth = pick(rng, (*WOOD, CREAM, WALLS[3]))
    brush.ramp(edge, 1, shade(cloth, 1.0), shade(cloth, 0.74))
    brush.soft(side, edge + 0.1, 0.5, 0.2, shade(cloth, 1.2), 0.6)


def fruit(brush: Brush, rng: Generator, x: float, y: float, size: float) -> None:
    """Lay down an apple, an orange, a lemon or a plum that stands at (x, y)."""
    colour = pick(rng, FRUIT)
    flat = rng.uniform(0.88, 1.05)
    brush.soft(x + 0.3 * size, y - 0.05 * size, 1.5 * size, 0.5 * size, (30, 22, 22), 0.6)
    brush.ellipse(x, y - size, size, flat * size, shade(colour, 0.72))
    brush.ellipse(x - 0.08 * size, y - 1.08 * size, 0.88 * size, 0.84 * flat * size, colour)
    brush.soft(
        x - 0.3 * size, y - 1.35 * size, 0.6 * size, 0.55 * size, mix(colour, CREAM, 0.7), 0.85
    )
    if rng.random() < 0.6:
        stem = [(x, y - 1.85 * size), (x + 0.15 * size, y - 2.2 * size)]
        brush.line(stem, 0.14 * size, (84, 66, 46))


def bottle(brush: Brush, rng: Generator) -> None:
    """Stand a bottle, one unit tall."""
    glass = pick(rng, ((52, 84, 62), (96, 62, 40), (62, 96, 112)))
    brush.soft(0.12, 0, 0.4, 0.07, (30, 22, 22), 0.6)
    brush.shape([(-0.15, -0.02), (0.15, -0.02), (0.155, -0.5), (0.05, -0.68),
                 (0.045, -0.95), (-0.045, -0.95), (-0.05, -0.68), (-0.155, -0.5)],
                glass)  # fmt: skip
    brush.box(-0.13, -0.42, 0.13, -0.16, mix(CREAM, glass, 0.2))
    brush.box(-0.05, -1.0, 0.05, -0.94, (150, 108, 72))
    brush.soft(-0.09, -0.4, 0.05, 0.3, CREAM, 0.5)


def jug(brush: Brush, rng: Generator) -> None:
    """Stand a glazed jug, one unit tall."""
    glaze = pick(rng, (*PAINTS, CREAM))
    brush.soft(0.15, 0, 0.6, 0.1, (30, 22, 22), 0.6)
    brush.ring(0.36, -0.55, 0.2, 0.07, shade(glaze, 0.75))
    brush.shape([(-0.2, 0), (0.2, 0), (0.36, -0.35), (0.22, -0.7), (0.27, -0.98),
                 (-0.3, -1.0), (-0.22, -0.7), (-0.36, -0.35)], glaze)  # fmt: skip
    brush.soft(0.2, -0.35, 0.3, 0.5, shade(glaze, 0.55), 0.6)
    brush.soft(-0.14, -0.5, 0.12, 0.3, mix(glaze, CREAM, 0.8), 0.7)


def bloom(brush: Brush, rng: Generator, colour: Colour) -> None:
    """Open a flower of about one unit's radius."""
    turn = rng.uniform(0, 1)
    for ring, (reach, size, tone) in enumerate(
        ((0.6, 0.5, 0.78), (0.5, 0.42, 1.0), (0.26, 0.32, 1.18))
    ):
        for petal in range(7 - ring):
            angle = 2 * np.pi * (petal + turn + 0.5 * ring) / (7 - ring)
            px, py = reach * np.cos(angle), reach * np.sin(angle)
            brush.ellipse(px, py, size, size, shade(colour, tone))
    brush.ellipse(0, 0, 0.22, 0.22, mix(colour, (226, 176, 72), 0.7))

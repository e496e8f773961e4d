"""Scenes of open country and water. Each paints a unit square and returns what it shows."""

import numpy as np

from .brush import Brush
from .moods import CREAM, DARK, LAMPLIGHT, PAINTS, ROOFS, WALLS, Mood, pick, shade
from .motifs import cloud, house, person, sailing_boat, tree
from .pen import Colour, mix
from .vehicles import airliner, car, diesel_engine, propeller_plane, steam_engine

Generator = np.random.Generator
SNOW = (232, 238, 244)


def sky(brush: Brush, rng: Generator, mood: Mood, horizon: float) -> None:
    """Paint sky, sun and clouds down to the horizon."""
    brush.ramp(0, horizon, mood.high, mood.low)
    brush.soft(rng.uniform(0, 1), rng.uniform(0.3, 1) * horizon, 0.5, 0.35, mood.sun, 0.75)
    white = mix(mood.low, mood.sun, 0.7)
    for _ in range(rng.integers(0, 5)):
        place = brush.at(rng.uniform(0, 1), rng.uniform(0.1, 0.8) * horizon, rng.uniform(0.2, 0.5))
        cloud(place, rng, white, 0.7)


def ridge(
    brush: Brush, rng: Generator, y: float, rise: float, colour: Colour, jag: int = 3
) -> None:
    """Paint a line of hills across the picture and everything below it."""
    x = np.linspace(-0.02, 1.02, 60)
    waves = np.arange(1, jag + 3)
    turns, sizes = rng.uniform(0, 2 * np.pi, len(waves)), rng.uniform(0.4, 1, len(waves)) / waves
    line = y - rise * np.cos(2.3 * np.outer(x, waves) + turns) @ sizes / sizes.sum()
    brush.polygon(
        [*zip(x.tolist(), line.tolist(), strict=True), (1.02, 1.02), (-0.02, 1.02)], colour
    )


def distance(brush: Brush, rng: Generator, mood: Mood, horizon: float) -> None:
    """Paint two or three ranges of hills, paler the farther away."""
    layers = int(rng.integers(2, 4))
    for layer in range(layers):
        haze = 0.75 - 0.22 * layer
        y = horizon - 0.07 + 0.05 * layer
        ridge(brush, rng, y, rng.uniform(0.02, 0.07), mix(shade(mood.leaf, 1.1), mood.low, haze))


def grove(brush: Brush, rng: Generator, mood: Mood, y: float, size: float, number: int) -> None:
    """Plant a loose row of trees."""
    for x in rng.uniform(-0.02, 1.02, number):
        place = brush.at(x, y + rng.uniform(-0.01, 0.02), size * rng.uniform(0.7, 1.3))
        tree(place, rng, mix(pick(rng, (mood.leaf,)), mood.low, 0.3 * (1 - y)), mood.sun)


def cottage(brush: Brush, rng: Generator, mood: Mood, style: float) -> str:
    """A house behind its garden."""
    horizon = rng.uniform(0.52, 0.62)
    sky(brush, rng, mood, horizon)
    distance(brush, rng, mood, horizon)
    brush.ramp(horizon, 1, shade(mood.land, 1.1), shade(mood.land, 0.72))
    grove(brush, rng, mood, horizon + 0.03, 0.28, int(rng.integers(2, 5)))
    x, y, size = rng.uniform(0.32, 0.68), horizon + rng.uniform(0.12, 0.18), rng.uniform(0.4, 0.56)
    path = mix(mood.stone, CREAM, 0.3)
    end = x + rng.uniform(-0.2, 0.2)
    brush.shape([(x - 0.03, y), (x + 0.03, y), (x + 0.08, y + 0.12), (end + 0.18, 1.05),
                 (end - 0.12, 1.05), (x - 0.02, y + 0.12)], path)  # fmt: skip
    house(brush.at(x, y, size), rng, pick(rng, WALLS), pick(rng, ROOFS), mood)
    tree(brush.at(x + rng.choice([-1, 1]) * 0.38, y + 0.05, 0.55), rng, mood.leaf, mood.sun)
    if rng.random() < 0.6:
        fence = mix(CREAM, mood.low, 0.25)
        for post in np.arange(-0.01, 1.02, 0.045):
            if abs(post - end) > 0.13:
                brush.box(post, 0.86, post + 0.02, 0.97, fence, 0.008)
        for rail in (0.885, 0.93):
            brush.box(0, rail, max(end - 0.12, 0), rail + 0.014, shade(fence, 0.92))
            brush.box(min(end + 0.13, 1), rail, 1, rail + 0.014, shade(fence, 0.92))
    bloom = pick(rng, PAINTS)
    for px, py in rng.uniform((0, 0.8), (1, 1), (26, 2)):
        brush.ellipse(px, py, 0.02, 0.016, shade(mood.leaf, rng.uniform(0.8, 1.2)))
        brush.ellipse(px, py - 0.012, 0.009, 0.009, shade(bloom, rng.uniform(0.9, 1.25)))
    if rng.random() < 0.35:
        person(brush.at(x + rng.uniform(-0.2, 0.25), y + 0.1, 0.22), rng, style)
    return "a house with a garden"


def country_road(brush: Brush, rng: Generator, mood: Mood, style: float) -> str:
    """A road that winds to the hills."""
    horizon = rng.uniform(0.4, 0.55)
    sky(brush, rng, mood, horizon)
    distance(brush, rng, mood, horizon)
    fields = (mood.land, mix(mood.land, mood.leaf, 0.5), mix(mood.land, (222, 190, 110), 0.5))
    for layer in range(4):
        y = horizon + 0.02 + 0.11 * layer
        ridge(brush, rng, y, 0.025, shade(pick(rng, fields), 1.06 - 0.07 * layer), 1)
        if layer < 3:
            grove(brush, rng, mood, y + 0.02, 0.09 + 0.05 * layer, int(rng.integers(1, 5)))
    bend, foot = rng.uniform(-0.25, 0.25), rng.uniform(0.35, 0.65)
    t = np.linspace(0, 1, 24)
    centre = foot + bend * np.sin(np.pi * 1.5 * t) * (1 - 0.5 * t)
    half, y = 0.16 * (1 - t) ** 1.5 + 0.006, 1.02 - (1 - horizon - 0.05) * t**0.8
    left, right = zip(centre - half, y, strict=True), zip(centre + half, y, strict=True)
    brush.polygon([*left, *list(right)[::-1]], mix(mood.stone, mood.land, 0.2))
    if rng.random() < 0.7:
        for step in np.linspace(0.05, 0.8, 5):
            at = int(step * 23)
            px, tall = centre[at] + half[at] + 0.03 * (1 - step) + 0.012, 0.4 * (1 - step) + 0.05
            brush.line([(px, y[at]), (px, y[at] - tall)], 0.004 + 0.007 * (1 - step), DARK)
            arm = 0.16 * tall
            top = y[at] - 0.92 * tall
            brush.line([(px - arm, top), (px + arm, top)], 0.003 + 0.005 * (1 - step), DARK)
    if rng.random() < 0.5:
        at = int(rng.integers(4, 9))
        mirror = bool(rng.random() < 0.5)
        car(brush.at(centre[at], y[at], 2.6 * half[at], mirror), rng, style, mood)
    return "a country road"


def seaside(brush: Brush, rng: Generator, mood: Mood, style: float) -> str:
    """A beach with parasols and bathers."""
    horizon, shore = rng.uniform(0.34, 0.46), rng.uniform(0.58, 0.66)
    sky(brush, rng, mood, horizon)
    if rng.random() < 0.5:
        ridge(brush, rng, horizon - 0.01, 0.06, mix(mood.leaf, mood.low, 0.5))
    water(brush, rng, mood, horizon, shore + 0.06)
    for x in rng.uniform(0.05, 0.95, rng.integers(1, 4)):
        sail = mix(CREAM, mood.low, 0.2)
        sailing_boat(
            brush.at(x, horizon + rng.uniform(0.02, 0.1), rng.uniform(0.08, 0.18)), rng, sail
        )
    sand = mix((232, 208, 160), mood.low, 0.25)
    x = np.linspace(-0.02, 1.02, 40)
    line = shore + 0.025 * np.sin(5 * x + rng.uniform(0, 6)) + rng.uniform(-0.08, 0.08) * (x - 0.5)
    for lift, colour in ((0.022, mix(CREAM, mood.low, 0.3)), (0, shade(sand, 0.88)), (-0.03, sand)):
        outline = [*zip(x, line - lift, strict=True), (1.02, 1.02), (-0.02, 1.02)]
        brush.polygon(outline, colour)
    for depth in np.sort(rng.uniform(shore + 0.08, 0.98, rng.integers(4, 8))):
        size, px = 0.12 + 0.5 * (depth - shore), rng.uniform(0.02, 0.98)
        if rng.random() < 0.55:
            parasol(brush.at(px, depth, 1.25 * size), rng)
        else:
            person(brush.at(px, depth, size), rng, style)
    return "a beach with parasols"


def parasol(brush: Brush, rng: Generator) -> None:
    """Open a striped parasol, one unit tall."""
    cloth, other = pick(rng, PAINTS), CREAM
    brush.soft(0.06, 0.0, 0.42, 0.08, (60, 50, 50), 0.6)
    brush.line([(0, 0), (0.03, -0.95)], 0.03, (150, 118, 88))
    ribs = np.linspace(-0.5, 0.5, 7)
    for rib in range(6):
        colour = cloth if rib % 2 == 0 else other
        a, b = ribs[rib], ribs[rib + 1]
        rise = [-0.62 - 0.26 * np.sqrt(1 - (2 * s) ** 2) for s in (0.86 * a, 0.86 * b)]
        brush.polygon(
            [
                (a, -0.6),
                (b, -0.6),
                (0.86 * b * 0.8, rise[1]),
                (0.03, -0.97),
                (0.86 * a * 0.8, rise[0]),
            ],
            shade(colour, 1.05 - 0.05 * rib),
        )


def water(brush: Brush, rng: Generator, mood: Mood, y0: float, y1: float) -> None:
    """Paint water with the sky in it."""
    brush.ramp(y0, y1, mix(mood.water, mood.low, 0.55), mood.water)
    glint = mix(mood.water, mood.sun, 0.45)
    for x, depth, length in rng.uniform(size=(26, 3)):
        y = y0 + (y1 - y0) * depth**1.5
        half = (0.02 + 0.06 * length) * (0.4 + depth)
        brush.line([(x - half, y), (x + half, y)], 0.004 + 0.004 * depth, (*glint, 150))


def harbour(brush: Brush, rng: Generator, mood: Mood, style: float) -> str:
    """Boats before a row of harbour houses."""
    quay = rng.uniform(0.46, 0.56)
    sky(brush, rng, mood, quay)
    ridge(brush, rng, quay - 0.16, 0.07, mix(mood.leaf, mood.low, 0.55))
    x = -0.05
    while x < 1:
        width = rng.uniform(0.11, 0.2)
        wall = mix(pick(rng, WALLS), mood.low, 0.18)
        house(brush.at(x + width / 2, quay, width), rng, wall, pick(rng, ROOFS), mood)
        x += width * rng.uniform(0.95, 1.1)
    brush.box(0, quay - 0.01, 1, quay + 0.035, shade(mood.stone, 0.8))
    water(brush, rng, mood, quay + 0.035, 1)
    for depth in np.sort(rng.uniform(quay + 0.1, 0.95, rng.integers(3, 6))):
        size, px = 0.14 + 0.75 * (depth - quay), rng.uniform(0.05, 0.95)
        brush.soft(
            px, depth + 0.12 * size, 0.3 * size, 0.22 * size, mix(mood.water, CREAM, 0.5), 0.6
        )
        boat = brush.at(px, depth, size, bool(rng.random() < 0.5))
        sailing_boat(boat, rng, mix(pick(rng, (CREAM, CREAM, (196, 104, 72))), mood.low, 0.15))
    return "a harbour with sailing boats"


def lake(brush: Brush, rng: Generator, mood: Mood, style: float) -> str:
    """Mountains over a lake, a rowing boat on it."""
    shore = rng.uniform(0.52, 0.62)
    sky(brush, rng, mood, shore)
    for layer in range(3):
        peak, base = rng.uniform(0.15, 0.85), shore + 0.02
        rock = mix((112, 118, 136), mood.low, 0.55 - 0.2 * layer)
        for x, tall in ((peak, 0.4), (peak - 0.3, 0.24), (peak + 0.34, 0.28)):
            top = base - (tall - 0.09 * layer) * rng.uniform(0.85, 1.15)
            half = 0.3 * rng.uniform(0.9, 1.3)
            brush.polygon([(x - half, base), (x, top), (x + half, base)], rock)
            brush.polygon([(x, top), (x + half, base), (x + 0.2 * half, base)], shade(rock, 0.88))
            if layer < 2:
                cap, drop = mix(SNOW, mood.low, 0.3), 0.3 * (base - top)
                slope = 0.3 * half
                brush.polygon([(x, top), (x + slope, top + drop),
                               (x + 0.3 * slope, top + 0.7 * drop),
                               (x - 0.2 * slope, top + 1.05 * drop),
                               (x - 0.5 * slope, top + 0.7 * drop), (x - slope,
                               top + drop)], cap)  # fmt: skip
    ridge(brush, rng, shore - 0.015, 0.02, shade(mood.leaf, 0.9))
    grove(brush, rng, mood, shore + 0.005, 0.12, int(rng.integers(5, 11)))
    water(brush, rng, mood, shore, 1)
    brush.soft(0.5, shore, 0.6, 0.09, shade(mood.leaf, 0.7), 0.7)
    boat = brush.at(rng.uniform(0.25, 0.75), rng.uniform(0.74, 0.86), rng.uniform(0.2, 0.3))
    paint = pick(rng, PAINTS)
    boat.soft(0, 0.1, 0.6, 0.14, shade(mood.water, 0.5), 0.8)
    person(boat.at(-0.05, 0.16, 0.7), rng, style)
    boat.shape([(-0.55, -0.16), (-0.35, 0.1), (0.35, 0.1), (0.6, -0.18), (0.2, -0.08),
                (-0.2, -0.08)], paint)  # fmt: skip
    boat.line([(0.05, -0.2), (0.5, 0.16)], 0.03, CREAM)
    return "a mountain lake with a rowing boat"


def winter(brush: Brush, rng: Generator, mood: Mood, style: float) -> str:
    """A snowed-in village and its church."""
    horizon = rng.uniform(0.5, 0.6)
    sky(brush, rng, mood, horizon)
    snow = mix(SNOW, mood.low, 0.3)
    ridge(brush, rng, horizon - 0.1, 0.08, mix(snow, mood.high, 0.3))
    grove(brush, rng, mood, horizon - 0.04, 0.13, int(rng.integers(4, 9)))
    ridge(brush, rng, horizon, 0.03, mix(snow, mood.high, 0.14))
    spire = brush.at(rng.uniform(0.2, 0.8), horizon + 0.03, 0.3)
    wall = pick(rng, WALLS)
    spire.box(-0.11, -0.75, 0.11, 0, wall)
    spire.polygon([(-0.14, -0.75), (0.14, -0.75), (0, -1.3)], pick(rng, ROOFS))
    spire.ellipse(0, -0.58, 0.05, 0.05, CREAM)
    for x in np.sort(rng.uniform(0.05, 0.95, rng.integers(3, 6))):
        place = brush.at(x, horizon + rng.uniform(0.02, 0.12), rng.uniform(0.18, 0.26))
        house(place, rng, pick(rng, WALLS), mix(snow, CREAM, 0.3), mood)
    ridge(brush, rng, horizon + 0.17, 0.03, snow)
    brush.ramp(horizon + 0.24, 1, snow, mix(snow, mood.high, 0.3))
    for x in rng.uniform(0.08, 0.92, rng.integers(1, 4)):
        person(brush.at(x, rng.uniform(0.82, 0.95), rng.uniform(0.18, 0.3)), rng, style)
    if rng.random() < 0.6:
        tree(brush.at(rng.choice([0.06, 0.94]), 0.98, 0.8), rng, shade(mood.leaf, 0.8), snow)
    for x, y in rng.uniform(size=(int(rng.integers(0, 60)), 2)):
        brush.ellipse(x, y, 0.005, 0.005, (255, 255, 255, 200))
    return "a village in the snow"


def train(brush: Brush, rng: Generator, mood: Mood, style: float) -> str:
    """A train on its embankment: under steam, or a diesel."""
    horizon = rng.uniform(0.45, 0.55)
    sky(brush, rng, mood, horizon)
    distance(brush, rng, mood, horizon)
    brush.ramp(horizon, 1, mood.land, shade(mood.land, 0.72))
    grove(brush, rng, mood, horizon + 0.03, 0.16, int(rng.integers(3, 7)))
    rail = rng.uniform(0.7, 0.78)
    paint, coach = pick(rng, PAINTS), pick(rng, PAINTS)
    bank = [(-0.02, rail + 0.01), (1.02, rail + 0.01), (1.02, rail + 0.1), (-0.02, rail + 0.1)]
    brush.polygon(bank, mix(mood.stone, DARK, 0.25))
    brush.line([(0, rail + 0.004), (1, rail + 0.004)], 0.012, shade(mood.stone, 0.5))
    steam = style < 2.6
    engine = brush.at(
        rng.uniform(0.55, 0.75), rail, rng.uniform(0.36, 0.44), bool(rng.random() < 0.4)
    )
    pane = LAMPLIGHT if mood.lamps else mix((70, 82, 92), mood.high, 0.3)
    for number in range(3):
        x = -0.62 - 0.98 * number
        engine.box(x - 0.47, -0.4, x + 0.47, -0.07, coach, 0.03)
        engine.box(x - 0.48, -0.44, x + 0.48, -0.385, shade(coach, 0.6), 0.02)
        engine.box(x - 0.47, -0.2, x + 0.47, -0.18, CREAM)
        for px in np.linspace(-0.38, 0.38, 6):
            engine.box(x + px - 0.045, -0.35, x + px + 0.045, -0.24, pane, 0.01)
        for px in (-0.33, -0.21, 0.21, 0.33):
            engine.ellipse(x + px, -0.05, 0.05, 0.05, DARK)
    (steam_engine if steam else diesel_engine)(engine, rng, paint, mood)
    brush.ramp(rail + 0.1, 1, shade(mood.land, 0.95), shade(mood.land, 0.6))
    for x, y in rng.uniform((0, rail + 0.12), (1, 1), (18, 2)):
        brush.ellipse(x, y, 0.03, 0.016, shade(mood.leaf, rng.uniform(0.8, 1.25)))
    return "a steam train" if steam else "a diesel train"


def aeroplane(brush: Brush, rng: Generator, mood: Mood, style: float) -> str:
    """An aeroplane high above the fields."""
    horizon = rng.uniform(0.68, 0.8)
    sky(brush, rng, mood, horizon + 0.06)
    for _ in range(3):
        place = brush.at(
            rng.uniform(0, 1), rng.uniform(0.35, 0.9) * horizon, rng.uniform(0.35, 0.7)
        )
        cloud(place, rng, mix(mood.low, (255, 255, 255), 0.5), 0.8)
    ridge(brush, rng, horizon, 0.03, mix(mood.leaf, mood.low, 0.6))
    for layer in range(4):
        y = horizon + 0.02 + 0.055 * layer
        ridge(
            brush,
            rng,
            y,
            0.012,
            mix(pick(rng, (mood.land, mood.leaf)), mood.low, 0.4 - 0.1 * layer),
        )
    jet = style > 2.4
    mirror = bool(rng.random() < 0.5)
    plane = brush.at(rng.uniform(0.4, 0.6), rng.uniform(0.28, 0.46), rng.uniform(0.55, 0.8), mirror)
    (airliner if jet else propeller_plane)(plane, shade(pick(rng, PAINTS), 0.8), mood)
    return "a jet airliner in the sky" if jet else "a propeller aeroplane in the sky"

"""Scenes of the town: streets, shop windows, a cinema, a fairground."""

import numpy as np

from .brush import Brush
from .landscapes import grove, ridge, sky
from .moods import CREAM, DARK, LAMPLIGHT, PAINTS, WALLS, Mood, pick, shade
from .motifs import lamp_post, person, tree, window
from .pen import Colour, mix
from .vehicles import car

Generator = np.random.Generator


def street(brush: Brush, rng: Generator, mood: Mood, style: float) -> str:
    """A row of town houses, a car in front."""
    kerb = rng.uniform(0.66, 0.74)
    sky(brush, rng, mood, kerb)
    skyline(brush, rng, mood, kerb)
    x = rng.uniform(-0.2, 0)
    while x < 1:
        width = rng.uniform(0.2, 0.34)
        town_house(brush, rng, mood, (x, x + width), kerb)
        x += width
    brush.ramp(kerb, kerb + 0.06, shade(mood.stone, 1.12), mood.stone)
    brush.ramp(kerb + 0.06, 1, shade(mood.stone, 0.62), shade(mood.stone, 0.8))
    brush.box(0, kerb + 0.055, 1, kerb + 0.067, shade(mood.stone, 0.5))
    for x in np.sort(rng.uniform(0.04, 0.96, rng.integers(1, 5))):
        person(brush.at(x, kerb + rng.uniform(0.02, 0.05), 0.2), rng, style)
    for x in rng.permutation([0.08, 0.5, 0.92])[: rng.integers(1, 3)]:
        lamp_post(brush.at(x, kerb + 0.045, 0.4), mood)
    if rng.random() < 0.5:
        tree(brush.at(rng.uniform(0, 1), kerb + 0.04, 0.42), rng, mood.leaf, mood.sun)
    if rng.random() < 0.4:
        place = brush.at(rng.uniform(0.1, 0.9), kerb + 0.1, 0.32, bool(rng.random() < 0.5))
        car(place, rng, style, mood)
    place = brush.at(rng.uniform(0.3, 0.7), rng.uniform(0.87, 0.94), rng.uniform(0.5, 0.66),
                     bool(rng.random() < 0.5))  # fmt: skip
    car(place, rng, style, mood)
    return "a street with a car"


def skyline(brush: Brush, rng: Generator, mood: Mood, ground: float) -> None:
    """Paint pale towers behind the houses."""
    for x in rng.uniform(-0.1, 1, 9):
        tower = mix(pick(rng, WALLS), mood.low, rng.uniform(0.6, 0.8))
        brush.box(x, ground - rng.uniform(0.3, 0.56), x + rng.uniform(0.07, 0.16), ground, tower)


def town_house(
    brush: Brush, rng: Generator, mood: Mood, span: tuple[float, float], ground: float
) -> None:
    """Build a house of several floors with a shop or a door at street level."""
    left, right = span
    wall, storeys = mix(pick(rng, WALLS), mood.low, 0.12), int(rng.integers(2, 5))
    top = ground - 0.13 - 0.105 * storeys
    brush.ramp(top, ground, shade(wall, 1.05), shade(wall, 0.86), left, right)
    brush.box(left - 0.008, top - 0.02, right + 0.008, top + 0.008, shade(wall, 0.72))
    brush.box(right - 0.006, top, right, ground, shade(wall, 0.7))
    columns = int(rng.integers(2, 4))
    for floor in range(storeys):
        for column in range(columns):
            lit = mood.lamps and rng.random() < 0.6
            pane = LAMPLIGHT if lit else mix((72, 84, 98), mood.high, rng.uniform(0.2, 0.5))
            x = left + (right - left) * (column + 0.5) / columns
            window(brush, x, top + 0.065 + 0.105 * floor, 0.024, 0.034, pane)
    pane = LAMPLIGHT if mood.lamps else mix((64, 74, 84), mood.high, 0.25)
    brush.box(left + 0.02, ground - 0.1, right - 0.02, ground - 0.012, pane)
    brush.box(right - 0.075, ground - 0.1, right - 0.03, ground, shade(pick(rng, PAINTS), 0.8))
    awning(brush, pick(rng, PAINTS), (left + 0.01, right - 0.012), ground - 0.125, 0.045)


def awning(brush: Brush, cloth: Colour, span: tuple[float, float], top: float, drop: float) -> None:
    """Hang a striped awning."""
    edges = np.linspace(*span, 9)
    for stripe in range(8):
        a, b = edges[stripe], edges[stripe + 1]
        colour = cloth if stripe % 2 == 0 else CREAM
        brush.polygon(
            [(a, top), (b, top), (b + 0.004, top + drop), (a - 0.004, top + drop)], colour
        )
        brush.ellipse((a + b) / 2, top + drop, (b - a) / 2, 0.25 * drop, shade(colour, 0.9))


def avenue(brush: Brush, rng: Generator, mood: Mood, style: float) -> str:
    """A street that runs to the horizon between tall houses."""
    vx, vy = rng.uniform(0.36, 0.64), rng.uniform(0.5, 0.58)
    sky(brush, rng, mood, vy + 0.02)
    brush.soft(vx, vy, 0.35, 0.3, mix(mood.sun, mood.low, 0.3), 0.9)
    brush.ramp(vy, 1, shade(mood.stone, 0.9), shade(mood.stone, 0.66))
    brush.polygon([(vx, vy), (-0.55, 1.02), (0.1, 1.02)], shade(mood.stone, 1.1))
    brush.polygon([(vx, vy), (1.55, 1.02), (0.9, 1.02)], shade(mood.stone, 1.1))
    for t in np.linspace(0.1, 0.9, 6):
        y, size = vy + 0.48 * t**2, t**2
        brush.polygon([(vx - 0.008 * size, y), (vx + 0.008 * size, y),
                       (vx + 0.014 * size, y + 0.05 * size), (vx - 0.014 * size,
                       y + 0.05 * size)], (*CREAM, 170))  # fmt: skip
    for sign in (-1, 1):
        depths = [0.16, 0.26, 0.4, 0.6, 0.9, 1.4]
        for near, far in zip(depths[1:], depths[:-1], strict=True):
            perspective_house(brush, rng, mood, (vx, vy, sign), (far, near))
    for t in (0.3, 0.42, 0.62, 0.9):
        for sign in (-1, 1):
            x, y = vx + sign * 0.47 * t, vy + 0.42 * t
            if rng.random() < 0.6:
                tree(
                    brush.at(x, y, 0.55 * t),
                    rng,
                    mix(mood.leaf, mood.low, 0.35 * (1 - t)),
                    mood.sun,
                )
            else:
                lamp_post(brush.at(x, y, 0.6 * t), mood)
        if rng.random() < 0.6:
            person(
                brush.at(vx + rng.choice([-1, 1]) * 0.56 * t, vy + 0.42 * t, 0.24 * t), rng, style
            )
    if rng.random() < 0.7:
        car(brush.at(vx + 0.16, vy + 0.26, 0.26), rng, style, mood)
    return "a city street"


def perspective_house(
    brush: Brush,
    rng: Generator,
    mood: Mood,
    eye: tuple[float, float, int],
    span: tuple[float, float],
) -> None:
    """Build the front of a house that recedes towards the vanishing point."""
    vx, vy, sign = eye
    tall, storeys = rng.uniform(0.5, 0.75), int(rng.integers(3, 5))
    haze = 0.55 * (1 - min(span[1], 1.0))
    wall = mix(shade(pick(rng, WALLS), 0.92 if sign < 0 else 0.74), mood.low, haze)

    def at(t: float, up: float) -> tuple[float, float]:
        return vx + sign * 0.62 * t, vy + t * (0.4 - up)

    def quad(t0: float, t1: float, u0: float, u1: float) -> list[tuple[float, float]]:
        return [at(t0, u0), at(t1, u0), at(t1, u1), at(t0, u1)]

    far, near = span
    height = 0.4 + tall
    brush.polygon(quad(far, near, 0, height), wall)
    brush.polygon(quad(far, near, height - 0.03, height + 0.01), shade(wall, 0.75))
    brush.polygon(quad(far, near, 0.16, 0.21), mix(pick(rng, PAINTS), wall, 0.3))
    steps = far + (near - far) * np.array([0.14, 0.38, 0.6, 0.86])
    for floor in range(storeys):
        base = 0.27 + (height - 0.33) * floor / storeys
        for t0, t1 in (steps[:2], steps[2:]):
            lit = mood.lamps and rng.random() < 0.5
            pane = LAMPLIGHT if lit else mix((66, 78, 92), mood.low, 0.2 + haze)
            brush.polygon(quad(t0, t1, base, base + 0.6 * (height - 0.33) / storeys), pane)
    brush.polygon(quad(steps[0], steps[-1], 0.02, 0.14), mix(DARK, wall, 0.3 + 0.5 * haze))


def shop_window(brush: Brush, rng: Generator, mood: Mood, style: float) -> str:
    """A shop front with its goods on show."""
    wall, wood = pick(rng, WALLS), shade(pick(rng, PAINTS), 0.75)
    brush.ramp(0, 1, shade(wall, 1.02), shade(wall, 0.8))
    for row in range(0, 22):
        for column in range(-1, 9):
            x = 0.125 * column + 0.0625 * (row % 2)
            tone = shade(wall, rng.uniform(0.84, 1.0))
            brush.box(x + 0.004, 0.05 * row + 0.004, x + 0.121, 0.05 * row + 0.046, tone)
    brush.box(0.05, 0.08, 0.95, 0.93, wood)
    brush.box(0.08, 0.1, 0.92, 0.2, shade(wood, 0.7))
    letters = np.cumsum(rng.uniform(0.03, 0.055, rng.integers(6, 11)))
    for x in 0.5 + letters - letters.mean():
        brush.box(x - 0.012, 0.125, x + 0.012, 0.175, (226, 190, 110), 0.006)
    door = rng.random() < 0.5
    right = 0.66 if door else 0.89
    glow = LAMPLIGHT if mood.lamps else mix((214, 196, 160), mood.low, 0.3)
    brush.ramp(0.3, 0.84, shade(glow, 0.95), shade(glow, 0.6), 0.11, right)
    brush.soft(0.11 + (right - 0.11) / 2, 0.45, 0.3, 0.25, CREAM, 0.5)
    for shelf in (0.52, 0.68, 0.83):
        brush.box(0.11, shelf, right, shelf + 0.014, shade(wood, 0.8))
        x = 0.14
        while x < right - 0.06:
            x += goods(brush, rng, x, shelf)
    brush.polygon(
        [(0.2, 0.3), (0.32, 0.3), (0.18, 0.84), (0.11, 0.84), (0.11, 0.6)], (255, 255, 255, 34)
    )
    if door:
        brush.box(0.7, 0.3, 0.9, 0.93, shade(wood, 1.15))
        brush.box(0.73, 0.34, 0.87, 0.72, mix(glow, DARK, 0.45))
        brush.ellipse(0.735, 0.79, 0.012, 0.012, (226, 190, 110))
    awning(brush, pick(rng, PAINTS), (0.06, 0.94), 0.21, 0.09)
    brush.ramp(0.93, 1, mood.stone, shade(mood.stone, 0.8))
    if rng.random() < 0.6:
        person(brush.at(rng.uniform(0.2, 0.85), 0.975, rng.uniform(0.5, 0.62)), rng, style)
    return "a shop window"


def goods(brush: Brush, rng: Generator, x: float, shelf: float) -> float:
    """Put a jar, a tin, a hat or a loaf on a shelf; return the width it takes."""
    kind, colour, size = int(rng.integers(4)), pick(rng, PAINTS), rng.uniform(0.8, 1.15)
    wide, tall = 0.055 * size, 0.09 * size
    if kind == 0:
        brush.box(x, shelf - tall, x + wide, shelf, colour, 0.012)
        brush.box(x + 0.006, shelf - tall - 0.014, x + wide - 0.006, shelf - tall, CREAM)
    elif kind == 1:
        brush.box(x, shelf - 0.8 * tall, x + wide, shelf, colour)
        brush.box(x, shelf - 0.55 * tall, x + wide, shelf - 0.25 * tall, CREAM)
    elif kind == 2:
        wide *= 1.6
        brush.ellipse(x + wide / 2, shelf - 0.012, wide / 2, 0.012, shade(colour, 0.8))
        brush.ellipse(x + wide / 2, shelf - 0.03, wide / 3.4, 0.03, colour)
    else:
        wide *= 1.4
        brush.ellipse(x + wide / 2, shelf - 0.028, wide / 2, 0.03, (190, 134, 76))
        brush.ellipse(x + wide / 2 - 0.005, shelf - 0.036, wide / 3, 0.014, (220, 172, 110))
    return wide + 0.022


def cinema(brush: Brush, rng: Generator, mood: Mood, style: float) -> str:
    """A cinema at night, its lights in the wet street."""
    neon = [pick(rng, ((255, 92, 74), (255, 186, 84), (96, 196, 216), (246, 120, 164)), 12)
            for _ in range(2)]  # fmt: skip
    brush.ramp(0, 0.72, (20, 24, 52), (62, 50, 84))
    for x in (rng.uniform(-0.2, -0.05), rng.uniform(0.68, 0.8)):
        town_house_at_night(brush, rng, x, x + rng.uniform(0.34, 0.42))
    wall, left, right = shade(pick(rng, WALLS), 0.62), 0.2, 0.8
    top = rng.uniform(0.12, 0.2)
    brush.ramp(top, 0.74, wall, shade(wall, 0.66), left, right)
    x = rng.uniform(0.44, 0.56)
    brush.box(x - 0.05, top - 0.08, x + 0.05, 0.46, shade(wall, 0.6), 0.02)
    brush.soft(x, 0.28, 0.26, 0.36, neon[0], 0.55)
    for y in np.arange(top - 0.04, 0.4, 0.07):
        brush.box(x - 0.028, y, x + 0.028, y + 0.045, neon[0], 0.012)
    brush.soft(0.5, 0.52, 0.5, 0.22, neon[1], 0.7)
    brush.box(left - 0.05, 0.45, right + 0.05, 0.56, CREAM)
    brush.box(left - 0.05, 0.44, right + 0.05, 0.455, neon[1])
    brush.box(left - 0.05, 0.555, right + 0.05, 0.57, neon[1])
    for px in np.arange(left, right, 0.042):
        if rng.random() < 0.8:
            brush.box(px, 0.475, px + 0.026, 0.53, DARK if rng.random() < 0.8 else (180, 50, 44))
    brush.ramp(0.57, 0.74, LAMPLIGHT, (226, 150, 84), left + 0.05, right - 0.05)
    for px in np.linspace(left + 0.05, right - 0.07, 5):
        brush.box(px, 0.57, px + 0.022, 0.74, shade(wall, 0.5))
    brush.ramp(0.74, 1, (58, 48, 60), (34, 32, 46))
    brush.soft(0.5, 0.8, 0.45, 0.16, mix(LAMPLIGHT, neon[1], 0.5), 0.6)
    brush.soft(x, 0.92, 0.2, 0.16, neon[0], 0.45)
    for px in np.sort(rng.uniform(0.1, 0.9, rng.integers(2, 6))):
        coat = shade(pick(rng, PAINTS), 0.6)
        person(brush.at(px, rng.uniform(0.77, 0.86), rng.uniform(0.2, 0.26)), rng, style, coat)
    if rng.random() < 0.6:
        lit = Mood(
            mood.high, mood.low, mood.sun, mood.land, mood.leaf, mood.stone, mood.water, True
        )
        place = brush.at(rng.uniform(0.25, 0.75), 0.95, 0.5, bool(rng.random() < 0.5))
        car(place, rng, style, lit)
    return "a cinema at night"


def town_house_at_night(brush: Brush, rng: Generator, left: float, right: float) -> None:
    """Stand a dark house with a few lit windows beside the lights."""
    top, wall = rng.uniform(0.2, 0.36), (46, 42, 62)
    brush.box(left, top, right, 0.74, wall)
    for x in np.arange(left + 0.05, right - 0.04, 0.085):
        for y in np.arange(top + 0.06, 0.68, 0.1):
            pane = LAMPLIGHT if rng.random() < 0.35 else (64, 62, 88)
            brush.box(x - 0.018, y - 0.025, x + 0.018, y + 0.025, pane)


def fairground(brush: Brush, rng: Generator, mood: Mood, style: float) -> str:
    """A big wheel over striped tents."""
    ground = rng.uniform(0.74, 0.8)
    sky(brush, rng, mood, ground)
    ridge(brush, rng, ground - 0.06, 0.04, mix(mood.leaf, mood.low, 0.5))
    x, y, radius = rng.uniform(0.3, 0.7), rng.uniform(0.38, 0.44), rng.uniform(0.26, 0.33)
    steel = mix(pick(rng, PAINTS), CREAM, 0.25)
    for foot in (-0.17, 0.17):
        brush.line([(x, y), (x + foot, ground + 0.02)], 0.016, shade(steel, 0.7))
    turn = rng.uniform(0, 1)
    for angle in (np.arange(12) + turn) * np.pi / 6:
        px, py = x + radius * np.cos(angle), y + radius * np.sin(angle)
        brush.line([(x, y), (px, py)], 0.006, steel)
    brush.ring(x, y, radius, 0.012, steel)
    brush.ring(x, y, 0.86 * radius, 0.007, steel)
    for angle in (np.arange(12) + turn) * np.pi / 6:
        px, py = x + radius * np.cos(angle), y + radius * np.sin(angle)
        colour = pick(rng, PAINTS)
        brush.polygon([(px - 0.034, py + 0.004), (px + 0.034, py + 0.004), (px,
                       py - 0.026)], shade(colour, 0.8))  # fmt: skip
        brush.box(px - 0.024, py + 0.016, px + 0.024, py + 0.05, colour, 0.012)
        if mood.lamps:
            brush.soft(px, py, 0.05, 0.05, LAMPLIGHT, 0.9)
    grove(brush, rng, mood, ground + 0.01, 0.16, int(rng.integers(2, 5)))
    brush.ramp(ground, 1, mix(mood.land, mood.stone, 0.5), shade(mood.stone, 0.75))
    for px in rng.permutation([0.1, 0.34, 0.62, 0.88])[: rng.integers(2, 4)]:
        tent(brush.at(px, ground + rng.uniform(0.03, 0.08), rng.uniform(0.22, 0.3)), rng)
    for px in np.sort(rng.uniform(0.04, 0.96, rng.integers(2, 7))):
        depth = rng.uniform(ground + 0.08, 0.98)
        person(brush.at(px, depth, 0.14 + 0.5 * (depth - ground)), rng, style)
    return "a fairground with a big wheel"


def tent(brush: Brush, rng: Generator) -> None:
    """Pitch a striped tent, one unit wide."""
    cloth = pick(rng, PAINTS)
    edges = np.linspace(-0.5, 0.5, 9)
    for stripe in range(8):
        a, b = edges[stripe], edges[stripe + 1]
        colour = shade(cloth if stripe % 2 == 0 else CREAM, 1.06 - 0.04 * stripe)
        brush.polygon([(0, -0.95), (1.1 * a, -0.5), (1.1 * b, -0.5)], colour)
        brush.polygon([(0.9 * a, -0.5), (0.9 * b, -0.5), (b, 0), (a, 0)], shade(colour, 0.86))
        brush.ellipse(0.55 * (a + b), -0.49, 0.07, 0.04, colour)
    brush.polygon([(-0.07, 0), (0.07, 0), (0, -0.42)], shade(cloth, 0.4))
    brush.polygon([(0, -1.15), (0.16, -1.09), (0, -1.03)], cloth)
    brush.line([(0, -0.93), (0, -1.16)], 0.015, DARK)

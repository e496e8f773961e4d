"""Scenes indoors: portraits in the studio, a dance hall, a living room."""

import numpy as np

from .brush import Brush
from .moods import CREAM, DARK, HAIRS, LAMPLIGHT, PAINTS, SKINS, WALLS, WOOD, Mood, pick, shade
from .motifs import person
from .pen import Colour, mix

Generator = np.random.Generator


def portrait(brush: Brush, rng: Generator, mood: Mood, style: float) -> str:
    """A woman or a man in the studio."""
    backdrop = mix(pick(rng, PAINTS), (150, 140, 128), 0.55)
    brush.ramp(0, 1, shade(backdrop, 0.9), shade(backdrop, 0.6))
    brush.soft(rng.uniform(0.25, 0.75), 0.34, 0.62, 0.6, shade(backdrop, 1.45), 0.85)
    woman, mirror = bool(rng.random() < 0.55), bool(rng.random() < 0.5)
    skin, hair, cloth = pick(rng, SKINS, 5), pick(rng, HAIRS, 5), pick(rng, PAINTS)
    sitter = brush.at(rng.uniform(0.44, 0.56), 1.0, rng.uniform(0.9, 1.04), mirror)
    hat = rng.random() < 0.7 - 0.16 * style
    long_hair = rng.random() < (0.5 if woman else 0.12 * max(style - 2, 0)) + 0.05
    if woman or long_hair:
        hair_behind(sitter, hair, long_hair)
    shoulders(sitter, rng, cloth, skin, woman)
    face(sitter, skin, hair, woman)
    if hat:
        (cloche if woman else fedora)(sitter, shade(cloth, 0.75), mix(cloth, CREAM, 0.5))
    else:
        hair_on_top(sitter, hair, woman)
    return f"a portrait of a {'woman' if woman else 'man'}{' in a hat' if hat else ''}"


def hair_behind(brush: Brush, hair: Colour, long_hair: bool) -> None:
    """Let hair fall behind the head, short and waved or over the shoulders."""
    low = -0.3 if long_hair else -0.47
    brush.shape([(0, -0.87), (0.16, -0.8), (0.19, -0.62), (0.19, low), (0.1, low + 0.03),
                 (-0.1, low + 0.03), (-0.19, low), (-0.19, -0.62), (-0.16, -0.8)],
                 shade(hair, 0.8))  # fmt: skip


def shoulders(brush: Brush, rng: Generator, cloth: Colour, skin: Colour, woman: bool) -> None:
    """Paint neck, shoulders and what is worn there."""
    dark, wide = shade(cloth, 0.74), 0.33 if woman else 0.4
    brush.box(-0.065, -0.52, 0.065, -0.3, shade(skin, 0.82), 0.03)
    body = [(-0.09, -0.39), (-0.22, -0.34), (-wide, -0.26), (-wide - 0.06, 0.05),
            (wide + 0.06, 0.05), (wide, -0.26), (0.22, -0.34), (0.09, -0.39)]  # fmt: skip
    brush.shape(body, cloth)
    brush.shape(
        [(0.08, -0.3), (wide, -0.24), (wide + 0.04, 0.04), (0.16, 0.04)], shade(cloth, 0.87)
    )
    if woman:
        brush.polygon([(-0.1, -0.4), (0.1, -0.4), (0, -0.2)], skin)
        if rng.random() < 0.5:
            for t in np.linspace(-1, 1, 11):
                brush.ellipse(0.095 * t, -0.37 + 0.1 * (1 - t * t), 0.012, 0.012, CREAM)
    else:
        tie = [(-0.025, -0.35), (0.025, -0.35), (0.035, -0.06), (-0.035, -0.06)]
        brush.polygon([(-0.1, -0.4), (0.1, -0.4), (0, -0.06)], CREAM)
        brush.polygon(tie, pick(rng, PAINTS))
        brush.polygon([(-0.12, -0.41), (-0.2, -0.3), (-0.03, 0.02), (-0.02, -0.06)], dark)
        brush.polygon([(0.12, -0.41), (0.2, -0.3), (0.03, 0.02), (0.02, -0.06)], dark)


def face(brush: Brush, skin: Colour, hair: Colour, woman: bool) -> None:
    """Paint a calm face, lit from one side."""
    brush.ellipse(0.132, -0.6, 0.022, 0.04, shade(skin, 0.85))
    brush.ellipse(-0.132, -0.6, 0.022, 0.04, shade(skin, 0.95))
    chin = 0.075 if woman else 0.095
    outline = [(0, -0.82), (0.12, -0.74), (0.128, -0.58), (chin, -0.455), (0, -0.42),
               (-chin, -0.455), (-0.128, -0.58), (-0.12, -0.74)]  # fmt: skip
    brush.shape(outline, skin)
    brush.soft(0.1, -0.58, 0.12, 0.24, shade(skin, 0.78), 0.6)
    brush.soft(-0.05, -0.68, 0.1, 0.1, shade(skin, 1.14), 0.5)
    for x in (-0.055, 0.055):
        brush.ellipse(x, -0.625, 0.021, 0.011, mix(skin, CREAM, 0.7))
        brush.ellipse(x, -0.625, 0.011, 0.012, (52, 40, 36))
        brush.line([(x - 0.03, -0.66), (x, -0.672), (x + 0.03, -0.66)], 0.011, shade(hair, 0.8))
        brush.soft(x, -0.54, 0.05, 0.045, mix(skin, (206, 92, 80), 0.5), 0.4)
    brush.line([(0.008, -0.61), (0.02, -0.545), (-0.004, -0.54)], 0.009, shade(skin, 0.72))
    lips = mix(skin, (176, 40, 44), 0.75) if woman else shade(mix(skin, (160, 80, 70), 0.5), 0.9)
    brush.shape([(-0.04, -0.49), (0, -0.5), (0.04, -0.49), (0, -0.472)], lips)


def hair_on_top(brush: Brush, hair: Colour, woman: bool) -> None:
    """Comb the hair over the forehead, parted at one side."""
    depth = -0.7 if woman else -0.735
    brush.shape([(-0.14, -0.62), (-0.15, -0.76), (-0.06, -0.865), (0.08, -0.86),
                 (0.15, -0.75), (0.142, -0.62), (0.115, depth), (0.02, -0.765),
                 (-0.1, depth)], hair)  # fmt: skip
    brush.line([(-0.07, -0.84), (0.03, -0.83), (0.1, -0.77)], 0.018, shade(hair, 1.35))


def cloche(brush: Brush, felt: Colour, band: Colour) -> None:
    """Put on a woman's felt hat."""
    brush.shape([(-0.17, -0.69), (-0.15, -0.83), (0, -0.91), (0.15, -0.83), (0.17, -0.69),
                 (0, -0.745)], felt)  # fmt: skip
    brush.line([(-0.155, -0.73), (0, -0.785), (0.155, -0.73)], 0.035, band)


def fedora(brush: Brush, felt: Colour, band: Colour) -> None:
    """Put on a man's brimmed hat."""
    brush.shape([(-0.13, -0.72), (-0.125, -0.86), (-0.05, -0.92), (0, -0.9), (0.05, -0.92),
                 (0.125, -0.86), (0.13, -0.72)], felt)  # fmt: skip
    brush.box(-0.132, -0.78, 0.132, -0.735, shade(band, 0.7))
    brush.shape([(-0.24, -0.735), (0, -0.765), (0.24, -0.735), (0.14, -0.7), (-0.14, -0.7)],
                 shade(felt, 0.85))  # fmt: skip


def dance_hall(brush: Brush, rng: Generator, mood: Mood, style: float) -> str:
    """Couples dancing under garlands and lamps, a band at the back."""
    wall, floor = shade(pick(rng, PAINTS), 0.62), shade(pick(rng, WOOD), 1.15)
    edge = rng.uniform(0.54, 0.6)
    brush.ramp(0, edge, shade(wall, 0.6), wall)
    for x in np.linspace(0.02, 0.98, 9):
        brush.box(x - 0.006, 0, x + 0.006, edge, shade(wall, 0.8))
    brush.ramp(edge, 1, shade(floor, 0.95), shade(floor, 0.6))
    brush.soft(0.5, edge + 0.2, 0.55, 0.22, LAMPLIGHT, 0.65)
    stage(brush, rng, edge, style)
    for swag in range(2):
        for x in np.linspace(0, 1, 15):
            y = 0.09 + 0.09 * swag + 0.11 * (1 - (2 * ((x + 0.25 * swag) % 0.5) / 0.5 - 1) ** 2)
            brush.soft(x, y, 0.055, 0.055, LAMPLIGHT, 0.7)
            brush.ellipse(x, y, 0.014, 0.018, pick(rng, (*PAINTS, CREAM, LAMPLIGHT)))
    for depth in np.sort(rng.uniform(edge + 0.08, 0.97, rng.integers(4, 8))):
        size = 0.2 + 0.62 * (depth - edge)
        couple(brush.at(rng.uniform(0.06, 0.94), depth, size, bool(rng.random() < 0.5)), rng, style)
    for x in (0.12, 0.88):
        brush.soft(x, 0.0, 0.34, 0.8, mix(LAMPLIGHT, CREAM, 0.5), 0.22)
    return "couples in a dance hall"


def stage(brush: Brush, rng: Generator, edge: float, style: float) -> None:
    """Put a band in front of a curtain."""
    drape = pick(rng, PAINTS)
    for fold, x in enumerate(np.linspace(0.24, 0.74, 13)):
        tone = shade(drape, 0.62 + 0.3 * abs(np.sin(1.7 * fold)))
        brush.box(x, 0.2, x + 0.045, edge - 0.02, tone)
    brush.box(0.22, edge - 0.045, 0.81, edge + 0.01, shade(pick(rng, WOOD), 0.8))
    for x in np.linspace(0.3, 0.73, int(rng.integers(3, 6))):
        person(brush.at(x, edge - 0.045, 0.22), rng, style, (216, 204, 182))
        brush.line([(x - 0.02, edge - 0.17), (x + 0.035, edge - 0.12)], 0.014, (226, 178, 84))


def couple(brush: Brush, rng: Generator, style: float) -> None:
    """Let two people dance, hand in hand."""
    lean = rng.uniform(0.09, 0.13)
    dress, suit = pick(rng, PAINTS), shade(pick(rng, PAINTS), 0.5)
    person(brush.at(-lean, 0, 1.0), rng, style, suit)
    person(brush.at(lean, 0.01, 0.94), rng, style, dress)
    brush.line([(-lean + 0.08, -0.76), (0, -0.7), (lean - 0.08, -0.74)], 0.045, suit)


def living_room(brush: Brush, rng: Generator, mood: Mood, style: float) -> str:
    """An armchair and a lamp, with a wireless or a television set."""
    paper, edge = pick(rng, WALLS), rng.uniform(0.7, 0.76)
    brush.ramp(0, edge, shade(paper, 1.0), shade(paper, 0.82))
    motif, step = mix(paper, pick(rng, PAINTS), 0.35), rng.uniform(0.07, 0.11)
    for row, y in enumerate(np.arange(0.02, edge - 0.03, step)):
        for x in np.arange(0.5 * step * (row % 2), 1, step):
            if style < 2:
                brush.ellipse(x, y, 0.012, 0.016, motif)
            else:
                brush.ring(x, y, 0.32 * step, 0.012, motif)
    brush.ramp(edge, 1, shade(pick(rng, WOOD), 1.1), shade(pick(rng, WOOD), 0.8))
    brush.box(0, edge - 0.02, 1, edge, shade(paper, 0.7))
    rug = pick(rng, PAINTS)
    brush.ellipse(0.5, 0.9, 0.46, 0.085, rug)
    brush.ellipse(0.5, 0.9, 0.38, 0.064, mix(rug, CREAM, 0.35))
    if rng.random() < 0.7:
        picture_on_wall(brush, rng, mood)
    flip = bool(rng.random() < 0.5)
    room = brush.at(1.0 if flip else 0.0, 0, 1.0, flip)
    armchair(room.at(0.28, edge + 0.14, 0.42), rng)
    standing_lamp(room.at(0.53, edge + 0.07, 0.55), rng)
    modern = style > 1.8
    (television if modern else wireless)(room.at(0.79, edge + 0.11, 0.32), rng)
    return f"a living room with a {'television set' if modern else 'wireless'}"


def picture_on_wall(brush: Brush, rng: Generator, mood: Mood) -> None:
    """Hang a small landscape."""
    x, y = rng.uniform(0.2, 0.7), rng.uniform(0.2, 0.3)
    brush.box(x - 0.115, y - 0.095, x + 0.115, y + 0.095, (176, 134, 74))
    brush.ramp(y - 0.08, y + 0.03, mood.high, mood.low, x - 0.1, x + 0.1)
    brush.ramp(y + 0.03, y + 0.08, mood.land, shade(mood.leaf, 0.8), x - 0.1, x + 0.1)
    brush.ellipse(x + 0.04, y + 0.01, 0.026, 0.034, mood.leaf)


def armchair(brush: Brush, rng: Generator) -> None:
    """Push up an armchair, one unit wide."""
    cloth = pick(rng, PAINTS)
    dark, light = shade(cloth, 0.74), shade(cloth, 1.16)
    brush.soft(0.05, 0, 0.7, 0.1, (30, 24, 24), 0.6)
    for x in (-0.36, 0.36):
        brush.box(x - 0.03, -0.1, x + 0.03, 0, (78, 56, 42))
    brush.box(-0.38, -0.98, 0.38, -0.3, cloth, 0.14)
    brush.box(-0.3, -0.9, 0.3, -0.4, light, 0.1)
    brush.box(-0.4, -0.42, 0.4, -0.08, dark, 0.06)
    brush.box(-0.32, -0.46, 0.32, -0.28, light, 0.06)
    for x in (-0.42, 0.42):
        brush.box(x - 0.1, -0.6, x + 0.1, -0.08, cloth, 0.09)
    if rng.random() < 0.5:
        brush.box(-0.16, -0.7, 0.14, -0.44, pick(rng, PAINTS), 0.06)


def standing_lamp(brush: Brush, rng: Generator) -> None:
    """Stand a lit lamp, one unit tall."""
    brush.soft(0, -0.85, 0.62, 0.6, LAMPLIGHT, 0.75)
    brush.line([(0, 0), (0, -0.75)], 0.025, (120, 92, 60))
    brush.ellipse(0, -0.01, 0.12, 0.03, (120, 92, 60))
    cloth = mix(pick(rng, PAINTS), LAMPLIGHT, 0.6)
    brush.polygon([(-0.1, -1.0), (0.1, -1.0), (0.21, -0.72), (-0.21, -0.72)], cloth)
    brush.soft(0, -0.8, 0.14, 0.12, (255, 240, 200), 0.8)


def wireless(brush: Brush, rng: Generator) -> None:
    """Put a wireless set on a table, one unit wide in all."""
    wood = pick(rng, WOOD)
    table_for_set(brush, wood)
    brush.shape([(-0.3, -0.62), (0.3, -0.62), (0.3, -0.95), (0.18, -1.22), (0, -1.3),
                 (-0.18, -1.22), (-0.3, -0.95)], shade(wood, 1.15))  # fmt: skip
    brush.ellipse(0, -1.02, 0.17, 0.17, (206, 176, 122))
    for x in (-0.08, 0.0, 0.08):
        brush.box(x - 0.012, -1.17, x + 0.012, -0.87, shade(wood, 0.8))
    brush.box(-0.16, -0.8, 0.16, -0.72, LAMPLIGHT)
    for x in (-0.22, 0.22):
        brush.ellipse(x, -0.74, 0.035, 0.035, DARK)


def television(brush: Brush, rng: Generator) -> None:
    """Put a television set on a table, one unit wide in all."""
    wood = pick(rng, WOOD)
    table_for_set(brush, wood)
    for x in (-0.28, 0.24):
        brush.line([(-0.02, -1.18), (x, -1.6)], 0.02, (150, 150, 150))
    brush.box(-0.42, -1.2, 0.42, -0.62, shade(wood, 1.1), 0.06)
    brush.soft(-0.08, -0.9, 0.6, 0.5, (170, 200, 214), 0.4)
    brush.box(-0.36, -1.13, 0.18, -0.69, (84, 104, 112), 0.1)
    brush.soft(-0.14, -0.96, 0.24, 0.2, (196, 216, 220), 0.85)
    for y in (-1.05, -0.93):
        brush.ellipse(0.3, y, 0.045, 0.045, (216, 204, 176))
    brush.box(0.22, -0.84, 0.38, -0.7, shade(wood, 0.6))


def table_for_set(brush: Brush, wood: Colour) -> None:
    """Stand a low table, one unit wide."""
    brush.soft(0.05, 0, 0.65, 0.09, (30, 24, 24), 0.6)
    for x in (-0.4, 0.4):
        brush.line([(x, 0), (0.9 * x, -0.58)], 0.045, shade(wood, 0.6))
    brush.box(-0.5, -0.63, 0.5, -0.55, shade(wood, 0.85), 0.02)

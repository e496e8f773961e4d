"""Neck, shoulders and clothes. Coordinates are in halves of a head's height, below the head."""

import numpy as np

from .pen import Pen, fade, mix
from .people import Look

_SHADE, _LIGHT = (38, 30, 60), (255, 252, 244)


def shoulder_line(look: Look) -> float:
    """Return how low the base of the neck lies."""
    return 0.92 + look.cues["neck_length"] - 0.12 * look.cues["stoop"]


def paint_neck(pen: Pen, look: Look) -> None:
    """Paint the neck with the head's shadow on it."""
    cue, base = look.cues, shoulder_line(look)
    half = cue["neck_width"]
    points = [(-half, 0.3), (half, 0.3), (half * 1.02, base), (half * 1.35, base + 0.3)]
    pen.polygon([*points, (-half * 1.35, base + 0.3), (-half * 1.02, base)], look.skin)
    pen.polygon(
        [(-half, 0.6), (half, 0.6), (half, base - 0.04), (0, base + 0.06), (-half, base - 0.04)],
        look.shade,
    )
    if cue["neck_lines"] > 0:
        for side in (-1, 1):
            line = [(side * 0.5 * half, base - 0.02), (side * 0.3 * half, base + 0.2)]
            pen.stroke(line, 0.04, fade(look.line, 0.6 * min(cue["neck_lines"], 1)), 0.3)


def _torso(look: Look) -> np.ndarray:
    cue, base = look.cues, shoulder_line(look)
    neck, wide, slope = 1.08 * cue["neck_width"], cue["shoulders"], cue["slope"]
    right = [
        (neck, base - 0.02),
        (neck + 0.12, base + 0.05),
        (0.55 * (wide + neck), base + 0.16 + 0.25 * slope),
        (0.9 * wide, base + 0.22 + 0.6 * slope),
        (1.0 * wide, base + 0.6 + 0.7 * slope),
        (1.06 * wide, base + 1.5),
        (1.06 * wide, base + 3.0),
    ]
    return np.array([*right, *[(-x, y) for x, y in reversed(right)]])


def paint_clothes(pen: Pen, look: Look) -> None:
    """Paint the torso with what the person wears."""
    base, neck = shoulder_line(look), look.cues["neck_width"]
    torso = _torso(look)
    garment, cloth = look.words["garment"], look.cloth
    dark = mix(cloth, _SHADE, 0.3)
    curve = np.array([(1.1 * neck, base), (0.6 * neck, base + 0.2), (0, base + 0.27)])
    collar = np.concatenate([curve, curve[-2::-1] * (-1, 1)])
    pen.shape(np.concatenate([torso, collar[::-1]]), cloth)
    if garment == "a striped top":
        _paint_stripes(pen, look)
    wide = look.cues["shoulders"]
    for side in (-1, 1):
        arm = [(side * 0.74 * wide, base + 0.95), (side * 0.78 * wide, base + 1.5)]
        pen.stroke([*arm, (side * 0.76 * wide, base + 2.6)], 0.06, fade(dark, 0.8), 0.2)
    pen.soft(0.54 * wide, base + 1.9, 0.5 * wide, 1.6, dark, 0.35)
    pen.soft(0, base + 0.1, 1.2 * neck, 0.5, dark, 0.35)
    PAINTERS.get(garment, _paint_ribbing)(pen, look, collar, dark)


def _paint_ribbing(pen: Pen, look: Look, collar: np.ndarray, dark: tuple) -> None:
    pen.stroke(collar, 0.1, dark, 0.9)


def _paint_stripes(pen: Pen, look: Look) -> None:
    base, right = shoulder_line(look), _torso(look)[:7]
    light = look.accent if look.who.clothes == "white" else _LIGHT
    for top in base + 0.48 + 0.3 * np.arange(5):
        rows = np.array([top, top + 0.07, top + 0.14])
        edge = np.interp(rows, right[:, 1], right[:, 0])
        side = np.stack([edge, rows + 0.03], 1)
        band = np.concatenate([[(0, top - 0.04)], side, [(0, top + 0.12)], side[::-1] * (-1, 1)])
        pen.polygon(band, light)


def _paint_dungarees(pen: Pen, look: Look, collar: np.ndarray, dark: tuple) -> None:
    wide, base = look.cues["shoulders"], shoulder_line(look)
    pen.stroke(collar, 0.1, dark, 0.9)
    denim = mix(look.accent, (70, 90, 150), 0.5)
    half = 0.42 * wide
    for side in (-1, 1):
        strap = [(side * 0.62 * wide, base + 0.1), (side * 0.72 * half + side * 0.1, base + 0.75)]
        pen.stroke([*strap, (side * 0.8 * half, base + 0.9)], 0.17, denim, 0.95)
    pen.polygon([(-half, base + 0.6), (half, base + 0.6), (half * 1.2, 5), (-half * 1.2, 5)], denim)
    for side in (-1, 1):
        pen.ellipse(side * 0.78 * half, base + 0.7, 0.07, 0.07, (248, 214, 120))


def _paint_hood(pen: Pen, look: Look, collar: np.ndarray, dark: tuple) -> None:
    base, neck = shoulder_line(look), look.cues["neck_width"]
    for side in (-1, 1):
        hood = [(side * 1.05 * neck, base - 0.12), (side * (neck + 0.3), base + 0.08)]
        hood += [(side * 0.7 * neck, base + 0.42), (0, base + 0.5), (0, base + 0.3)]
        pen.shape([*hood, (side * 0.7 * neck, base + 0.18)], dark)
        cord = [(side * 0.16, base + 0.42), (side * 0.18, base + 0.95)]
        pen.stroke(cord, 0.05, _LIGHT, 0.9)


def _paint_polo_neck(pen: Pen, look: Look, collar: np.ndarray, dark: tuple) -> None:
    base, neck = shoulder_line(look), 1.1 * look.cues["neck_width"]
    top = base - min(0.16, 0.5 * look.cues["neck_length"])
    points = [(-neck, top), (0, top + 0.05), (neck, top), (1.1 * neck, base + 0.2)]
    pen.shape([*points, (0, base + 0.32), (-1.1 * neck, base + 0.2)], mix(look.cloth, dark, 0.45))


def _paint_shirt(pen: Pen, look: Look, collar: np.ndarray, dark: tuple) -> None:
    base, neck = shoulder_line(look), look.cues["neck_width"]
    pen.stroke([(0, base + 0.4), (0, base + 3)], 0.05, fade(dark, 0.8), 0.9)
    light = mix(look.cloth, _LIGHT, 0.35)
    for side in (-1, 1):
        flap = [(side * 1.12 * neck, base - 0.08), (0, base + 0.3), (side * 0.3, base + 0.55)]
        pen.polygon([*flap, (side * (neck + 0.22), base + 0.12)], light)
    for row in range(2):
        pen.ellipse(0, base + 0.68 + 0.4 * row, 0.04, 0.04, light)


def _paint_open_front(pen: Pen, look: Look, collar: np.ndarray, dark: tuple) -> None:
    base, neck = shoulder_line(look), look.cues["neck_width"]
    inner = _LIGHT if look.who.clothes != "white" else look.accent
    deep = base + 1.15
    pen.polygon(
        [(-1.08 * neck, base - 0.04), (0, base + 0.26), (1.08 * neck, base - 0.04), (0, deep)],
        inner,
    )
    lapel = look.words["garment"] == "a jacket"
    for side in (-1, 1):
        if lapel:
            points = [(side * 1.05 * neck, base - 0.06), (side * (neck + 0.26), base + 0.16)]
            points += [(side * 0.62, base + 0.55), (0, deep)]
            pen.polygon(points, dark)
            flap = [(side * 1.06 * neck, base - 0.06), (0, base + 0.27), (side * 0.22, base + 0.46)]
            pen.polygon(flap, mix(inner, _SHADE, 0.08))
        else:
            pen.stroke([(side * 1.1 * neck, base - 0.03), (0, deep)], 0.11, dark, 0.9)
    if not lapel:
        pen.stroke([(0, deep - 0.05), (0, base + 3)], 0.09, dark, 0.9)
        for row in range(2):
            pen.ellipse(0.12, deep + 0.1 + 0.3 * row, 0.05, 0.05, inner)


PAINTERS = {
    "dungarees": _paint_dungarees,
    "a hoodie": _paint_hood,
    "a polo neck": _paint_polo_neck,
    "a shirt": _paint_shirt,
    "a jacket": _paint_open_front,
    "a cardigan": _paint_open_front,
}

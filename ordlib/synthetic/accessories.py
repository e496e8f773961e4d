"""Accessories of portraits: glasses, hats, jewellery, toys and a walking stick."""

import numpy as np

from .bodies import shoulder_line
from .faces import mouth_height, nose_tip
from .pen import CIRCLE, Pen, fade, mix
from .people import Look

HATS = frozenset(("a cap", "a woolly hat", "a beret", "a flat cap", "a straw hat", "a party hat"))
_LIGHT, _DARK, _GOLD = (255, 252, 244), (38, 30, 60), (236, 190, 96)


def paint_glasses(pen: Pen, look: Look) -> None:
    """Paint the glasses on the nose, over the eyes."""
    kind, cue = look.words["glasses"], look.cues
    if not kind:
        return
    x, y, size = cue["eye_spacing"], cue["eye_height"] + 0.02, max(1.55 * cue["eye_size"], 0.23)
    size = min(size, x - 0.07)
    rim = (58, 50, 60) if look.who.seeds[7] < 0.5 else (150, 96, 62)
    width = cue["head_width"]
    if kind == "reading glasses":
        y, rim = min(y + 0.8 * cue["eye_size"], nose_tip(look) - 0.1), (190, 150, 84)
    tall = size * {"round glasses": 1.0, "reading glasses": 0.6}.get(kind, 0.84)
    for side in (-1, 1):
        if kind == "sunglasses":
            pen.ellipse(side * x, y, size, tall, (48, 44, 58))
            glint = [(side * x - 0.5 * size, y + 0.1), (side * x + 0.1, y - 0.5 * tall)]
            pen.stroke(glint, 0.06, fade(_LIGHT, 0.4), 0.5)
        else:
            pen.ellipse(side * x, y, size, tall, fade((255, 255, 255), 0.1))
        ring = np.concatenate([CIRCLE, CIRCLE[:1]]) * (size, tall) + (side * x, y)
        inner = np.concatenate([CIRCLE, CIRCLE[:1]]) * (size - 0.045, tall - 0.045) + (side * x, y)
        pen.polygon(np.concatenate([ring, inner[::-1]]), rim)
        temple = [(side * (x + size - 0.02), y - 0.03), (side * width, y - 0.06)]
        pen.stroke(temple, 0.045, rim, 0.9)
    pen.stroke([(-x + size - 0.02, y), (0, y - 0.05), (x - size + 0.02, y)], 0.045, rim, 0.9)


def paint_accessories_worn(pen: Pen, look: Look) -> None:
    """Paint accessories worn on the head or face."""
    painter = _ON_HEAD.get(look.words["accessory"])
    if painter:
        painter(pen, look)


def paint_held(pen: Pen, look: Look) -> None:
    """Paint accessories around the neck or beside the person."""
    painter = _ON_BODY.get(look.words["accessory"])
    if painter:
        painter(pen, look)


def _dummy(pen: Pen, look: Look) -> None:
    y = mouth_height(look) + 0.02
    pen.ellipse(0, y, 0.25, 0.15, mix(look.accent, _LIGHT, 0.25))
    pen.ellipse(0, y, 0.11, 0.1, mix(look.accent, _DARK, 0.25))
    ring = CIRCLE[:17] * (0.15, 0.16) + (0, y + 0.06)
    pen.stroke(ring[::4], 0.05, _GOLD, 0.95)


def _bow(pen: Pen, look: Look) -> None:
    x, y = 0.42 * look.cues["head_width"], -0.98
    for side in (-1, 1):
        wing = [
            (x, y),
            (x + side * 0.2, y - 0.17),
            (x + side * 0.3, y - 0.02),
            (x + side * 0.2, y + 0.15),
        ]
        pen.shape(wing, look.accent)
    pen.ellipse(x, y, 0.08, 0.09, mix(look.accent, _DARK, 0.25))


def _flower(pen: Pen, look: Look) -> None:
    x, y = -0.86 * look.cues["head_width"], -0.5
    petal = (250, 246, 240) if look.who.seeds[8] < 0.5 else (240, 130, 150)
    for turn in CIRCLE[::6][:5]:
        pen.ellipse(x + 0.11 * turn[0], y + 0.11 * turn[1], 0.09, 0.09, petal)
    pen.ellipse(x, y, 0.07, 0.07, _GOLD)


def _crown_line(look: Look) -> tuple[float, float]:
    """Return half the width of a hat and the height of its lower edge."""
    cue = look.cues
    return cue["head_width"] + 0.06, min(cue["eye_height"] - cue["eye_size"] - 0.3, -0.42)


def _dome(wide: float, edge: float, top: float) -> np.ndarray:
    """Return the upper half of an ellipse: the body of a hat."""
    half = np.concatenate([CIRCLE[16:], CIRCLE[:1]])
    return half * (wide, edge - top) + (0, edge)


def _cap(pen: Pen, look: Look) -> None:
    wide, edge = _crown_line(look)
    dark = mix(look.accent, _DARK, 0.3)
    pen.polygon(_dome(wide, edge + 0.03, -1.18), look.accent)
    side = 1 if look.who.seeds[5] < 0.5 else -1
    for x in (-0.4, 0.4):
        seam = [(0, -1.17), (x * wide, -0.85), (1.25 * x * wide, edge)]
        pen.stroke(seam, 0.03, fade(dark, 0.6), 0.8)
    peak = [(-0.75 * side * wide, edge), (0, edge - 0.1), (side * 0.98 * wide, edge - 0.07)]
    peak += [(side * 1.42 * wide, edge + 0.08), (side * 0.8 * wide, edge + 0.1), (0, edge + 0.07)]
    pen.shape(peak, dark)
    pen.ellipse(0, -1.18, 0.07, 0.045, dark)


def _party_hat(pen: Pen, look: Look) -> None:
    cone = np.array([(-0.42, -0.84), (0, -1.46), (0.42, -0.84), (0, -0.76)])
    pen.polygon(cone, look.accent)
    for x, y in ((-0.16, -0.95), (0.14, -1.0), (-0.03, -1.14), (0.04, -1.29)):
        pen.ellipse(x, y, 0.055, 0.055, _LIGHT)
    pen.ellipse(0, -1.47, 0.1, 0.1, _GOLD)


def _woolly_hat(pen: Pen, look: Look) -> None:
    wide, edge = _crown_line(look)
    pen.polygon(_dome(wide, edge, -1.26), look.accent)
    pen.ellipse(0, -1.3, 0.17, 0.15, mix(look.accent, _LIGHT, 0.6))
    band = [(-1.05 * wide, edge - 0.02), (0, edge - 0.08), (1.05 * wide, edge - 0.02)]
    pen.stroke(band, 0.24, mix(look.accent, _LIGHT, 0.3), 0.95)
    for x in np.linspace(-0.85, 0.85, 9):
        y = edge - 0.08 + 0.06 * abs(x)
        line = [(x * wide, y - 0.09), (x * wide, y + 0.09)]
        pen.stroke(line, 0.03, fade(look.accent, 0.5), 0.8)


def _beret(pen: Pen, look: Look) -> None:
    wide, edge = _crown_line(look)
    side = 1 if look.who.seeds[5] < 0.5 else -1
    shape = [(-side * 0.95 * wide, edge - 0.12), (-side * 0.9 * wide, -0.9), (0, -1.14)]
    shape += [
        (side * 0.95 * wide, -1.05),
        (side * 1.32 * wide, -0.7),
        (side * 1.0 * wide, edge - 0.12),
    ]
    pen.shape([*shape, (0, edge - 0.2)], look.accent)
    pen.stroke([(0, -1.12), (0.04 * side, -1.24)], 0.07, look.accent, 0.9)


def _flat_cap(pen: Pen, look: Look) -> None:
    wide, edge = _crown_line(look)
    tweed = mix(look.accent, (120, 106, 92), 0.6)
    pen.polygon(_dome(1.04 * wide, edge, -1.1), tweed)
    peak = [(-0.86 * wide, edge - 0.02), (0, edge - 0.1), (0.86 * wide, edge - 0.02)]
    pen.shape(
        [*peak, (0.5 * wide, edge + 0.12), (-0.5 * wide, edge + 0.12)], mix(tweed, _DARK, 0.3)
    )


def _straw_hat(pen: Pen, look: Look) -> None:
    wide, edge = _crown_line(look)
    straw = (234, 204, 142)
    pen.ellipse(0, edge - 0.04, 1.45 * wide, 0.17, mix(straw, (150, 100, 60), 0.3))
    pen.ellipse(0, edge - 0.08, 1.45 * wide, 0.15, straw)
    dome = [(-0.88 * wide, edge - 0.1), (-0.82 * wide, -0.95), (0, -1.2), (0.82 * wide, -0.95)]
    pen.shape([*dome, (0.88 * wide, edge - 0.1), (0, edge - 0.02)], straw)
    band = [(-0.9 * wide, edge - 0.16), (0, edge - 0.08), (0.9 * wide, edge - 0.16)]
    pen.stroke(band, 0.13, look.accent, 0.95)


def _headphones(pen: Pen, look: Look) -> None:
    width = look.cues["head_width"]
    band = [(-width - 0.1, 0.0), (-0.95 * width, -0.75), (0, -1.2), (0.95 * width, -0.75)]
    pen.stroke([*band, (width + 0.1, 0.0)], 0.1, (66, 62, 76), 0.95)
    for side in (-1, 1):
        pen.ellipse(side * (width + 0.08), 0.1, 0.15, 0.25, look.accent)
        pen.ellipse(side * (width + 0.12), 0.1, 0.08, 0.16, mix(look.accent, _DARK, 0.3))


def _headscarf(pen: Pen, look: Look) -> None:
    width, base = look.cues["head_width"], shoulder_line(look)
    dark = mix(look.accent, _DARK, 0.22)
    outer = np.array([(0, -1.16), (0.75 * width, -0.98), (width + 0.14, -0.4), (width + 0.16, 0.3)])
    outer = np.concatenate([outer, [(width + 0.05, 0.8), (0.9 * width + 0.1, base + 0.3)]])
    rim = np.concatenate([outer, outer[:0:-1] * (-1, 1)])
    inner = np.array([(0, -0.66), (0.6 * width, -0.5), (0.85 * width, -0.1), (0.8 * width, 0.4)])
    inner = np.concatenate([inner, [(0.5 * width, 0.88), (0, 1.03)]])
    hole = np.concatenate([inner, inner[-2:0:-1] * (-1, 1)])
    pen.frame(rim, hole, look.accent)
    pen.frame(hole * (1.05, 1.04), hole, fade(dark, 0.6))
    fold = base + 0.12
    pen.stroke([(-0.8 * width, 0.9), (0, fold + 0.08), (0.95 * width, 0.6)], 0.05, fade(dark, 0.8))
    pen.stroke(
        [(-0.5 * width, fold + 0.1), (0.2, fold + 0.22), (width, 0.95)], 0.04, fade(dark, 0.6)
    )


def _earrings(pen: Pen, look: Look) -> None:
    y = 0.5 * look.cues["eye_height"] + 0.12 + look.cues["ear_size"]
    for side in (-1, 1):
        pen.ellipse(side * (look.cues["head_width"] + 0.03), y, 0.07, 0.08, _GOLD)


def _bib(pen: Pen, look: Look) -> None:
    base, neck = shoulder_line(look), look.cues["neck_width"]
    half = [(neck + 0.1, base), (neck + 0.22, base + 0.4), (0.3, base + 0.75)]
    pen.shape([(0, base + 0.16), *half, *[(-x, y) for x, y in reversed(half)]], _LIGHT)
    pen.ellipse(0, base + 0.48, 0.13, 0.12, look.accent)


def _pearls(pen: Pen, look: Look) -> None:
    base, neck = shoulder_line(look), look.cues["neck_width"]
    for turn in np.linspace(0.12, np.pi - 0.12, 11):
        x, y = (neck + 0.1) * np.cos(turn), base + 0.02 + 0.36 * np.sin(turn)
        pen.ellipse(x, y, 0.062, 0.062, (206, 196, 190))
        pen.ellipse(x - 0.01, y - 0.012, 0.048, 0.048, (252, 248, 242))


def _tie(pen: Pen, look: Look) -> None:
    base = shoulder_line(look)
    blade = [(-0.08, base + 0.42), (0.08, base + 0.42), (0.17, base + 1.4), (-0.17, base + 1.4)]
    pen.polygon(np.array(blade), look.accent)
    knot = [(-0.13, base + 0.22), (0.13, base + 0.22), (0.08, base + 0.44), (-0.08, base + 0.44)]
    pen.polygon(np.array(knot), mix(look.accent, _DARK, 0.2))


def _bow_tie(pen: Pen, look: Look) -> None:
    y = shoulder_line(look) + 0.26
    for side in (-1, 1):
        pen.polygon(np.array([(0, y), (side * 0.3, y - 0.14), (side * 0.3, y + 0.14)]), look.accent)
    pen.ellipse(0, y, 0.08, 0.08, mix(look.accent, _DARK, 0.25))


def _scarf(pen: Pen, look: Look) -> None:
    base, neck = shoulder_line(look), look.cues["neck_width"]
    dark = mix(look.accent, _DARK, 0.18)
    tail = [(0.12, base + 0.2), (0.5, base + 0.2), (0.56, base + 1.2), (0.2, base + 1.25)]
    pen.polygon(np.array(tail), dark)
    wrap = [(-neck - 0.16, base - 0.12), (0, base - 0.02), (neck + 0.16, base - 0.12)]
    pen.shape(
        [*wrap, (neck + 0.14, base + 0.22), (0, base + 0.38), (-neck - 0.14, base + 0.22)],
        look.accent,
    )
    pen.stroke(
        [(-neck - 0.1, base + 0.05), (0, base + 0.17), (neck + 0.1, base + 0.05)],
        0.05,
        fade(dark, 0.9),
    )


def _balloon(pen: Pen, look: Look) -> None:
    side = 1 if look.who.x < 0 else -1
    x = side * 1.45
    pen.stroke(
        [(x, -0.3), (x - side * 0.1, 0.5), (x, 1.6), (x - side * 0.2, 3)],
        0.035,
        (120, 110, 120),
        0.95,
    )
    pen.ellipse(x, -0.72, 0.34, 0.42, look.accent)
    pen.polygon(np.array([(x - 0.07, -0.24), (x + 0.07, -0.24), (x, -0.34)]), look.accent)
    pen.ellipse(x - 0.11, -0.86, 0.09, 0.13, fade(_LIGHT, 0.5))


def _walking_stick(pen: Pen, look: Look) -> None:
    side = 1 if look.who.seeds[5] < 0.5 else -1
    x, y = side * 1.12, shoulder_line(look) + 0.62
    wood = (98, 62, 44) if look.who.clothes in ("brown", "orange") else (150, 98, 60)
    cloth = mix(look.cloth, _DARK, 0.18)
    crook = [(x, y + 2), (x, y - 0.1), (x - side * 0.06, y - 0.36), (x - side * 0.24, y - 0.42)]
    pen.stroke([*crook, (x - side * 0.38, y - 0.28), (x - side * 0.38, y - 0.16)], 0.13, wood, 0.9)
    pen.stroke([(x + side * 0.5, y + 0.9), (x + side * 0.08, y + 0.22)], 0.46, cloth, 0.85)
    pen.ellipse(x, y + 0.06, 0.2, 0.19, look.skin)
    for row in (-0.06, 0.04, 0.14):
        finger = [(x - side * 0.17, y + row + 0.03), (x + side * 0.02, y + row + 0.03)]
        pen.stroke(finger, 0.03, fade(look.line, 0.5))


_ON_HEAD = {
    "a dummy": _dummy,
    "a bow": _bow,
    "a flower": _flower,
    "a cap": _cap,
    "a party hat": _party_hat,
    "a woolly hat": _woolly_hat,
    "a beret": _beret,
    "a flat cap": _flat_cap,
    "a straw hat": _straw_hat,
    "headphones": _headphones,
    "a headscarf": _headscarf,
    "earrings": _earrings,
}
_ON_BODY = {
    "a bib": _bib,
    "a pearl necklace": _pearls,
    "a tie": _tie,
    "a bow tie": _bow_tie,
    "a scarf": _scarf,
    "a balloon": _balloon,
    "a walking stick": _walking_stick,
}

"""Hair of portraits: a cap with a hairline, hair behind the head, and tufts.

Coordinates are those of the face: the skull ends at -1, the chin at 1.
"""

from dataclasses import dataclass

import numpy as np

from .accessories import HATS
from .pen import Pen, fade, mix, spline_matrix
from .people import Look

_LIGHT, _DARK = (255, 244, 226), (30, 18, 34)


@dataclass(frozen=True)
class Style:
    """Parameters of a hairstyle.

    Attributes:
        volume: how far the hair stands off the skull.
        side: where it ends beside the face (-0.3 above the ear, 0.9 at the jaw).
        front: kind of hairline, a key of ``_FRONTS``.
        back: how far down it hangs behind; None for nothing to be seen.
        curls: radius of the curls along the rim; 0 for smooth hair.
    """

    volume: float
    side: float
    front: str
    back: float | None = None
    curls: float = 0.0


STYLES = {
    "fine baby hair": Style(0.03, -0.3, "up"),
    "a bowl cut": Style(0.13, 0.16, "fringe"),
    "pigtails": Style(0.08, -0.02, "middle"),
    "plaits": Style(0.08, 0.1, "middle"),
    "a ponytail": Style(0.08, -0.05, "swept"),
    "a bob": Style(0.15, 0.72, "fringe", 0.85),
    "long hair": Style(0.13, 0.75, "middle", 1.75),
    "wavy hair": Style(0.17, 0.6, "swept", 1.5, 0.13),
    "a bun": Style(0.08, -0.02, "swept"),
    "short hair": Style(0.11, 0.12, "swept"),
    "a side parting": Style(0.12, -0.02, "swept"),
    "a quiff": Style(0.10, -0.04, "up"),
    "messy hair": Style(0.13, 0.02, "ragged"),
    "a buzz cut": Style(0.035, -0.1, "up"),
    "an afro": Style(0.30, 0.2, "up", 0.3, 0.2),
    "curly hair": Style(0.14, 0.12, "curly", None, 0.16),
    "a perm": Style(0.18, 0.2, "curly", None, 0.18),
}


def _front(look: Look, kind: str, side: float) -> np.ndarray:
    """Return the hairline from the right side of the face over the forehead to the left."""
    cue = look.cues
    width = cue["head_width"]
    brow = cue["eye_height"] - cue["eye_size"] - 0.16
    high = min(brow - 0.28, -0.5)
    if kind == "fringe":
        line = [(0.84, brow + 0.04), (0.5, brow - 0.06), (0, brow - 0.1), (-0.5, brow - 0.06)]
        line += [(-0.84, brow + 0.04)]
    elif kind == "middle":
        line = [(0.88, brow + 0.02), (0.62, high), (0.24, high - 0.22), (0.02, high - 0.3)]
        line += [(-0.02, high - 0.3), (-0.24, high - 0.22), (-0.62, high), (-0.88, brow + 0.02)]
    elif kind == "swept":
        line = [(0.88, brow + 0.02), (0.66, brow - 0.16), (0.2, high), (-0.3, high - 0.2)]
        line += [(-0.4, high - 0.22), (-0.66, high + 0.04), (-0.88, brow + 0.02)]
    elif kind == "ragged":
        line = [(0.86, brow), (0.6, brow - 0.2), (0.48, brow - 0.06), (0.2, brow - 0.26)]
        line += [(0.02, brow - 0.08), (-0.28, brow - 0.28), (-0.46, brow - 0.1)]
        line += [(-0.62, brow - 0.24), (-0.86, brow)]
    elif kind == "curly":
        line = [(0.86, brow), (0.62, high + 0.1), (0.3, high + 0.04), (0, high + 0.08)]
        line += [(-0.3, high + 0.04), (-0.62, high + 0.1), (-0.86, brow)]
    else:
        line = [(0.88, brow), (0.7, high), (0.35, high - 0.12), (0, high - 0.1)]
        line += [(-0.35, high - 0.12), (-0.7, high), (-0.88, brow)]
    inner = np.array(line)
    inner[:, 1] = _recede(inner, cue["recession"])
    rim = max(side, brow + 0.04)
    inner[:, 0] *= width
    ends = np.array([[0.9 * width, rim - 0.02], [-0.9 * width, rim - 0.02]])
    if look.who.seeds[5] < 0.5:
        inner = inner[::-1] * (-1, 1)
    return np.concatenate([ends[:1], inner, ends[1:]])


def _recede(line: np.ndarray, share: float) -> np.ndarray:
    """Draw the temples back first and the middle of the forehead after them."""
    x = np.abs(line[:, 0])
    reach = np.interp(x, [0, 0.35, 0.62, 0.86, 1], [0.45, 0.75, 1.0, 0.25, 0])
    return line[:, 1] + (-0.95 - line[:, 1]) * np.clip(share * reach * 1.1, 0, 1)


def _rim(look: Look, volume: float, side: float) -> np.ndarray:
    """Return the outer edge of the hair from the left side over the crown to the right."""
    width = look.cues["head_width"] + volume
    half = [
        (width - 0.35 * volume, side),
        (width + 0.01, min(side - 0.12, 0.0)),
        (0.97 * width, min(side - 0.24, -0.42)),
        (0.74 * width, -0.80 - 0.55 * volume),
        (0.38 * width, -0.97 - 0.9 * volume),
    ]
    left = [(-x, y) for x, y in half]
    return np.array([*left, (0, -1.01 - volume), *half[::-1]])


def _volume(look: Look, style: Style) -> float:
    volume = style.volume * (1 - 0.45 * min(look.cues["thin_hair"], 1.0))
    volume *= 0.85 + 0.3 * look.who.seeds[6]
    return min(volume, 0.05) if look.words["accessory"] in HATS else volume


def _curve(points: np.ndarray) -> np.ndarray:
    return spline_matrix(len(points), False) @ points


def paint_back(pen: Pen, look: Look) -> None:
    """Paint the hair behind neck and shoulders."""
    name = look.words["hairstyle"]
    style = STYLES.get(name)
    if style is None:
        return
    dark, width = mix(look.hair, _DARK, 0.22), look.cues["head_width"]
    volume = _volume(look, style)
    if style.back is not None:
        reach, wide = style.back, width + volume
        half = [(wide * 0.9, -0.6), (wide + 0.02, 0.0), (wide + 0.06, 0.5 * reach)]
        half += [(wide + 0.02, reach - 0.1), (0.7 * wide, reach)]
        left = [(-x, y) for x, y in reversed(half)]
        pen.shape([(0, -0.9), *half, *left], dark)
        if style.curls:
            for x, y in [*half[1:], *left[:-1]]:
                pen.ellipse(x, y, style.curls, style.curls, dark)
    if name == "pigtails":
        for side in (-1, 1):
            tail = [(side * width, -0.1), (side * (width + 0.3), -0.05)]
            tail += [(side * (width + 0.46), 0.4), (side * (width + 0.2), 0.8)]
            pen.shape([*tail, (side * (width + 0.1), 0.4)], look.hair)
            pen.ellipse(side * (width + 0.09), -0.06, 0.09, 0.12, look.accent)
    elif name == "a ponytail":
        side = 1 if look.who.seeds[5] < 0.5 else -1
        tail = [(side * 0.3, -1.0), (side * (width + 0.2), -0.9), (side * (width + 0.42), -0.2)]
        tail += [(side * (width + 0.3), 0.7), (side * (width + 0.08), 0.1), (side * 0.5, -0.6)]
        pen.shape(tail, dark)
    elif name == "a bun" and look.words["accessory"] not in HATS:
        pen.ellipse(0, -1.18, 0.36, 0.3, dark)
        pen.ellipse(0, -1.2, 0.31, 0.25, look.hair)
        pen.stroke([(-0.2, -1.2), (0, -1.33), (0.2, -1.22)], 0.05, fade(_LIGHT, 0.25))


def paint_front(pen: Pen, look: Look) -> None:
    """Paint the hair that frames the face."""
    name = look.words["hairstyle"]
    if name not in STYLES:
        _BARE.get(name, _paint_nothing)(pen, look)
        return
    style = STYLES[name]
    volume = _volume(look, style)
    rim, front = _rim(look, volume, style.side), _front(look, style.front, style.side)
    hair = look.hair
    if name in ("a buzz cut", "fine baby hair"):
        hair = fade(hair, 0.72)
    if style.curls:
        hatted = look.words["accessory"] in HATS
        for x, y in _curve(rim)[2:-2:5]:
            if y > -0.4 or not hatted:  # a hat presses the curls on top flat
                pen.ellipse(0.97 * x, y + 0.03, style.curls, style.curls, hair)
    outer, inner = _curve(rim), _curve(front)
    shadow = np.concatenate([inner, np.add(inner[::-1], (0, 0.07))])
    pen.polygon(shadow, fade(look.line, 0.18))
    pen.polygon(np.concatenate([outer, inner]), hair)
    if style.curls:
        for x, y in inner[8:-8:8]:
            pen.ellipse(x, y - 0.06, 0.75 * style.curls, 0.7 * style.curls, hair)
    if name == "a quiff" and look.words["accessory"] not in HATS:
        top = [(-0.62, -0.72), (-0.5, -1.12), (0.05, -1.3), (0.62, -1.12), (0.66, -0.8)]
        pen.shape([*top, (0.1, -0.78)], hair)
    if name == "messy hair" and look.words["accessory"] not in HATS:
        lean = 0.14 if look.who.seeds[5] < 0.5 else -0.14
        for x, rise in ((-0.45, 0.1), (-0.2, 0.2), (0.08, 0.24), (0.34, 0.18), (0.52, 0.06)):
            base = -1.06 + 0.5 * x * x
            lock = [(x - 0.19, base + 0.14), (x - 0.08 + 0.4 * lean, base - 0.6 * rise)]
            tip = (x + 1.3 * lean, base - rise)
            pen.shape([*lock, tip, (x + 0.19, base + 0.12)], hair)
    if name == "plaits":
        _paint_plaits(pen, look)
    if not style.curls and volume > 0.04:
        shine = _curve(rim[3:8] * (0.8, 0.88))[4:-4:6]
        pen.stroke(shine, 0.06, fade(_LIGHT, 0.22), 0.1)


def _paint_sides(pen: Pen, look: Look) -> None:
    width = look.cues["head_width"]
    for side in (-1, 1):
        points = [
            (0.88, -0.56),
            (1.07, -0.4),
            (1.12, -0.08),
            (1.06, 0.14),
            (0.93, 0.08),
            (0.9, -0.2),
        ]
        pen.shape(np.array(points) * (side * width, 1), look.hair)
    pen.soft(-0.25, -0.72, 0.3, 0.18, (255, 255, 255), 0.35)


def _paint_tuft(pen: Pen, look: Look) -> None:
    width = look.cues["head_width"]
    cap = [(-0.5 * width, -0.86), (0, -1.04), (0.5 * width, -0.86), (0.2, -0.84), (-0.2, -0.84)]
    pen.shape(cap, fade(look.hair, 0.6))
    for lean in (-0.2, 0.0, 0.2):
        lock = [(0.3 * lean, -0.9), (0.9 * lean, -1.1), (1.7 * lean + 0.05, -1.2)]
        pen.stroke(lock, 0.1, look.hair, 0.25)


def _paint_plaits(pen: Pen, look: Look) -> None:
    width = look.cues["head_width"]
    for side in (-1, 1):
        for row in range(6):
            y = 0.18 + 0.19 * row
            pen.ellipse(side * (width + 0.05 + 0.02 * row), y, 0.13 - 0.008 * row, 0.13, look.hair)
        pen.ellipse(side * (width + 0.17), 1.28, 0.08, 0.06, look.accent)
        pen.ellipse(side * (width + 0.18), 1.38, 0.09, 0.11, look.hair)


def _paint_nothing(pen: Pen, look: Look) -> None:
    """Leave the hair under the scarf."""


_BARE = {"a bald head": _paint_sides, "a tuft of hair": _paint_tuft}

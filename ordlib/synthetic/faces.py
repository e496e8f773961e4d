"""Faces of portraits: outline, ears, eyes, nose, mouth, beard and age lines.

Coordinates are in halves of a head's height: (0, 0) is the middle of the head, the skull ends
at -1 and the chin at 1.
"""

import numpy as np

from .palettes import WHITE
from .pen import Pen, fade, mix
from .people import Look


def outline(look: Look) -> np.ndarray:
    """Return the control points of the face, ``(14, 2)``, from the crown clockwise."""
    cue = look.cues
    width, cheeks, jaw = cue["head_width"], cue["cheeks"], cue["jaw"]
    sag = 0.5 * cue["jowls"]
    right = [
        (0.52 * width, -0.88),
        (0.90 * width, -0.5),
        (1.00 * width, -0.06),
        ((0.95 + 0.07 * cheeks - 0.03 * cue["cheek_lines"]) * width, 0.36),
        ((0.74 + 0.11 * cheeks + 0.12 * jaw + 0.10 * sag) * width, 0.70 + 0.03 * sag),
        ((0.36 + 0.05 * cheeks + 0.20 * jaw) * width, 0.94),
    ]
    left = [(-x, y) for x, y in reversed(right)]
    return np.array([(0, -1.0), *right, (0, 1.0), *left])


def paint_ears(pen: Pen, look: Look) -> None:
    """Paint both ears; they come before the face, which covers their inner edge."""
    cue = look.cues
    height, width = cue["ear_size"], cue["head_width"]
    y = 0.5 * cue["eye_height"] + 0.1
    for side in (-1, 1):
        x = side * (width + 0.02)
        pen.ellipse(x, y, 0.62 * height, height, look.shade)
        pen.ellipse(x, y - 0.01, 0.52 * height, 0.86 * height, look.skin)
        pen.ellipse(x + side * 0.02, y, 0.28 * height, 0.55 * height, fade(look.line, 0.35))


def paint_face(pen: Pen, look: Look) -> None:
    """Paint the skin of the face with its shading, before the features."""
    cue, points = look.cues, outline(look)
    width = cue["head_width"]
    pen.shape(points, look.skin)
    lower = points[3:8]
    inner = lower * (0.86, 0.93) + (0.0, -0.02)
    pen.shape(np.concatenate([lower, inner[::-1]]), fade(look.shade, 0.55))
    pen.soft(-0.2 * width, -0.36, 0.62 * width, 0.5, (255, 246, 232), 0.16)
    y = cue["eye_height"] + 0.36
    for side in (-1, 1):
        pen.soft(
            side * 0.62 * width, y, 0.3, 0.24, look.blush, 0.25 + 0.5 * min(cue["rosiness"], 1)
        )
    _paint_freckles(pen, look)


def paint_features(pen: Pen, look: Look) -> None:
    """Paint eyes, brows, nose, mouth, beard and lines."""
    _paint_lines(pen, look)
    for side in (-1, 1):
        _paint_eye(pen, look, side)
        _paint_brow(pen, look, side)
    _paint_nose(pen, look)
    _paint_beard(pen, look)
    _paint_mouth(pen, look)
    _paint_moustache(pen, look)


def _paint_freckles(pen: Pen, look: Look) -> None:
    if look.who.seeds[2] > 0.12:
        return
    y = look.cues["eye_height"] + 0.3
    for side in (-1, 1):
        for dx, dy in ((0.0, 0.0), (0.1, 0.05), (-0.09, 0.06), (0.03, 0.12)):
            pen.ellipse(side * (0.42 + dx), y + dy, 0.02, 0.02, fade(look.line, 0.45))


def _paint_eye(pen: Pen, look: Look, side: int) -> None:
    cue, words = look.cues, look.words
    size, x, y = cue["eye_size"], side * cue["eye_spacing"], cue["eye_height"]
    dark = mix(look.eye, (30, 20, 24), 0.6)
    if words["mood"] == "laughing" and look.who.seeds[3] < 0.5:
        arc = [(x - size, y + 0.3 * size), (x, y - 0.5 * size), (x + size, y + 0.3 * size)]
        pen.stroke(arc, 0.09, (56, 38, 40), 0.6)
        return
    open_ = 1.0 - 0.22 * cue["eyelids"]
    tall = 0.98 * size * open_
    pen.ellipse(x, y, 1.06 * size, tall, (252, 247, 240))
    iris = 0.78 * min(size, 0.2)
    pen.ellipse(x, y + 0.03 * size, iris, min(iris, tall), look.eye)
    pen.ellipse(x, y + 0.03 * size, 0.66 * iris, min(0.66 * iris, tall), dark)
    pen.ellipse(x + 0.3 * iris, y - 0.32 * iris, 0.3 * iris, 0.3 * iris, (255, 255, 255))
    lid = [(x - 1.1 * size, y), (x - 0.6 * size, y - 0.83 * tall), (x, y - 1.06 * tall)]
    lid += [(x + 0.6 * size, y - 0.83 * tall), (x + 1.1 * size, y)]
    if cue["eyelids"] > 0.05:
        fold = [(px, py - 0.2 * size) for px, py in lid[1:4]]
        drop = [(x + 0.5 * size, y - 0.55 * tall), (x - 0.5 * size, y - 0.55 * tall)]
        pen.shape([lid[1], *fold, lid[3], *drop], fade(look.shade, min(cue["eyelids"], 1)))
    pen.stroke(lid, 0.055 + 0.015 * (1 - look.who.sex), (56, 38, 40), 0.5)
    if look.who.sex < 0.5:
        tip = (x + side * 1.32 * size, y - 0.5 * tall)
        pen.stroke([(x + side * 0.85 * size, y - 0.6 * tall), tip], 0.05, (56, 38, 40), 0.3)


def _paint_brow(pen: Pen, look: Look, side: int) -> None:
    cue = look.cues
    x, size = side * cue["eye_spacing"], cue["eye_size"]
    y = cue["eye_height"] - size - 0.13 + 0.03 * cue["eyelids"]
    lift = 0.03 if look.words["mood"] in ("laughing", "grinning") else 0.0
    points = [
        (x - side * 1.15 * size, y + 0.02 - lift),
        (x + side * 0.1 * size, y - 0.05 - lift),
        (x + side * 1.3 * size, y + 0.035),
    ]
    pen.stroke(points, 0.045 + 0.06 * cue["brows"], fade(look.brow, 0.9), 0.55)


def nose_tip(look: Look) -> float:
    """Return how low the nose ends."""
    return look.cues["eye_height"] + look.cues["nose_length"]


def _paint_nose(pen: Pen, look: Look) -> None:
    cue = look.cues
    tip, wide = nose_tip(look), cue["nose_width"]
    length = cue["nose_length"]
    pen.soft(0, tip - 0.04, 1.5 * wide, 1.2 * wide, look.blush, 0.35)
    if length > 0.27:
        bridge = [(-0.25 * wide, tip - 0.75 * length), (-0.55 * wide, tip - 0.4 * length)]
        pen.stroke([*bridge, (-0.95 * wide, tip - 0.07)], 0.035, fade(look.line, 0.35), 0.2)
    under = [(-wide, tip - 0.045), (-0.5 * wide, tip + 0.015), (0, tip + 0.03)]
    under += [(0.5 * wide, tip + 0.015), (wide, tip - 0.045)]
    pen.stroke(under, 0.05, fade(look.line, 0.85), 0.5)


def mouth_height(look: Look) -> float:
    """Return where the lips meet."""
    tip = nose_tip(look)
    return tip + 0.46 * (0.98 - tip)


def _paint_mouth(pen: Pen, look: Look) -> None:
    cue, mood = look.cues, look.words["mood"]
    if look.words["accessory"] == "a dummy":
        return
    y, half = mouth_height(look), 0.2 + 0.08 * cue["head_width"] + 0.04 * look.who.seeds[4]
    dark = mix(look.line, (110, 30, 40), 0.5)
    if mood in ("laughing", "grinning"):
        deep = 0.2 if mood == "laughing" else 0.13
        top = [(-half, y - 0.05), (-0.5 * half, y - 0.015), (0.5 * half, y - 0.015)]
        bottom = [(half, y - 0.05), (0.55 * half, y + 0.8 * deep), (-0.55 * half, y + 0.8 * deep)]
        pen.shape([*top, *bottom], (120, 40, 48))
        if mood == "laughing":
            pen.ellipse(0, y + 0.68 * deep, 0.4 * half, 0.24 * deep, (226, 110, 112))
        teeth = [(-0.82 * half, y - 0.035), (0, y - 0.01), (0.82 * half, y - 0.035)]
        teeth += [(0.6 * half, y + 0.3 * deep), (-0.6 * half, y + 0.3 * deep)]
        if cue["eye_height"] < 0.2:
            pen.shape(teeth, (255, 252, 246))
        return
    curve = 0.085 if mood == "smiling" else 0.03
    full = 0.09 * cue["lips"]
    pen.shape(
        [
            (-0.62 * half, y + 0.3 * curve),
            (0, y + 0.2 * curve),
            (0.62 * half, y + 0.3 * curve),
            (0.3 * half, y + curve + full),
            (-0.3 * half, y + curve + full),
        ],
        fade(look.lip, 0.75),
    )
    left, dip = (-half, y - 0.35 * curve), (-0.5 * half, y + 0.55 * curve)
    right, rise = (half, y - 0.35 * curve), (0.5 * half, y + 0.55 * curve)
    pen.stroke([left, dip, (0, y + 0.85 * curve), rise, right], 0.05, dark, 0.55)


def _paint_lines(pen: Pen, look: Look) -> None:
    """Paint what the years write: each line fades in on its own."""
    cue = look.cues
    eyes, size, width = cue["eye_height"], cue["eye_size"], cue["head_width"]
    brow = eyes - size - 0.13
    for row in range(3):
        ink = min(max(2.6 * cue["forehead_lines"] - 0.8 * row, 0), 1)
        if ink > 0:
            y, half = brow - 0.14 - 0.1 * row, (0.42 - 0.05 * row) * width / 0.8
            bend = [(-half, y + 0.015), (-0.4 * half, y - 0.02), (0, y), (0.4 * half, y - 0.02)]
            pen.stroke([*bend, (half, y + 0.015)], 0.042, fade(look.line, 0.7 * ink), 0.3)
    tip, mouth = nose_tip(look), mouth_height(look)
    for side in (-1, 1):
        x = side * cue["eye_spacing"]
        for row in (-1, 0, 1):
            ink = min(max(2.2 * cue["crows_feet"] - 0.6 * abs(row), 0), 1)
            if ink > 0:
                start = (x + side * 1.35 * size, eyes + 0.035 * row + 0.02)
                end = (x + side * (1.35 * size + 0.13), eyes + 0.11 * row + 0.02)
                pen.stroke([start, end], 0.042, fade(look.line, 0.7 * ink), 0.3)
        bag = cue["eye_bags"]
        if bag > 0:
            y = eyes + 1.02 * size
            arc = [(x - 0.9 * size, y - 0.02), (x, y + 0.075), (x + 0.9 * size, y - 0.02)]
            pen.shape([*arc, (x, y + 0.01)], fade(look.shade, 0.5 * min(bag, 1)))
            pen.stroke(arc, 0.042, fade(look.line, 0.65 * min(bag, 1)), 0.3)
        fold = cue["smile_lines"]
        if fold > 0:
            start = (side * 1.15 * cue["nose_width"], tip - 0.03)
            end = (side * (0.34 + 0.03 * fold), tip + (0.45 + 0.55 * fold) * (mouth - tip) + 0.06)
            bend = (0.6 * start[0] + 0.4 * end[0] + side * 0.05, 0.5 * (start[1] + end[1]))
            pen.stroke([start, bend, end], 0.05, fade(look.line, 0.8 * min(fold, 1)), 0.25)
        hollow = cue["cheek_lines"]
        if hollow > 0:
            x = side * 0.66 * width
            line = [(x, tip + 0.0), (x * 0.96, tip + 0.14), (x * 0.84, tip + 0.26)]
            pen.stroke(line, 0.044, fade(look.line, 0.6 * min(hollow, 1)), 0.2)
    jowl = cue["jowls"]
    if jowl > 0:
        for side in (-1, 1):
            line = [(side * 0.36, mouth + 0.08), (side * 0.42, mouth + 0.17)]
            pen.stroke([*line, (side * 0.38, mouth + 0.24)], 0.044, fade(look.line, 0.6 * jowl))
    spots = cue["age_spots"]
    for x, y, r in (
        (0.55, -0.5, 0.035),
        (-0.48, -0.58, 0.025),
        (0.66, 0.2, 0.03),
        (-0.6, 0.32, 0.03),
    ):
        if spots > 0.05:
            pen.ellipse(x * width / 0.8, y, r, 0.8 * r, fade(look.line, 0.4 * min(spots, 1)))


def _paint_beard(pen: Pen, look: Look) -> None:
    beard, cue = look.words["beard"], look.cues
    if beard in ("", "a moustache"):
        return
    face, mouth = outline(look), mouth_height(look)
    if beard == "a goatee":
        points = [(-0.2, mouth + 0.12), (0, mouth + 0.16), (0.2, mouth + 0.12), (0.22, 0.92)]
        pen.shape([*points, (0, 1.08), (-0.22, 0.92)], look.hair)
        return
    colour = fade(look.hair, 0.28) if beard == "stubble" else look.hair
    grow = 1.0 if beard == "stubble" else 1.05
    outer = face[4:11] * (grow, grow)
    outer[:, 1] = np.maximum(outer[:, 1], 0.2)
    tip = nose_tip(look)
    inner = [
        (-0.8 * cue["head_width"], 0.44),
        (-0.42, mouth - 0.06),
        (-0.2, tip + 0.09),
        (0, tip + 0.1),
    ]
    inner += [(0.2, tip + 0.09), (0.42, mouth - 0.06), (0.8 * cue["head_width"], 0.44)]
    pen.shape(np.concatenate([outer, inner]), colour)
    if beard == "a beard":
        pen.ellipse(0, mouth + 0.06, 0.27, 0.13, look.skin)


def _paint_moustache(pen: Pen, look: Look) -> None:
    if look.words["beard"] != "a moustache" or look.words["accessory"] == "a dummy":
        return
    y = 0.5 * (nose_tip(look) + mouth_height(look)) + 0.01
    for side in (-1, 1):
        points = [(0, y - 0.03), (side * 0.16, y - 0.04), (side * 0.34, y + 0.06)]
        pen.shape([*points, (side * 0.16, y + 0.07), (0, y + 0.05)], mix(look.hair, WHITE, 0.05))

"""Light and palettes of scenes, by hour and weather."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

import numpy as np

from .pen import Colour


@dataclass(frozen=True)
class Mood:
    """Colours of sky and land at an hour of the day.

    Attributes:
        high, low: sky overhead and at the horizon.
        sun: glow around the sun, or the moon.
        land: open ground; leaf: trees and bushes; stone: roads and pavements; water: deep water.
        lamps: whether windows and lamps are lit.
    """

    high: Colour
    low: Colour
    sun: Colour
    land: Colour
    leaf: Colour
    stone: Colour
    water: Colour
    lamps: bool = False


MOODS = (
    Mood((92, 150, 204), (214, 232, 236), (255, 250, 232), (150, 166, 98), (74, 108, 66),
         (168, 160, 150), (62, 118, 146)),
    Mood((136, 176, 206), (246, 228, 202), (255, 240, 206), (170, 172, 112), (92, 118, 74),
         (182, 168, 150), (96, 142, 156)),
    Mood((112, 140, 172), (252, 208, 142), (255, 224, 150), (184, 152, 84), (106, 98, 54),
         (164, 136, 112), (88, 112, 126)),
    Mood((74, 72, 118), (242, 154, 112), (255, 196, 130), (110, 88, 78), (62, 62, 62),
         (112, 96, 100), (74, 78, 112), True),
    Mood((170, 180, 188), (222, 222, 214), (240, 240, 234), (140, 150, 110), (82, 100, 80),
         (150, 150, 146), (112, 130, 138)),
    Mood((96, 152, 186), (236, 226, 198), (255, 244, 214), (190, 156, 84), (182, 104, 48),
         (170, 154, 136), (74, 122, 140)),
    Mood((34, 48, 92), (128, 134, 168), (226, 224, 214), (62, 74, 80), (40, 56, 62),
         (84, 86, 102), (42, 60, 96), True),
)  # fmt: skip
SHARES = (0.22, 0.18, 0.16, 0.12, 0.13, 0.12, 0.07)
PAINTS = (
    (172, 54, 46), (58, 96, 122), (212, 164, 78), (94, 126, 96), (226, 210, 180), (58, 58, 68),
    (138, 84, 58), (152, 184, 188), (208, 126, 106), (108, 80, 104), (36, 66, 92), (196, 92, 52),
)  # fmt: skip
WALLS = (
    (226, 210, 178), (178, 112, 86), (208, 172, 118), (186, 198, 200), (172, 162, 148),
    (212, 144, 112), (238, 230, 214), (150, 128, 108), (196, 186, 148),
)  # fmt: skip
WOOD = ((132, 88, 56), (104, 68, 46), (164, 118, 78), (84, 60, 48))
ROOFS = ((104, 92, 94), (160, 84, 62), (112, 78, 60), (78, 92, 86), (134, 98, 80))
DARK, CREAM, LAMPLIGHT, CHROME = (46, 42, 46), (246, 238, 218), (255, 214, 132), (206, 208, 208)
SKINS = ((238, 200, 170), (222, 176, 142), (196, 144, 108), (150, 104, 76), (112, 76, 56))
HAIRS = ((48, 38, 36), (88, 60, 44), (132, 88, 56), (190, 150, 92), (160, 156, 152))


def draw_mood(rng: np.random.Generator) -> Mood:
    """Sample an hour of the day, with small colour variations.

    Example:
        >>> mood = draw_mood(np.random.default_rng(0))
        >>> all(0 <= channel <= 255 for channel in mood.high)
        True
    """
    mood = MOODS[int(rng.choice(len(MOODS), p=SHARES))]
    names = [field.name for field in fields(Mood) if field.name != "lamps"]
    drift = (rng.normal(0, 5, 3) + rng.normal(0, 7, (len(names), 3))).tolist()
    moved = {
        name: _clipped(getattr(mood, name), step) for name, step in zip(names, drift, strict=True)
    }
    return replace(mood, **moved)


def pick(rng: np.random.Generator, colours: tuple[Colour, ...], drift: float = 9.0) -> Colour:
    """Sample one of the colours, with a small variation.

    Example:
        >>> len(pick(np.random.default_rng(0), PAINTS))
        3
    """
    return _clipped(colours[int(rng.integers(len(colours)))], rng.normal(0, drift, 3).tolist())


def shade(colour: Colour, factor: float) -> Colour:
    """Return the colour darker (factor below 1) or lighter (above 1).

    Example:
        >>> shade((100, 50, 200), 1.5)
        (150, 75, 255)
    """
    return tuple(min(255, int(channel * factor)) for channel in colour[:3])


def _clipped(colour: Colour, step: Iterable[float]) -> Colour:
    moved = (channel + change for channel, change in zip(colour, step, strict=True))
    return tuple(int(min(max(channel, 0), 255)) for channel in moved)

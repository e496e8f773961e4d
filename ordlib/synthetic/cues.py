"""Age cues of a face: one curve over age per cue, with individual deviations.

No single cue gives the age away. Each belongs to a phase of life (the childhood ones are flat
afterwards, the lines of old age are absent before) and every person departs from each curve
separately: early or late, much or little. Only together do they tell.
"""

from dataclasses import dataclass

import numpy as np

# Development is fast first and slow later: a year at two changes more than a year at fifty.
_AGES = (0, 1, 4, 8, 13, 20, 35, 55, 75, 95)
_STAGES = (0.0, 0.04, 0.16, 0.27, 0.38, 0.5, 0.63, 0.77, 0.89, 1.0)


def stage(age: float | np.ndarray) -> np.ndarray:
    """Map age to life stage, 0 to 1, in perceptually even steps.

    Args:
        age: years, 0 to 95.

    Returns:
        0 to 1; 20 years is the middle.

    Example:
        >>> float(stage(20))
        0.5
    """
    return np.interp(age, _AGES, _STAGES)


@dataclass(frozen=True)
class Cue:
    """A drawn quantity as a function of age.

    Attributes:
        ages, values: knots of the curve.
        shift: how early or late a person is, as a standard deviation of ``stage``.
        spread: how much a person differs at every age, as a standard deviation of the value.
        rare: how far below the average a person must be to show it at all, in standard
            deviations; None for what everybody has. A third of people never show a wrinkle of
            one kind, whatever their age.
        masculine: added in full for an adult man, subtracted for an adult woman.
        floor, ceiling: bounds of the result.
    """

    ages: tuple[float, ...]
    values: tuple[float, ...]
    shift: float = 0.08
    spread: float = 0.0
    rare: float | None = None
    masculine: float = 0.0
    floor: float = 0.0
    ceiling: float = 2.0


RARE = 0.36


def _lines(start: float, full: float, **more: float) -> Cue:
    """Return the course of a sign of age: absent until ``start``, complete at ``full``."""
    ages = (start, (start + full) / 2, full)
    return Cue(ages, (0, 0.5, 1), **{"shift": 0.16, "rare": RARE, "ceiling": 1.15} | more)


CUES: dict[str, Cue] = {
    "head_size": Cue((1, 8, 20), (1.08, 1.04, 1.0), spread=0.03, floor=0.85),
    "head_width": Cue((1, 6, 14, 22, 90), (0.97, 0.92, 0.84, 0.79, 0.78), spread=0.04, floor=0.7),
    "cheeks": Cue((1, 6, 14, 22, 60, 90), (1, 0.8, 0.5, 0.32, 0.35, 0.15), spread=0.2),
    "jaw": Cue((1, 12, 22, 60, 90), (0.1, 0.25, 0.5, 0.6, 0.5), spread=0.16, masculine=0.16),
    "eye_size": Cue(
        (1, 6, 13, 20, 60, 90), (0.205, 0.185, 0.16, 0.147, 0.142, 0.13), spread=0.019, floor=0.1
    ),
    "eye_height": Cue((1, 6, 13, 20), (0.25, 0.18, 0.09, 0.04), spread=0.035, floor=-0.05),
    "eye_spacing": Cue((1, 13, 20), (0.43, 0.39, 0.36), spread=0.022, floor=0.3),
    "nose_length": Cue((1, 6, 13, 20, 90), (0.2, 0.24, 0.3, 0.35, 0.39), spread=0.055, floor=0.14),
    "nose_width": Cue((1, 13, 20, 90), (0.09, 0.12, 0.14, 0.16), spread=0.024, floor=0.06),
    "ear_size": Cue((1, 20, 90), (0.17, 0.18, 0.23), spread=0.03, floor=0.12),
    "lips": Cue((1, 18, 50, 90), (0.4, 0.75, 0.6, 0.2), spread=0.18, masculine=-0.15),
    "brows": Cue((1, 6, 20, 90), (0.3, 0.5, 0.8, 0.95), spread=0.18, masculine=0.2, floor=0.15),
    "rosiness": Cue((1, 8, 20, 90), (0.9, 0.7, 0.4, 0.35), spread=0.22, ceiling=1.1),
    "neck_length": Cue((1, 6, 16, 60, 90), (0.05, 0.16, 0.3, 0.27, 0.14), spread=0.05),
    "neck_width": Cue(
        (1, 8, 20, 60), (0.4, 0.38, 0.44, 0.47), spread=0.035, masculine=0.07, floor=0.3
    ),
    "shoulders": Cue(
        (1, 4, 10, 18, 60, 90),
        (1.12, 1.25, 1.45, 1.72, 1.76, 1.6),
        spread=0.1,
        masculine=0.14,
        floor=0.95,
        ceiling=2.3,
    ),
    "slope": Cue((1, 20, 50, 90), (0.5, 0.36, 0.4, 0.6), spread=0.08, floor=0.2),
    "stoop": _lines(55, 92),
    "forehead_lines": _lines(32, 78),
    "crows_feet": _lines(35, 80),
    "smile_lines": _lines(30, 75),
    "eye_bags": _lines(34, 82),
    "cheek_lines": _lines(55, 92),
    "neck_lines": _lines(40, 85),
    "age_spots": _lines(58, 95),
    "eyelids": _lines(40, 90),
    "jowls": _lines(48, 90),
    "grey": _lines(32, 70),
    "recession": _lines(28, 75),
    "thin_hair": _lines(50, 92),
}
_KNOTS = {name: stage(np.array(cue.ages)) for name, cue in CUES.items()}


def cues_at(age: float, deviations: np.ndarray, sex: float) -> dict[str, float]:
    """Return the value of every cue of a person at an age.

    Args:
        age: years, 1 to 90.
        deviations: ``(cues, 3)`` standard normal numbers of the person: how early, how strong
            and how different each cue is.
        sex: 0 feminine to 1 masculine.

    Returns:
        Cue name to value, in units of half a head's height or as a share.

    Example:
        >>> average = np.zeros((len(CUES), 3))
        >>> baby, adult = cues_at(1, average, 0.5), cues_at(40, average, 0.5)
        >>> baby["eye_size"] > adult["eye_size"]
        True
    """
    now = float(stage(age))
    grown = min(max((now - 0.36) / 0.14, 0.0), 1.0) * (2 * sex - 1)
    # However early somebody is: no child has wrinkles.
    mature = min(max((now - 0.44) / 0.14, 0.0), 1.0)
    result = {}
    for (name, cue), (early, strong, different) in zip(CUES.items(), deviations, strict=True):
        value = np.interp(now + cue.shift * early, _KNOTS[name], cue.values)
        if cue.rare is not None:
            value *= min(max(3 * (cue.rare - strong), 0.0), 1.0) * mature
        value += cue.spread * different + cue.masculine * grown
        result[name] = float(min(max(value, cue.floor), cue.ceiling))
    return result

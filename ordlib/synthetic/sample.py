"""What every painter of the rendered world returns."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sample:
    """One rendered picture, its label, and what was drawn.

    Attributes:
        image: ``(side, side, 3)`` uint8, RGB.
        value: the label on the task's number line (objects, decade index, years, points).
        record: what the generator chose, flat: words for captions, numbers for the leak test.
    """

    image: np.ndarray
    value: float
    record: dict[str, str | float]

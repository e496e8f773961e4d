"""A rendered sample: image, label, metadata."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sample:
    """A rendered sample: image, label, metadata.

    Attributes:
        image: ``(side, side, 3)`` uint8, RGB.
        value: the label on the task's number line (objects, decade index, years, points).
        record: generator parameters: strings for captions, numbers for the shortcut audit.
    """

    image: np.ndarray
    value: float
    record: dict[str, str | float]

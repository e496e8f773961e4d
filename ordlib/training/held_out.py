"""Images held out of training: for early stopping, and for calibration."""

import warnings
from collections.abc import Sequence

import numpy as np

from ..data import ImageData
from ..data.splits import split_indices

VAL_FRACTION = 0.2
MIN_CALIBRATION_IMAGES = 100


def hold_out_val(train: Sequence[ImageData], seed: int) -> tuple[list[ImageData], list[ImageData]]:
    """Split each training set into 80 % training and 20 % validation images, and warn of it.

    Groups stay together; the ranks are stratified.
    """
    splits = []
    for data in train:
        fractions = {"train": 1 - VAL_FRACTION, "val": VAL_FRACTION}
        try:
            parts = split_indices(data.ranks, fractions, data.groups, seed)
        except ValueError as error:
            raise ValueError(
                f"val = None: no validation images can be held out ({error}); pass val="
            ) from error
        kept, val = (data.subset(indices, name) for name, indices in parts.items())
        groups = "" if val.groups is None else f" ({len(np.unique(val.groups))} groups)"
        warnings.warn(
            f"val = None: {len(val)} of {len(data)} training images of task {data.task.name!r}"
            f"{groups} are held out to select the best epoch",
            stacklevel=3,
        )
        splits.append((kept, val))
    kept, val = zip(*splits, strict=True)
    return [*kept], [*val]


def split_calibration(val: ImageData, seed: int) -> tuple[ImageData, ImageData | None]:
    """Split validation data in half: for early stopping, and for calibration.

    Groups stay together. A half of fewer than 100 images is too small to calibrate with; then all
    images stay validation data.

    Example:
        >>> from ordlib import load_data
        >>> val = load_data("dating", "val", num_images=200)
        >>> [len(part) for part in split_calibration(val, seed=0)]
        [100, 100]
        >>> split_calibration(val.subset(range(199)), seed=0)
        (ImageData(dating, val: 199 images, labels 0 to 4), None)
    """
    one_group = val.groups is not None and len(np.unique(val.groups)) == 1
    if len(val) < 2 * MIN_CALIBRATION_IMAGES or one_group:
        return val, None
    parts = split_indices(val.ranks, {"val": 0.5, "calibration": 0.5}, val.groups, seed)
    kept, calibration = (val.subset(indices, name) for name, indices in parts.items())
    if len(calibration) < MIN_CALIBRATION_IMAGES:
        return val, None
    return kept, calibration

"""Synthetic images for the calibration of prediction intervals."""

from ..data import ImageData
from .synthetic_data import load_data

NUM_VAL_IMAGES, NUM_CALIBRATION_IMAGES = 400, 200


def synthetic_calibration_data(task: str, image_size: int) -> ImageData:
    """Images to calibrate with: like the validation images, but unseen by early stopping.

    Early stopping keeps all 400 validation images; these are the 200 that follow them.
    """
    data = load_data(task, "val", image_size, NUM_VAL_IMAGES + NUM_CALIBRATION_IMAGES)
    return data.subset(range(NUM_VAL_IMAGES, len(data)), "calibration")

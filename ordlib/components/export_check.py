"""Compare exported files with their models on random images."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..data import ImageData

if TYPE_CHECKING:
    from ..methods.predictor import Predictor

MAX_DIFFERENCE = 1e-4  # of probabilities and values
MAX_RANGE_FRACTION = 1e-5  # of values, if that is more: float32 has seven digits
NUM_CHECKED = 8


def random_images(side: int) -> np.ndarray:
    """``(8, S, S, 3)`` uint8: noise in blocks from a pixel to half of the image."""
    rng = np.random.default_rng(0)
    images = []
    for i in range(NUM_CHECKED):
        count = max(2, side >> i)
        blocks = rng.integers(0, 256, (count, count, 3), dtype=np.uint8)
        index = np.arange(side) * count // side
        images.append(blocks[index][:, index])
    return np.stack(images)


def check_equal(file: Path, model: "Predictor", images: np.ndarray) -> None:
    """Raise FloatingPointError unless the file and the model predict the same."""
    import onnxruntime

    # Not by path, which must be valid Unicode.
    session = onnxruntime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])
    task, count = model.task, len(images)
    values, rows = np.full(count, task.range[0]), pd.DataFrame(index=range(count))
    expected = model.predict(ImageData(task, images, values, rows, "random", "export"))
    low, high = task.range
    max_difference = max(MAX_DIFFERENCE, MAX_RANGE_FRACTION * (high - low))
    wanted = {"value": expected.value}
    if expected.probabilities is not None:
        wanted["probabilities"] = expected.probabilities
        calibration = model.calibrations.get(task.name)
        if calibration and calibration.temperature is not None:
            wanted["calibrated_probabilities"] = calibration.scale(expected.probabilities)
    names = [output.name for output in session.get_outputs()]
    for batch in (slice(None), slice(1)):
        found = dict(zip(names, session.run(None, {"images": images[batch]}), strict=True))
        for name, array in wanted.items():
            limit = max_difference if name == "value" else MAX_DIFFERENCE
            difference = np.abs(found[name] - array[batch]).max()
            if not difference <= limit:
                raise FloatingPointError(
                    f"{name}: onnxruntime and {type(model).__name__} differ by {difference:.2g} on "
                    f"random images, more than {limit:g}; no file is written; report the "
                    f"backbone ({model.clip.name}) and the versions of torch and onnxruntime"
                )

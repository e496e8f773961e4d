"""Interactive figure of notebook 06: the images with the largest errors, by group."""

import numpy as np
from ipywidgets import Dropdown, IntSlider, VBox
from matplotlib.axes import Axes
from numpy.typing import ArrayLike
from PIL import ImageOps

from ...data import ImageData
from ...metrics.ordinal_checks import as_floats
from ...utils.validation import check_count
from ..plots import contact_sheet
from ..plots.style import value_label
from .controls import NAME_WIDTH, interactive_figure, show_message

ALL = "all"
CELL = (160, 120)  # width and height of an image in pixels
MAX_SHOWN = 24


def errors_figure(
    data: ImageData, predicted: ArrayLike, group: str = ALL, num_images: int = 12
) -> Axes:
    """Contact sheet of the images with the largest errors; above each, label and prediction.

    Args:
        data: N labelled images.
        predicted: ``(N,)`` predicted values.
        group: one of the groups of ``data``, or "all".
        num_images: at most as many images are shown.

    Raises:
        ValueError: predictions of other images, or not as many as the images.
    """
    check_count("num_images", num_images)
    predicted = _check_predicted(data, predicted)
    errors = np.abs(data.values - predicted)
    rows = np.arange(len(data))
    if group != ALL:
        rows = np.flatnonzero(data.groups == group)
    if not len(rows):
        return show_message(f"there is no group {group!r}")
    rows = rows[np.argsort(-errors[rows], kind="stable")][:num_images]
    images = [ImageOps.pad(data.load(int(row), CELL[1]), CELL, color="white") for row in rows]
    labels = [value_label(data.task, value) for value in data.values[rows]]
    titles = [f"{a} → {predicted[row]:.1f}" for a, row in zip(labels, rows, strict=True)]
    ax = contact_sheet(images, titles, columns=6)
    ax.set_title(f"label → prediction; mean error of these: {errors[rows].mean():.2f}", fontsize=11)
    return ax


def _check_predicted(data: ImageData, predicted: ArrayLike) -> np.ndarray:
    predicted = as_floats("predicted", predicted)
    if predicted.shape != data.values.shape or not np.isfinite(predicted).all():
        raise ValueError(
            f"predicted: shape {predicted.shape}; expected {data.values.shape}, one finite value "
            "for each image, such as model.predict(data).value"
        )
    return predicted


def explore_errors(data: ImageData, predicted: ArrayLike) -> VBox:
    """:func:`errors_figure` with a slider for the number of images and a menu of groups."""
    predicted = _check_predicted(data, predicted)
    groups = [] if data.groups is None else sorted(set(data.groups))

    def draw(images: int, group: str) -> None:
        errors_figure(data, predicted, group, images)

    return interactive_figure(draw, {
        "images": IntSlider(12, 1, MAX_SHOWN, description="images", style=NAME_WIDTH,
                            continuous_update=False),
        "group": Dropdown(options=[ALL, *groups], description="group", style=NAME_WIDTH),
    })  # fmt: skip

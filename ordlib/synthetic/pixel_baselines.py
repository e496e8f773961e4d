"""Pixel baselines: ridge regression and gradient boosting without CLIP, to detect shortcuts."""

import numpy as np
from PIL import Image
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import Pipeline, make_pipeline

from ..data import ImageData
from ..methods.linear_probe import FeatureRegressor, LinearProbe
from ..tasks import OrdinalTask

# Fixed here so that the baselines are the same wherever they are quoted.
SIDE = 96
THUMBNAIL = 12
BINS = 16
SCALES = 4
TREES = {"max_iter": 200, "learning_rate": 0.06, "max_leaf_nodes": 15, "l2_regularization": 1.0}


class PixelRidge(LinearProbe):
    """Ridge regression on a 12 x 12 thumbnail and the histogram of each colour channel.

    Args:
        task: what is predicted.

    Example:
        >>> from ordlib import load_data
        >>> train = load_data("counting", "train", image_size=64, num_images=50)
        >>> PixelRidge(train.task).fit(train).predict(train).value.shape
        (50,)
    """

    def __init__(self, task: OrdinalTask) -> None:
        super().__init__(thumbnail_features, task)


class PixelTrees(FeatureRegressor):
    """Gradient-boosted trees on channel histograms and edge energies at four scales.

    Args:
        task: what is predicted.

    Example:
        >>> from ordlib import load_data
        >>> train = load_data("counting", "train", image_size=64, num_images=50)
        >>> PixelTrees(train.task).fit(train).predict(train).value.shape
        (50,)
    """

    def __init__(self, task: OrdinalTask) -> None:
        super().__init__(edge_features, task)

    def _make_regressor(self, train: ImageData) -> Pipeline:
        return make_pipeline(
            HistGradientBoostingRegressor(**TREES, early_stopping=False, random_state=0)
        )


def thumbnail_features(data: ImageData) -> np.ndarray:
    """Thumbnails and colour histograms of images.

    Args:
        data: N images.

    Returns:
        ``(N, 12 * 12 * 3 + 3 * 16)`` float64, 0 to 1.
    """
    pixels = pixels_of(data)
    small = [
        Image.fromarray(p).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX) for p in pixels
    ]
    thumbnails = np.stack([np.asarray(image) for image in small]) / 255
    return np.hstack([thumbnails.reshape(len(pixels), -1), histograms(pixels)])


def edge_features(data: ImageData) -> np.ndarray:
    """Colour histograms and edge energies of images.

    Args:
        data: N images.

    Returns:
        ``(N, 3 * 16 + 4 * 5)`` float64: the histograms, then for each scale the mean and the
        spread of the edges across and down, and the share of strong edges.
    """
    pixels = pixels_of(data)
    return np.hstack([histograms(pixels), edge_energies(pixels)])


def pixels_of(data: ImageData) -> np.ndarray:
    """Return all images as one ``(N, 96, 96, 3)`` uint8 array, scaled where they differ."""
    if isinstance(data.images, np.ndarray) and data.images.shape[1:3] == (SIDE, SIDE):
        return np.asarray(data.images)
    size = (SIDE, SIDE)
    return np.stack([np.asarray(image.resize(size, Image.Resampling.BOX)) for image in data])


def histograms(pixels: np.ndarray) -> np.ndarray:
    """Histogram of each colour channel.

    Args:
        pixels: ``(N, H, W, 3)`` uint8.

    Returns:
        ``(N, 3 * 16)`` shares of pixels; those of a channel sum to 1.

    Example:
        >>> black = np.zeros((1, 4, 4, 3), dtype=np.uint8)
        >>> histograms(black)[0, ::16]
        array([1., 1., 1.])
    """
    count = len(pixels)
    cells = (pixels.reshape(count, -1, 3) // (256 // BINS)).astype(np.int64)
    cells += BINS * (np.arange(3) + 3 * np.arange(count)[:, None, None])
    totals = np.bincount(cells.ravel(), minlength=count * 3 * BINS)
    return totals.reshape(count, 3 * BINS) / cells.shape[1]


def edge_energies(pixels: np.ndarray) -> np.ndarray:
    """Edge energies of the grey image at four scales.

    Args:
        pixels: ``(N, H, W, 3)`` uint8, H and W multiples of 8.

    Returns:
        ``(N, 4 * 5)``: for each scale, halving the size, the mean and standard deviation of
        the absolute differences across and down, and the share above a tenth of full range.

    Example:
        >>> edge_energies(np.full((1, 16, 16, 3), 7, dtype=np.uint8)).any()
        np.False_
    """
    grey = pixels.astype(np.float32).mean(axis=3) / 255
    found = []
    for _ in range(SCALES):
        across, down = np.abs(np.diff(grey, axis=2)), np.abs(np.diff(grey, axis=1))
        for edges in (across, down):
            found += [edges.mean(axis=(1, 2)), edges.std(axis=(1, 2))]
        found.append(((across > 0.1).mean(axis=(1, 2)) + (down > 0.1).mean(axis=(1, 2))) / 2)
        grey = (
            grey[:, ::2, ::2] + grey[:, 1::2, ::2] + grey[:, ::2, 1::2] + grey[:, 1::2, 1::2]
        ) / 4
    return np.stack(found, axis=1).astype(np.float64)

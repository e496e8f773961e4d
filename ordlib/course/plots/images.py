"""Contact sheets, ranked image strips and occlusion maps."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike
from PIL import Image, ImageOps

from ...data import ImageData
from ...metrics import spearman
from .style import PALETTE, value_label

# Images of a figure are not resolved beyond this size, in pixels.
MAX_SIZE = 224
# Side of an image in a row, whose columns have width 1.
CELL_SIZE = 0.9
# Largest displacement in a strip that is not marked, in positions.
TOLERANCE = 1


def contact_sheet(
    images: Sequence, titles: Sequence[str] | None = None, columns: int = 10, ax: Axes | None = None
) -> Axes:
    """Contact sheet: a grid of images with titles above them, filled row by row.

    Images are ``(height, width, 3)`` uint8 arrays or PIL images, all of the same size.

    Example:
        >>> ax = contact_sheet([np.zeros((8, 8, 3), np.uint8)] * 3, ["a", "b", "c"])
        >>> [text.get_text() for text in ax.texts]
        ['a', 'b', 'c']
        >>> plt.close(ax.figure)
    """
    if not len(images):
        raise ValueError("images = []: is empty; pass at least one image")
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"titles has {len(titles)} entries for {len(images)} images")
    arrays = [np.asarray(image) for image in images]
    columns = min(columns, len(arrays))
    rows = -(-len(arrays) // columns)
    height, width = arrays[0].shape[:2]
    gap, header = max(2, height // 16), height // 4 if titles is not None else 0
    sheet = np.full((rows * (height + gap + header), columns * (width + gap), 3), 255, np.uint8)
    if ax is None:
        inches = min(12.0, 1.2 * columns * width / height + 0.5)
        _, ax = plt.subplots(figsize=(inches, inches * sheet.shape[0] / sheet.shape[1]))
    for i, array in enumerate(arrays):
        top = (i // columns) * (height + gap + header) + header
        left = (i % columns) * (width + gap)
        sheet[top : top + height, left : left + width] = array
        if titles is not None:
            style = {"ha": "center", "va": "bottom", "fontsize": 9, "parse_math": False}
            ax.text(left + width / 2, top - gap, titles[i], **style)
    ax.imshow(sheet, interpolation="antialiased")
    ax.set_axis_off()
    return ax


def ranking_strip(
    data: ImageData, scores: ArrayLike, num_images: int = 12, ax: Axes | None = None
) -> Axes:
    """Image strip sorted by score, the lowest on the left, with true labels below.

    Images displaced by more than one position from where their label belongs in the strip (see
    :func:`rank_displacement`) have a frame and an arrow towards that position. The title has the
    Spearman correlation of scores and labels over all images.

    The ``(N,)`` scores are on any scale; ties keep their order in the data. The ``num_images``
    (>= 2) of the strip are evenly spaced along the order, with both ends included.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.shape != (len(data),):
        raise ValueError(f"scores has shape {scores.shape} for {len(data)} images; pass (N,)")
    if not np.isfinite(scores).all():
        index = int(np.argmin(np.isfinite(scores)))
        raise ValueError(f"scores[{index}] = {scores[index]}: must be finite")
    if num_images < 2:
        raise ValueError(f"num_images = {num_images}: must be >= 2")
    order = np.argsort(scores, kind="stable")
    rows = order[np.linspace(0, len(order) - 1, min(num_images, len(order))).round().astype(int)]
    displacements = rank_displacement(data.values[rows])
    ax = ax or plt.subplots(figsize=(len(rows), 1.9), layout="constrained")[1]
    for position, (row, displacement) in enumerate(zip(rows, displacements, strict=True)):
        _draw_cell(ax, position, center_crop(data[int(row)]))
        label, color = value_label(data.task, data.values[row]), "black"
        if abs(displacement) > TOLERANCE:
            label = f"{label} →" if displacement > 0 else f"← {label}"
            color = PALETTE["red"]
            corner = (position - CELL_SIZE / 2, 0)
            frame = {"fill": False, "edgecolor": color, "linewidth": 4}
            ax.add_patch(Rectangle(corner, CELL_SIZE, CELL_SIZE, **frame))
        style = {"ha": "center", "va": "top", "fontsize": 10, "parse_math": False}
        ax.text(position, -0.08, label, color=color, **style)
    ax.set(xlim=(-0.55, len(rows) - 0.45), ylim=(-0.4, 0.95))
    ax.set_axis_off()
    ax.set_title(
        f"{data.task.name}, lowest score on the left ({(abs(displacements) > TOLERANCE).sum()} of "
        f"{len(rows)} out of place; Spearman over all {len(data)}: "
        f"{format_spearman(data.values, scores)})",
        fontsize=11, loc="left", parse_math=False,
    )  # fmt: skip
    return ax


def occlusion_maps(
    image: Image.Image | np.ndarray, maps: Mapping[str, ArrayLike],
    label: str = "what the patch adds to the score", ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Occlusion maps: an image, and one overlay of patch values per prompt.

    All maps share one color scale that is symmetric around 0: red is positive, blue negative, and
    the grey image shows through where values are small.

    The center crop of the image, the input of CLIP, is drawn. Maps are ``(g, g)`` values by
    prompt, g patches along each side, the top row first; ``label`` is that of the color bar.
    """
    grids = {name: np.asarray(grid, dtype=np.float64) for name, grid in maps.items()}
    if not grids:
        raise ValueError("maps = {}: is empty; pass at least one map")
    for name, grid in grids.items():
        if grid.ndim != 2 or grid.shape[0] != grid.shape[1]:
            raise ValueError(f"maps[{name!r}] has shape {grid.shape}; pass (g, g)")
        if not np.isfinite(grid).all():
            raise ValueError(f"maps[{name!r}]: has values that are not finite")
    limit = max(np.abs(grid).max() for grid in grids.values()) or 1.0
    panels = ["the image", *grids]
    ax = ax or plt.subplots(figsize=(2.6 * len(panels) + 1.2, 3.2), layout="constrained")[1]
    colors = ScalarMappable(Normalize(-limit, limit), sns.color_palette("vlag", as_cmap=True))
    crop = center_crop(image)
    for position, name in enumerate(panels):
        _draw_cell(ax, position, crop.convert("L").convert("RGB") if position else crop)
        ax.text(
            position, CELL_SIZE + 0.03, fill(name, 26), ha="center", va="bottom", fontsize=10,
            parse_math=False,
        )  # fmt: skip
        if position:
            overlay = colors.to_rgba(grids[name])
            # The strongest color stays a little transparent.
            overlay[..., 3] = 0.85 * np.abs(grids[name]) / limit
            _draw_cell(ax, position, overlay, interpolation="nearest")
    ax.set(xlim=(-0.5, len(panels) - 0.5), ylim=(0, 1.25))
    ax.set_axis_off()
    ax.figure.colorbar(colors, ax=ax, label=label, shrink=0.8)
    return ax


def _draw_cell(ax: Axes, position: int, image: ArrayLike | Image.Image, **kwargs: str) -> None:
    half = CELL_SIZE / 2
    ax.imshow(image, extent=(position - half, position + half, 0, CELL_SIZE), **kwargs)


def rank_displacement(values: ArrayLike) -> np.ndarray:
    """Signed distance of each of ``(K,)`` values from its nearest position in ascending order.

    Positive values belong further right; equal values may stand in any order.

    Example:
        >>> rank_displacement([5, 1, 2, 2, 9])
        array([ 3, -1,  0, -1,  0])
    """
    values = np.asarray(values)
    ascending, positions = np.sort(values), np.arange(len(values))
    first = np.searchsorted(ascending, values, "left")
    last = np.searchsorted(ascending, values, "right") - 1
    return positions.clip(first, last) - positions


def format_spearman(values: ArrayLike, scores: ArrayLike) -> str:
    """Spearman correlation as text for a title."""
    rho = spearman(values, scores)
    return "undefined" if np.isnan(rho) else f"{rho:+.2f}"


def center_crop(image: Image.Image | np.ndarray) -> Image.Image:
    """Square center crop, resized to at most 224 pixels.

    Example:
        >>> center_crop(np.zeros((20, 30, 3), np.uint8)).size
        (20, 20)
    """
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    size = min(*image.size, MAX_SIZE)
    return ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)

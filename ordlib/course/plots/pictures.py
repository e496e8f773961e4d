"""Pictures side by side, in an order, and under maps of their patches."""

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
from .style import PALETTE, value_name

# More pixels than these along a side no small picture in a figure can show.
LARGEST = 224
# Of the room of 1 that a picture in a row has, the part that it fills.
FILLED = 0.9


def contact_sheet(
    images: Sequence,
    titles: Sequence[str] | None = None,
    columns: int = 10,
    ax: Axes | None = None,
) -> Axes:
    """Tile pictures, row by row, each with a short title.

    Args:
        images: ``(side, side, 3)`` uint8 arrays or square PIL pictures, all of one size.
        titles: one for each picture, drawn above it.
        columns: pictures in a row.

    Example:
        >>> ax = contact_sheet([np.zeros((8, 8, 3), np.uint8)] * 3, ["a", "b", "c"])
        >>> [text.get_text() for text in ax.texts]
        ['a', 'b', 'c']
        >>> plt.close(ax.figure)
    """
    if not len(images):
        raise ValueError("contact_sheet needs at least one picture")
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"contact_sheet got {len(images)} pictures and {len(titles)} titles")
    pixels = [np.asarray(image) for image in images]
    columns = min(columns, len(pixels))
    rows = -(-len(pixels) // columns)
    side = pixels[0].shape[0]
    gap, head = max(2, side // 16), side // 4 if titles is not None else 0
    sheet = np.full((rows * (side + gap + head), columns * (side + gap), 3), 255, np.uint8)
    if ax is None:
        width = min(12.0, 1.2 * columns + 0.5)
        _, ax = plt.subplots(figsize=(width, width * sheet.shape[0] / sheet.shape[1]))
    for i, picture in enumerate(pixels):
        top = (i // columns) * (side + gap + head) + head
        left = (i % columns) * (side + gap)
        sheet[top : top + side, left : left + side] = picture
        if titles is not None:
            ax.text(left + side / 2, top - gap, titles[i], ha="center", va="bottom", fontsize=9)
    ax.imshow(sheet, interpolation="antialiased")
    ax.set_axis_off()
    return ax


def ranking_strip(
    data: ImageData,
    scores: ArrayLike,
    count: int = 12,
    ax: Axes | None = None,
) -> Axes:
    """Draw pictures in the order of their scores, the lowest on the left, over their true labels.

    A picture is out of place if it stands more than one place from where its label would put it
    among those shown (pictures with equal labels may stand in any order). It has a frame,
    and an arrow beside its label that says which way it belongs. The title has Spearman's
    correlation of score and label over all pictures.

    Args:
        data: N labelled pictures.
        scores: ``(N,)``, of any scale; equal ones keep their order in the data.
        count: how many to show, evenly along the order, both ends among them.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.shape != (len(data),):
        raise ValueError(f"scores has shape {scores.shape} for {len(data)} pictures: give (N,)")
    if not np.isfinite(scores).all():
        raise ValueError(f"scores[{int(np.argmin(np.isfinite(scores)))}] is not finite")
    if count < 2:
        raise ValueError(f"count = {count}: show at least 2, the lowest and the highest")
    order = np.argsort(scores, kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)]
    off = places_off(data.values[chosen])
    ax = ax or plt.subplots(figsize=(len(chosen), 1.9), layout="constrained")[1]
    for place, (row, steps) in enumerate(zip(chosen, off, strict=True)):
        _put(ax, place, squared(data[int(row)]))
        name, colour = value_name(data.task, data.values[row]), "black"
        if abs(steps) > 1:
            name, colour = f"{name} →" if steps > 0 else f"← {name}", PALETTE["red"]
            corner = (place - FILLED / 2, 0)
            frame = {"fill": False, "edgecolor": colour, "linewidth": 4}
            ax.add_patch(Rectangle(corner, FILLED, FILLED, **frame))
        ax.text(place, -0.08, name, ha="center", va="top", fontsize=10, color=colour)
    ax.set(xlim=(-0.55, len(chosen) - 0.45), ylim=(-0.4, 0.95))
    ax.set_axis_off()
    ax.set_title(
        f"{data.task.name}, lowest score on the left ({(abs(off) > 1).sum()} of {len(chosen)} "
        f"out of place; Spearman over all {len(data)}: {correlation(data.values, scores)})",
        fontsize=11, loc="left",
    )  # fmt: skip
    return ax


def occlusion_maps(
    image: Image.Image | np.ndarray,
    maps: Mapping[str, ArrayLike],
    label: str = "what the patch adds to the score",
    ax: Axes | None = None,
) -> Axes:
    """Draw a picture, and beside it once more for each sentence, under the numbers of its patches.

    All maps share one scale, the same on both sides of 0: red is above, blue below, and where
    nothing is the grey picture shows.

    Args:
        image: any; what a CLIP sees of it, the square in its middle, is drawn.
        maps: ``(g, g)`` numbers by sentence, g patches along each side, the top row first.
        label: of the scale.
    """
    grids = {name: np.asarray(grid, dtype=np.float64) for name, grid in maps.items()}
    if not grids:
        raise ValueError("occlusion_maps needs at least one map")
    for name, grid in grids.items():
        if grid.ndim != 2 or grid.shape[0] != grid.shape[1]:
            raise ValueError(f"the map {name!r} has shape {grid.shape}: give (g, g)")
        if not np.isfinite(grid).all():
            raise ValueError(f"the map {name!r} has a number that is not finite")
    limit = max(np.abs(grid).max() for grid in grids.values()) or 1.0
    panels = ["the picture", *grids]
    ax = ax or plt.subplots(figsize=(2.6 * len(panels) + 1.2, 3.2), layout="constrained")[1]
    colours = ScalarMappable(Normalize(-limit, limit), sns.color_palette("vlag", as_cmap=True))
    picture = squared(image)
    for place, name in enumerate(panels):
        _put(ax, place, picture.convert("L").convert("RGB") if place else picture)
        ax.text(
            place, FILLED + 0.03, fill(name, 26), ha="center", va="bottom", fontsize=10,
            parse_math=False,
        )  # fmt: skip
        if place:
            heat = colours.to_rgba(grids[name])
            # The strongest colour lets a little of the picture through.
            heat[..., 3] = 0.85 * np.abs(grids[name]) / limit
            _put(ax, place, heat, interpolation="nearest")
    ax.set(xlim=(-0.5, len(panels) - 0.5), ylim=(0, 1.25))
    ax.set_axis_off()
    ax.figure.colorbar(colours, ax=ax, label=label, shrink=0.8)
    return ax


def _put(ax: Axes, place: int, picture: ArrayLike | Image.Image, **look: str) -> None:
    """Draw a picture, or a map of it, in its place in a row."""
    ax.imshow(picture, extent=(place - FILLED / 2, place + FILLED / 2, 0, FILLED), **look)


def places_off(values: ArrayLike) -> np.ndarray:
    """Say how far each of ``(K,)`` values stands from its place in rising order.

    Above 0 it belongs further right; of several places for equal values the nearest counts.

    Example:
        >>> places_off([5, 1, 2, 2, 9])
        array([ 3, -1,  0, -1,  0])
    """
    values = np.asarray(values)
    rising, places = np.sort(values), np.arange(len(values))
    first = np.searchsorted(rising, values, "left")
    last = np.searchsorted(rising, values, "right") - 1
    return places.clip(first, last) - places


def correlation(values: ArrayLike, scores: ArrayLike) -> str:
    """Spearman's correlation in words for a title."""
    told = spearman(values, scores)
    return "undefined" if np.isnan(told) else f"{told:+.2f}"


def squared(image: Image.Image | np.ndarray) -> Image.Image:
    """The square in a picture's middle, which is what a CLIP sees, at most 224 pixels wide.

    Example:
        >>> squared(np.zeros((20, 30, 3), np.uint8)).size
        (20, 20)
    """
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    side = min(*picture.size, LARGEST)
    return ImageOps.fit(picture, (side, side), Image.Resampling.BICUBIC)

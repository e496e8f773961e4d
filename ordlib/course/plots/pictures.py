"""Pictures side by side."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from PIL import Image, ImageOps

# More pixels than these along a side no small picture in a figure can show.
LARGEST = 224


def contact_sheet(
    images: Sequence,
    titles: Sequence[str] | None = None,
    columns: int = 10,
    ax: Axes | None = None,
) -> Axes:
    """Tile pictures on one Axes, row by row, each with a short title.

    Args:
        images: ``(side, side, 3)`` uint8 arrays or square PIL pictures, all of one size.
        titles: one for each picture, drawn above it.
        columns: pictures in a row.
        ax: where to draw; None makes a figure that fits.

    Returns:
        The Axes.

    Raises:
        ValueError: no pictures, or another number of titles than pictures.

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


def squared(image: Image.Image | np.ndarray) -> Image.Image:
    """Return the square in a picture's middle, which is what a CLIP sees, at most 224 pixels wide.

    Example:
        >>> squared(np.zeros((20, 30, 3), np.uint8)).size
        (20, 20)
    """
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    side = min(*picture.size, LARGEST)
    return ImageOps.fit(picture, (side, side), Image.Resampling.BICUBIC)

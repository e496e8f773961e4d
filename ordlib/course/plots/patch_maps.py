"""Where on a picture numbers of its patches lie."""

from collections.abc import Mapping
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from numpy.typing import ArrayLike
from PIL import Image

from .pictures import squared

# Of the room that a panel has, the part that it fills; and letters in a line of its title.
FILLED, LETTERS = 0.94, 26
# The strongest colour lets a little of the picture through.
STRONGEST = 0.85
LABEL = "what the patch adds to the score"


def attention_maps(
    image: Image.Image | np.ndarray,
    maps: Mapping[str, ArrayLike],
    label: str = LABEL,
    ax: Axes | None = None,
) -> Axes:
    """Draw a picture, and beside it once more for each sentence, under the numbers of its patches.

    All maps share one scale, the same on both sides of 0: red is above, blue below, and where
    nothing is the grey picture shows.

    Args:
        image: any; what a CLIP sees of it, the square in its middle, is drawn.
        maps: ``(g, g)`` numbers by sentence, g patches along each side, the top row first.
        label: of the scale.
        ax: where to draw; None makes a figure.

    Returns:
        The Axes: the picture, then a grey picture and a map for each sentence.

    Raises:
        ValueError: no map, one that is not ``(g, g)``, or a number that is not finite.

    Example:
        >>> image = np.full((32, 32, 3), 200, np.uint8)
        >>> ax = attention_maps(image, {"the number of stars": np.eye(4)})
        >>> len(ax.images), [text.get_text() for text in ax.texts]
        (3, ['the picture', 'the number of stars'])
        >>> plt.close(ax.figure)
    """
    grids = {name: np.asarray(grid, dtype=np.float64) for name, grid in maps.items()}
    if not grids:
        raise ValueError("attention_maps needs at least one map")
    for name, grid in grids.items():
        if grid.ndim != 2 or grid.shape[0] != grid.shape[1]:
            raise ValueError(f"the map {name!r} has shape {grid.shape}: give (g, g)")
        if not np.isfinite(grid).all():
            raise ValueError(f"the map {name!r} has a number that is not finite")
    limit = max(np.abs(grid).max() for grid in grids.values()) or 1.0
    panels = len(grids) + 1
    ax = ax or plt.subplots(figsize=(2.6 * panels + 1.2, 3.2), layout="constrained")[1]
    colours = ScalarMappable(Normalize(-limit, limit), sns.color_palette("vlag", as_cmap=True))
    picture = squared(image)
    _panel(ax, 0, picture, "the picture")
    for place, (name, grid) in enumerate(grids.items(), 1):
        _panel(ax, place, picture.convert("L").convert("RGB"), name)
        heat = colours.to_rgba(grid)
        heat[..., 3] = STRONGEST * np.abs(grid) / limit
        ax.imshow(heat, extent=_extent(place), interpolation="nearest")
    ax.set(xlim=(-0.5, panels - 0.5), ylim=(0, 1.25))
    ax.set_axis_off()
    ax.figure.colorbar(colours, ax=ax, label=label, shrink=0.8)
    return ax


def _extent(place: int) -> tuple[float, float, float, float]:
    return (place - FILLED / 2, place + FILLED / 2, 0, FILLED)


def _panel(ax: Axes, place: int, picture: Image.Image, title: str) -> None:
    ax.imshow(picture, extent=_extent(place))
    ax.text(
        place, FILLED + 0.03, fill(title, LETTERS), ha="center", va="bottom", fontsize=10,
        parse_math=False,
    )  # fmt: skip

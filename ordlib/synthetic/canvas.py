"""Drawing utilities shared by all tasks: canvas size, gradients, smooth noise, downsampling."""

import numpy as np
from PIL import Image


def canvas_size(side: int) -> int:
    """Return the side of the canvas to draw on before scaling down to ``side`` pixels.

    Small pictures are drawn larger by more, so that thin lines stay clean.

    Args:
        side: pixels of the finished picture, 64 to 336.

    Returns:
        ``4 * side`` up to 80 pixels, ``3 * side`` up to 128, else ``2 * side``.

    Example:
        >>> canvas_size(64), canvas_size(96), canvas_size(224)
        (256, 288, 448)
    """
    return side * (4 if side <= 80 else 3 if side <= 128 else 2)


def gradient(size: int, start: tuple, end: tuple, angle: float) -> np.ndarray:
    """Return a linear blend of two colours.

    Args:
        size: side in pixels.
        start, end: RGB colours, 0 to 255.
        angle: direction of the blend in radians; 0 runs left to right.

    Returns:
        ``(size, size, 3)`` float32, 0 to 255.

    Example:
        >>> gradient(2, (0, 0, 0), (255, 255, 255), 0.0)[0, :, 0].tolist()
        [0.0, 255.0]
    """
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    along = np.cos(angle) * axis[None, :] + np.sin(angle) * axis[:, None]
    share = ((along - along.min()) / (along.max() - along.min()))[..., None]
    return (1 - share) * np.float32(start) + share * np.float32(end)


def soft_noise(rng: np.random.Generator, size: int, cells: int) -> np.ndarray:
    """Return a smooth random field, the same at every size for the same generator state.

    Args:
        rng: draws ``cells * cells`` numbers.
        size: side in pixels.
        cells: number of hills along a side, 2 or more.

    Returns:
        ``(size, size)`` float32, about -1 to 1.

    Example:
        >>> soft_noise(np.random.default_rng(0), 8, 3).shape
        (8, 8)
    """
    grid = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
    return np.asarray(Image.fromarray(grid).resize((size, size), Image.Resampling.BICUBIC))


def finish(image: Image.Image, side: int) -> np.ndarray:
    """Downsample a canvas to the final image.

    Args:
        image: any mode that converts to RGB, square.
        side: pixels wanted.

    Returns:
        ``(side, side, 3)`` uint8.

    Example:
        >>> finish(Image.new("RGB", (256, 256), "white"), 64).shape
        (64, 64, 3)
    """
    image = image.convert("RGB")
    if image.size != (side, side):
        image = image.resize(
            (side, side),
            Image.Resampling.BOX if image.width % side == 0 else Image.Resampling.LANCZOS,
        )
    return np.asarray(image).copy()

"""Image distortions of five kinds, each with a severity of 0 to 1.

All sizes are relative to the picture, so that the damage looks the same at every side, and the
curves are chosen so that equal severities of different kinds look about equally bad.
"""

import io

import numpy as np
from PIL import Image, ImageFilter

# Noise is drawn, and JPEG's 8 x 8 blocks are cut, on grids of these many pixels at every side.
GRAIN_SIDE = 128
JPEG_SIDE = 96
LUMA = np.float32([0.299, 0.587, 0.114])


def blur(picture: np.ndarray, severity: float) -> np.ndarray:
    """Defocus blur.

    Args:
        picture: ``(side, side, 3)`` float32, 0 to 255.
        severity: 0 (untouched) to 1 (a Gaussian of 3 % of the side).

    Returns:
        The blurred picture, same shape and range.

    Example:
        >>> edge = np.zeros((64, 64, 3), np.float32)
        >>> edge[:, 32:] = 255
        >>> bool(0 < blur(edge, 0.5)[0, 31, 0] < 255)
        True
    """
    radius = 0.030 * severity * len(picture)
    return np.float32(_image(picture).filter(ImageFilter.GaussianBlur(radius)))


def noise(picture: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Sensor noise: mostly luminance, some chrominance.

    Args:
        picture: ``(side, side, 3)`` float32, 0 to 255.
        severity: 0 (untouched) to 1 (a standard deviation of 85 grey levels at 128 pixels).
        rng: draws the same field at every side.

    Returns:
        The noisy picture, clipped to 0 to 255.

    Example:
        >>> grey = np.full((64, 64, 3), 128, np.float32)
        >>> bool(noise(grey, 0.5, np.random.default_rng(0)).std() > 5)
        True
    """
    field = rng.standard_normal((GRAIN_SIDE, GRAIN_SIDE, 4), dtype=np.float32)
    field = 0.85 * field[..., :1] + 0.55 * field[..., 1:]
    strength = 85 * severity**1.2
    return np.clip(picture + strength * _resized(field, len(picture)), 0, 255)


def compress(picture: np.ndarray, severity: float) -> np.ndarray:
    """JPEG compression.

    The file is made at 96 pixels; a larger picture gets its artefacts and loses detail beyond.

    Args:
        picture: ``(side, side, 3)`` float32, 0 to 255.
        severity: 0 (quality 95) to 1 (quality 3).

    Returns:
        The compressed picture, 0 to 255.

    Example:
        >>> slope = np.tile(np.linspace(0, 255, 96, dtype=np.float32)[None, :, None], (96, 1, 3))
        >>> bool(np.abs(compress(slope, 1.0) - slope).mean() > 3)
        True
    """
    side = len(picture)
    small = _image(picture).resize((JPEG_SIDE, JPEG_SIDE), Image.Resampling.BOX)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=round(3 + 92 * (1 - severity) ** 3), subsampling=2)
    blocky, small = (
        np.float32(image.resize((side, side), Image.Resampling.BILINEAR))
        for image in (Image.open(file), small)
    )
    return np.clip(blocky + (1 - severity) * (picture - small), 0, 255)


def expose(picture: np.ndarray, severity: float) -> np.ndarray:
    """Under- or overexposure.

    Args:
        picture: ``(side, side, 3)`` float32, 0 to 255.
        severity: -1 (5 stops too dark) over 0 (untouched) to 1 (4 stops too bright, clipped).

    Returns:
        The picture, 0 to 255.

    Example:
        >>> grey = np.full((64, 64, 3), 100, np.float32)
        >>> bool(expose(grey, -0.5).mean() < 100 < expose(grey, 0.5).mean())
        True
    """
    stops = (4 if severity > 0 else 5) * severity
    return np.minimum(picture * 2 ** np.float32(stops / 2.2), 255)


def fade(picture: np.ndarray, severity: float) -> np.ndarray:
    """Fading: lower contrast and saturation.

    Args:
        picture: ``(side, side, 3)`` float32, 0 to 255.
        severity: 0 (untouched) to 1 (a sixth of the contrast left, grey).

    Returns:
        The picture, 0 to 255.

    Example:
        >>> stripes = np.zeros((64, 64, 3), np.float32)
        >>> stripes[::2] = 255
        >>> bool(fade(stripes, 0.5).std() < stripes.std())
        True
    """
    grey = (picture @ LUMA)[..., None]
    muted = grey + (1 - severity) * (picture - grey)
    haze = grey.mean() + 0.5 * severity * (205 - grey.mean())
    return np.clip(haze + (1 - 0.84 * severity) * (muted - grey.mean()), 0, 255)


def _image(picture: np.ndarray) -> Image.Image:
    return Image.fromarray((picture + 0.5).clip(0, 255).astype(np.uint8))


def _resized(field: np.ndarray, side: int) -> np.ndarray:
    planes = (Image.fromarray(np.ascontiguousarray(field[..., c])) for c in range(3))
    return np.stack([plane.resize((side, side), Image.Resampling.BILINEAR) for plane in planes], -1)

"""The look of five decades of colour film: lens, dyes, ageing, grain, wear.

Every quantity comes from a distribution that depends on the decade and overlaps widely with its
neighbours': a single one says little, all together say about when the picture was taken. The
typical values are this project's own sketch of how such prints survive, not measurements.
"""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .canvas import soft_noise

# Typical value in the 1930s ... 1970s, spread of single pictures, least and greatest value.
ERAS = {
    "saturation": ((0.42, 0.56, 0.80, 0.92, 0.74), 0.20, 0.0, 1.3),
    "warmth": ((0.26, 0.10, 0.20, 0.00, 0.36), 0.20, -0.5, 0.9),
    "magenta": ((-0.04, -0.12, 0.08, 0.20, 0.14), 0.14, -0.5, 0.6),
    "contrast": ((0.86, 0.96, 1.14, 1.08, 0.90), 0.13, 0.6, 1.5),
    "exposure": ((0.00, -0.03, -0.02, 0.02, 0.03), 0.09, -0.25, 0.25),
    "fading": ((0.15, 0.12, 0.06, 0.08, 0.16), 0.055, 0.0, 0.32),
    "yellowing": ((0.50, 0.42, 0.30, 0.22, 0.28), 0.20, 0.0, 1.0),
    "grain": ((0.042, 0.035, 0.026, 0.022, 0.030), 0.011, 0.005, 0.08),
    "softness": ((0.0062, 0.0052, 0.0036, 0.0028, 0.0040), 0.0015, 0.0008, 0.011),
    "halation": ((0.26, 0.24, 0.22, 0.16, 0.26), 0.09, 0.0, 0.5),
    "vignette": ((0.40, 0.34, 0.26, 0.18, 0.24), 0.13, 0.0, 0.75),
    "wear": ((0.42, 0.36, 0.26, 0.18, 0.14), 0.20, 0.0, 1.0),
    "leak": ((0.00, 0.02, 0.05, 0.12, 0.16), 0.22, 0.0, 0.7),
}
# Share of pictures taken on black-and-white film.
MONOCHROME = (0.24, 0.17, 0.10, 0.06, 0.03)
GRAIN_SIDE, DYE_SIDE = 160, 64
LUMA = np.float32([0.299, 0.587, 0.114])


def draw_look(rng: np.random.Generator, decade: int) -> dict[str, float]:
    """Sample the film parameters of a decade.

    Args:
        rng: draws the same number of values whatever the decade.
        decade: 0 (1930s) to 4 (1970s).

    Returns:
        A value for each quantity of ``ERAS``.

    Example:
        >>> look = draw_look(np.random.default_rng(0), decade=4)
        >>> look["grain"] >= 0.01, list(look) == list(ERAS)
        (True, True)
    """
    errors, monochrome = rng.standard_normal(len(ERAS)), rng.random() < MONOCHROME[decade]
    look = {
        name: float(np.clip(typical[decade] + spread * error, low, high))
        for (name, (typical, spread, low, high)), error in zip(ERAS.items(), errors, strict=True)
    }
    if monochrome:
        look["saturation"] *= 0.08
    return look


def develop(picture: np.ndarray, look: dict[str, float], rng: np.random.Generator) -> np.ndarray:
    """Apply film and ageing effects to a scene.

    Args:
        picture: ``(side, side, 3)`` float32, 0 to 1.
        look: what :func:`draw_look` returned.
        rng: draws grain, stains, scratches; the same ones at every side.

    Returns:
        The print, same shape and range.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> develop(np.full((64, 64, 3), 0.5, np.float32), draw_look(rng, 2), rng).shape
        (64, 64, 3)
    """
    grain_rng, wear_rng, leak_rng = rng.spawn(3)
    picture = _lens(picture, look)
    picture = _dyes(picture, look)
    picture = _grain(picture, look["grain"], grain_rng)
    picture = _leak(picture, look["leak"], leak_rng)
    picture = _wear(picture, look["wear"], wear_rng)
    return np.clip(_paper(picture, look), 0, 1)


def _lens(picture: np.ndarray, look: dict[str, float]) -> np.ndarray:
    """Soften, darken the corners, and let the highlights glow."""
    side = len(picture)
    image = _image(picture).filter(ImageFilter.GaussianBlur(look["softness"] * side))
    bright = np.float32(image.resize((48, 48), Image.Resampling.BOX))
    bright = Image.fromarray((2 * np.maximum(bright - 165, 0)).astype(np.uint8))
    glow = bright.filter(ImageFilter.GaussianBlur(2.5)).resize(image.size, Image.Resampling.BICUBIC)
    picture = np.float32(image) / 255
    picture += look["halation"] * np.float32(glow) / 255 * np.float32([0.75, 0.42, 0.25])
    return picture * (1 - look["vignette"] * _distance(side)) * 2 ** np.float32(look["exposure"])


def _dyes(picture: np.ndarray, look: dict[str, float]) -> np.ndarray:
    """Render the colours: saturation, contrast, and a cast in the middle tones."""
    grey = (picture @ LUMA)[..., None]
    picture = grey + look["saturation"] * (picture - grey)
    picture = np.clip(0.46 + look["contrast"] * (picture - 0.46), 0.001, 1)
    # A gentle shoulder and toe, as a film's characteristic curve has.
    picture += 0.35 * (picture * picture * (3 - 2 * picture) - picture)
    warm, rosy = look["warmth"], look["magenta"]
    gamma = np.exp(np.float32([-0.34 * warm - 0.16 * rosy, 0.30 * rosy, 0.55 * warm - 0.16 * rosy]))
    return picture**gamma


def _paper(picture: np.ndarray, look: dict[str, float]) -> np.ndarray:
    """Lift the blacks and yellow the whites, each in its own tint."""
    warm, rosy, yellow = look["warmth"], look["magenta"], look["yellowing"]
    tint = np.float32([1 + 0.5 * warm + 0.3 * rosy, 0.86 - 0.5 * rosy, 0.9 - warm])
    black = look["fading"] * tint
    white = 1 - np.float32([0.03, 0.06, 0.22]) * yellow - 0.25 * look["fading"]
    return black + (white - black) * picture


def _grain(picture: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Add clumps of silver and dye, strongest in the middle tones."""
    side = len(picture)
    fine = rng.standard_normal((GRAIN_SIDE, GRAIN_SIDE), dtype=np.float32)
    dye = rng.standard_normal((3, DYE_SIDE, DYE_SIDE), dtype=np.float32)
    field = 1.5 * _resized(fine, side)[..., None]
    field = field + 0.55 * np.stack([_resized(plane, side) for plane in dye], -1)
    grey = np.clip(picture @ LUMA, 0, 1)[..., None]
    return picture + strength * (0.45 + 2.2 * grey * (1 - grey)) * field


def _leak(picture: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Let light in at an edge of the camera's back."""
    angle, reach, hue = rng.uniform(size=3)
    if strength <= 0:
        return picture
    side = len(picture)
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    along = np.cos(2 * np.pi * angle) * axis + (np.sin(2 * np.pi * angle) * axis)[:, None]
    shape = along + 0.25 * soft_noise(rng, side, 4) - 1.0
    light = strength * np.exp(np.minimum(shape / (0.15 + 0.35 * reach), 0))[..., None]
    return picture + light * np.float32([1.0, 0.30 + 0.35 * hue, 0.12])


def _wear(picture: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Scratch, dust and stain the print."""
    side = len(picture)
    stains = soft_noise(rng, side, 5) + 0.6 * soft_noise(rng, side, 14)
    picture = picture * (1 - 0.10 * strength * stains[..., None])
    scale = max(2, 384 // side)
    mask = Image.new("L", (scale * side, scale * side))
    pen = ImageDraw.Draw(mask)
    size, width = scale * side, max(1, round(0.003 * scale * side))
    for x, y, turn, length in rng.uniform(size=(rng.poisson(3 * strength), 4)):
        dx, dy = 0.05 * (turn - 0.5) * size, (0.1 + 0.8 * length**2) * size
        pen.line((x * size, (y - 0.3) * size, x * size + dx, (y - 0.3) * size + dy), 150, width)
    for x, y, radius in rng.uniform(size=(rng.poisson(9 * strength), 3)):
        radius = (0.002 + 0.004 * radius) * size
        box = (x * size - radius, y * size - radius, x * size + radius, y * size + radius)
        pen.ellipse(box, fill=190)
    mask = np.float32(mask.reduce(scale))[..., None] / 255
    return picture + mask * (np.float32([1, 0.98, 0.92]) - picture)


@lru_cache(maxsize=8)
def _distance(side: int) -> np.ndarray:
    """Return the squared distance from the centre, 1 in the corners, ``(side, side, 1)``."""
    axis = np.linspace(-1, 1, side, dtype=np.float32) ** 2
    return (((axis[:, None] + axis) / 2) ** 1.4)[..., None]


def _image(picture: np.ndarray) -> Image.Image:
    return Image.fromarray((255 * np.clip(picture, 0, 1) + 0.5).astype(np.uint8))


def _resized(plane: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(plane).resize((side, side), Image.Resampling.BICUBIC))

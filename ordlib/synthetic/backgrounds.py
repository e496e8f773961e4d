"""Backgrounds of counting images: papers, gradients, cloth, wood, and softened photographs."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageFilter
from skimage.color import rgb2lab

from . import photos
from .canvas import gradient, soft_noise
from .vocabulary import COLOURS

GROUNDS = {
    "cream": (248, 240, 222),
    "sand": (228, 206, 170),
    "peach": (251, 216, 192),
    "rose": (246, 206, 212),
    "pale yellow": (251, 240, 186),
    "mint": (200, 232, 214),
    "light blue": (188, 218, 241),
    "lavender": (214, 206, 240),
    "silver": (208, 212, 217),
    "sage": (166, 190, 164),
    "slate": (112, 128, 146),
    "clay": (186, 112, 84),
    "teal": (22, 108, 114),
    "dark green": (26, 70, 54),
    "navy": (26, 38, 84),
    "plum": (74, 38, 88),
    "maroon": (98, 26, 42),
    "charcoal": (54, 58, 66),
}
LIGHTER = 31.0  # least difference in Lab lightness between an object's colour and its ground
PHOTO = 128  # photographs are cut at this size, so that washing does not depend on the side


@dataclass(frozen=True)
class Background:
    """A background image and its description.

    Attributes:
        field: ``(side, side, 3)`` float32, 0 to 255.
        kind: "plain", "gradient", "paper", "watercolour", "linen", "wood", "stripes", "photo".
        colour: the ground's colour word, "" for a photograph.
        scene: what the photograph shows, "" for the others.
        ground: RGB colour that sets the objects off, for halos.
    """

    field: np.ndarray
    kind: str
    colour: str
    scene: str
    ground: tuple[int, int, int]


def draw_background(rng: np.random.Generator, colours: list[str], side: int) -> Background:
    """Paint a background that contrasts with objects of the given colours.

    Args:
        rng: draws everything; the painted field is the same at every side.
        colours: names out of ``vocabulary.COLOURS``.
        side: pixels.

    Returns:
        The background.

    Example:
        >>> draw_background(np.random.default_rng(1), ["red"], 64).field.shape
        (64, 64, 3)
    """
    kind = str(rng.choice(list(_PAINTERS), p=_SHARES))
    grounds = fitting_grounds(tuple(colours))
    name = grounds[0] if kind == "photo" else grounds[rng.integers(len(grounds))]
    own, noise = rng.spawn(2)
    ground = GROUNDS[name]
    if kind == "photo":
        scene, field = _photo(own, ground, colours, side)
        return Background(field, kind, "", scene, ground)
    field = _PAINTERS[kind](own, noise, np.float32(ground), side)
    return Background(field, kind, name, "", ground)


@cache
def fitting_grounds(colours: tuple[str, ...]) -> tuple[str, ...]:
    """Return the grounds that every one of the colours stands out from.

    Args:
        colours: names out of ``vocabulary.COLOURS``.

    Returns:
        Names out of ``GROUNDS``, the best one first; none where the colours leave no room.

    Example:
        >>> "navy" in fitting_grounds(("white",)), "cream" in fitting_grounds(("white",))
        (True, False)
    """
    gaps = {name: _gap(_lightness(ground), colours) for name, ground in GROUNDS.items()}
    far = [name for name in gaps if gaps[name] >= LIGHTER]
    return tuple(sorted(far, key=lambda name: -gaps[name]))


def _gap(lightness: np.ndarray, colours: list[str] | tuple[str, ...]) -> float:
    """Return the least difference between any of the lightnesses and any colour's."""
    return min(float(np.abs(lightness - _shades()[colour]).min()) for colour in colours)


def _lightness(colour: np.ndarray | tuple) -> np.ndarray:
    """Return Lab lightness, 0 to 100. What differs in hue alone is hard to see when small."""
    return rgb2lab(np.asarray(colour) / 255.0)[..., 0]


@cache
def _shades() -> dict[str, float]:
    return {name: float(_lightness(rgb)) for name, rgb in COLOURS.items()}


def _plain(own: np.random.Generator, noise: np.random.Generator, ground: np.ndarray, side: int):
    field = np.tile(ground, (side, side, 1))
    return field + _vignette(own, side)


def _gradient(own: np.random.Generator, noise: np.random.Generator, ground: np.ndarray, side: int):
    # Towards a lighter or darker neighbour, with a slight turn of the hue.
    light = ground.mean() > 128
    end = ground * own.uniform(0.86, 1.0, 3) if light else ground + own.uniform(0, 42, 3)
    return gradient(side, ground, np.clip(end, 0, 255), own.uniform(0, 2 * np.pi))


def _paper(own: np.random.Generator, noise: np.random.Generator, ground: np.ndarray, side: int):
    fibres = _grain(noise, side, 0.25)
    stains = soft_noise(noise, side, 5)
    return ground + (fibres * 5 + stains * 4)[..., None] + _vignette(own, side)


def _watercolour(
    own: np.random.Generator, noise: np.random.Generator, ground: np.ndarray, side: int
):
    field = np.tile(ground, (side, side, 1))
    for cells, strength in ((4, 14), (8, 8), (20, 4)):
        tint = own.normal(0, 0.5, 3) + 0.6
        field = field + soft_noise(noise, side, cells)[..., None] * np.float32(tint * strength)
    return field


def _linen(own: np.random.Generator, noise: np.random.Generator, ground: np.ndarray, side: int):
    across, along = _grain(noise, side, 3.0), _grain(noise, side, 3.0).T
    return ground + ((across + along) * 4)[..., None] + _vignette(own, side)


def _wood(own: np.random.Generator, noise: np.random.Generator, ground: np.ndarray, side: int):
    # Boards with a grain of their own, a dark seam between neighbours.
    boards = own.uniform(2.5, 4.5)
    axis = (np.arange(side, dtype=np.float32) + 0.5) / side * boards + own.uniform()
    bend = soft_noise(noise, side, 4) * 0.12
    shift = 7.3 * np.floor(axis)[:, None]
    lines = np.sin(2 * np.pi * (2.2 * (axis[:, None] % 1) + bend + shift))
    tone = np.sin(5.1 * shift)
    seam = np.exp(-((np.abs(axis % 1 - 0.5) - 0.5) ** 2) / 0.0006)[:, None]
    shade = lines * 4 + tone * 4 + _grain(noise, side, 6.0) * 3 - seam * 16
    return ground * (1 + shade[..., None] * np.float32([0.007, 0.008, 0.010]))


def _stripes(own: np.random.Generator, noise: np.random.Generator, ground: np.ndarray, side: int):
    axis = np.linspace(0, 1, side, dtype=np.float32)
    angle = own.choice([0.0, np.pi / 2, np.pi / 4])
    along = np.cos(angle) * axis[None, :] + np.sin(angle) * axis[:, None]
    wave = np.clip(3 * np.sin(2 * np.pi * along * own.integers(8, 15)), -1, 1)
    return ground + (wave * 5)[..., None]


def _photo(own: np.random.Generator, ground: tuple, colours: list[str], side: int):
    """Cut a photograph and wash it with the ground until the colours stand out everywhere."""
    # Coins behind the objects would want to be counted, too.
    scenes = [scene for scene in photos.scenes("train") if scene.name != "coins"]
    scene = scenes[own.integers(len(scenes))]
    cut = photos.crop(own, scene.name, PHOTO)
    blurred = cut.filter(ImageFilter.GaussianBlur(own.uniform(0.6, 2.2)))
    small = np.asarray(blurred.reduce(8), dtype=np.float32)
    for wash in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8):
        shown = small * (1 - wash) + np.float32(ground) * wash
        if _gap(_lightness(shown), colours) >= LIGHTER - 5:
            break
    wide = blurred.resize((side, side), Image.Resampling.BICUBIC)
    field = np.asarray(wide, dtype=np.float32) * (1 - wash) + np.float32(ground) * wash
    return scene.words, field


def _vignette(own: np.random.Generator, side: int) -> np.ndarray:
    """Darken the corners a little, around a bright spot that is not quite the middle."""
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    x, y = own.uniform(-0.5, 0.5, 2)
    return (-own.uniform(4, 14) * ((axis - x) ** 2 + (axis - y)[:, None] ** 2))[..., None]


def _grain(noise: np.random.Generator, side: int, stretch: float) -> np.ndarray:
    """Return fine grain of unit spread, drawn on a fixed grid and stretched along the rows."""
    grid = noise.normal(0, 1, (160, int(40 / stretch))).astype(np.float32)
    image = Image.fromarray(grid).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(image)


_PAINTERS: dict[str, Callable | None] = {
    "plain": _plain,
    "gradient": _gradient,
    "paper": _paper,
    "watercolour": _watercolour,
    "linen": _linen,
    "wood": _wood,
    "stripes": _stripes,
    "photo": None,
}
_SHARES = (0.1, 0.2, 0.12, 0.14, 0.08, 0.08, 0.06, 0.22)

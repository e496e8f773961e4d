"""Glyphs of DejaVu Sans as masks that can be stamped at any size and tilt."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont
from scipy import ndimage

from .vocabulary import Noun

FONT = 380  # pixels at which glyphs are taken from the font
TILE = 256  # pixels of the largest mask; each next one has half
FILL = 0.94  # share of the tile's side that the glyph's enclosing circle spans
THINNEST = 0.055  # thinnest mean stroke, as a share of the glyph's size
SPECK = 0.02  # loose parts smaller than this share of the glyph are left out


@dataclass(frozen=True)
class Glyph:
    """A glyph inside its enclosing circle.

    Attributes:
        tiles: RGB masks of falling size: red is the ink, green and blue the whole silhouette.
        fullness: share of the enclosing circle that the silhouette covers, 0 to 1.
    """

    tiles: tuple[Image.Image, ...]
    fullness: float


@cache
def glyph(noun: Noun) -> Glyph:
    """Return the masks of a noun's glyph, made once per process.

    Args:
        noun: one of ``vocabulary.OBJECTS``.

    Returns:
        Its masks, centred in their enclosing circle.

    Example:
        >>> from ordlib.synthetic.vocabulary import OBJECTS
        >>> [tile.width for tile in glyph(OBJECTS[0]).tiles]
        [256, 128, 64, 32]
    """
    ink = _thick_enough(_without_specks(_letter(noun.character)))
    body = ink if noun.holes == "open" else _filled(ink)
    if noun.holes == "solid":
        ink = body
    (x, y), radius = _enclosing_circle(body)
    half = radius / FILL
    box = tuple(float(edge) for edge in (x - half, y - half, x + half, y + half))
    channels = [_cut(mask, box) for mask in (ink, body, body)]
    tile = Image.merge("RGB", channels)
    tiles = tuple(tile.reduce(2**level) if level else tile for level in range(4))
    return Glyph(tiles, float(body.sum() / (np.pi * radius**2)))


def stamp(
    canvas: Image.Image, noun: Noun, centre: np.ndarray, diameter: float, tilt: float, tone: float
) -> None:
    """Add one object to a square canvas of masks, in place.

    Args:
        canvas: RGB masks; red gathers ink, green silhouettes, blue silhouettes times ``tone``.
        noun: what to stamp.
        centre: (x, y) as shares of the canvas.
        diameter: of the enclosing circle, as a share of the canvas.
        tilt: in radians, clockwise.
        tone: 0 to 1, the object's own lightness.

    Example:
        >>> from ordlib.synthetic.vocabulary import OBJECTS
        >>> canvas = Image.new("RGB", (64, 64))
        >>> stamp(canvas, OBJECTS[0], np.array([0.5, 0.5]), 0.6, 0.1, 0.5)
        >>> canvas.getbbox() is not None
        True
    """
    centre, diameter = centre * canvas.width, diameter * canvas.width
    tiles = glyph(noun).tiles
    # The smallest mask that is not enlarged: reading a larger one would skip pixels.
    tile = next((t for t in reversed(tiles) if t.width * FILL >= diameter), tiles[0])
    left, top = (int(np.floor(c - diameter / 2)) - 1 for c in centre)
    size = int(np.ceil(diameter)) + 3
    scale = tile.width * FILL / diameter
    cos, sin = np.cos(tilt) * scale, np.sin(tilt) * scale
    x, y = left - centre[0], top - centre[1]
    middle = tile.width / 2
    matrix = (cos, -sin, cos * x - sin * y + middle, sin, cos, sin * x + cos * y + middle)
    patch = tile.transform(
        (size, size), Image.Transform.AFFINE, matrix, resample=Image.Resampling.BILINEAR
    )
    patch = ImageChops.multiply(patch, Image.new("RGB", patch.size, (255, 255, int(255 * tone))))
    box = (left, top, left + size, top + size)
    canvas.paste(ImageChops.lighter(canvas.crop(box), patch), box)


def _letter(character: str) -> np.ndarray:
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    image = Image.new("L", (3 * FONT, 3 * FONT))
    font = ImageFont.truetype(str(path), FONT)
    ImageDraw.Draw(image).text((FONT, FONT), character, fill=255, font=font)
    left, top, right, bottom = image.getbbox()
    room = FONT // 20  # for the fattening
    image = image.crop((left - room, top - room, right + room, bottom + room))
    return np.asarray(image) > 127


def _without_specks(ink: np.ndarray) -> np.ndarray:
    """Leave out loose dots too small to see, such as the flakes around the snowman."""
    parts, _ = ndimage.label(_filled(ink))
    areas = np.bincount(parts.ravel())
    areas[0] = 0
    return ink & (areas > SPECK * areas.sum())[parts]


def _thick_enough(ink: np.ndarray) -> np.ndarray:
    """Fatten thin line drawings, so that they can be seen when small."""
    rows, columns = np.nonzero(ink)
    size = max(np.ptp(rows), np.ptp(columns))
    for _ in range(6):
        if 2 * np.count_nonzero(ink) / np.count_nonzero(_outline(ink)) > THINNEST * size:
            break
        image = Image.fromarray(ink.astype(np.uint8) * 255)
        ink = np.asarray(image.filter(ImageFilter.MaxFilter(3))) > 0
    return ink


def _filled(ink: np.ndarray) -> np.ndarray:
    """Fill the holes: all that is not joined to the outside."""
    outside, _ = ndimage.label(~ink)
    return outside != outside[0, 0]


def _outline(mask: np.ndarray) -> np.ndarray:
    """Mark the pixels of a mask, empty at its border, that have a neighbour outside."""
    inner = mask[1:-1, 1:-1].copy()
    for neighbour in (mask[:-2, 1:-1], mask[2:, 1:-1], mask[1:-1, :-2], mask[1:-1, 2:]):
        inner &= neighbour
    return mask & ~np.pad(inner, 1)


def _enclosing_circle(mask: np.ndarray) -> tuple[np.ndarray, float]:
    """Find the smallest circle around a mask (Badoiu and Clarkson's walk to the farthest point)."""
    outline = np.argwhere(_outline(mask))[:, ::-1] + 0.5
    centre = (outline.min(0) + outline.max(0)) / 2
    for step in range(1, 100):
        farthest = outline[np.argmax(((outline - centre) ** 2).sum(1))]
        centre = centre + (farthest - centre) / (step + 2)
    return centre, float(np.sqrt(((outline - centre) ** 2).sum(1).max())) + 1


def _cut(mask: np.ndarray, box: tuple) -> Image.Image:
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    cut = image.transform(
        (2 * TILE, 2 * TILE), Image.Transform.EXTENT, box, Image.Resampling.BILINEAR
    )
    return cut.reduce(2)

"""The counting task: one to twenty objects of one kind, with distractors in the harder split."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from .backgrounds import Background, draw_background, fitting_grounds
from .glyphs import glyph, stamp
from .layouts import LAYOUTS, place
from .sample import Sample
from .vocabulary import COLOURS, OBJECTS, Noun

MOST = 20
MOST_DISTRACTORS = 5
SMALLEST, LARGEST = 0.12, 0.62  # diameters of the enclosing circle, as shares of the side
PACKING = 0.56  # share of the square that enclosing circles may cover
SUPERSAMPLING = 2  # the masks are smooth already


@dataclass(frozen=True)
class Group:
    """Objects of one kind and colour."""

    noun: Noun
    colour: str
    count: int


def draw(rng: np.random.Generator, split: str, side: int) -> Sample:
    """Draw one sample of the counting task.

    The typical scale falls as count^-1/4, since the largest size that fits falls as
    count^-1/2 and the smallest one that can be seen does not fall at all.

    Args:
        rng: the picture's own generator.
        split: "distractors" adds a few objects of another kind; all others are alike.
        side: pixels.

    Returns:
        The picture; its value is the number of objects, 1 to 20.

    Example:
        >>> picture = draw(np.random.default_rng(0), "train", 64)
        >>> picture.image.shape, picture.value
        ((64, 64, 3), 18.0)
    """
    groups = _groups(rng, split)
    nouns = [group.noun for group in groups for _ in range(group.count)]
    layout = str(rng.choice(list(LAYOUTS)))
    spread, variation = float(rng.uniform(0.5, 1)), float(rng.uniform(0, 0.22))
    centres, diameters = place(rng, layout, _diameters(rng, nouns, variation), spread)
    tilts = rng.uniform(-1, 1, len(nouns)) * np.deg2rad(rng.uniform(0, 32))
    tones, light = rng.uniform(0.45, 1, len(nouns)), rng.uniform(-0.8, 0.8)
    background = draw_background(rng, [group.colour for group in groups], side)

    canvases = [Image.new("RGB", (side * SUPERSAMPLING,) * 2) for _ in groups]
    owners = [
        canvas for canvas, group in zip(canvases, groups, strict=True) for _ in range(group.count)
    ]
    for canvas, noun, *looks in zip(owners, nouns, centres, diameters, tilts, tones, strict=True):
        stamp(canvas, noun, *looks)
    masks = [canvas.reduce(SUPERSAMPLING) for canvas in canvases]
    field = background.field
    for mask, group in zip(masks, groups, strict=True):
        field = _paint(field, mask, COLOURS[group.colour], background, light)
    image = np.clip(field + 0.5, 0, 255).astype(np.uint8)
    own = slice(0, groups[0].count)
    record = _words(groups, background, layout) | {
        "glyph_scale": float(diameters[own].mean()),
        "scale_variation": variation,
        "spread": spread,
        "tilt": float(np.abs(tilts[own]).mean()),
        "ink": sum(float(np.asarray(mask)[..., 1].mean()) / 255 for mask in masks),
        "brightness": float(image.mean()) / 255,
        "contrast": float(image.mean(-1).std()) / 255,
    }
    return Sample(image, float(groups[0].count), record)


def _groups(rng: np.random.Generator, split: str) -> list[Group]:
    """Draw what is counted, and second what is not."""
    count = int(rng.integers(1, MOST + 1))
    noun, other = (OBJECTS[i] for i in rng.choice(len(OBJECTS), 2, replace=False))
    colour, second = (str(name) for name in rng.choice(list(COLOURS), 2, replace=False))
    others = int(rng.integers(1, MOST_DISTRACTORS + 1))
    if rng.uniform() < 0.2 or not fitting_grounds((colour, second)):
        second = colour
    own = Group(noun, colour, count)
    return [own, Group(other, second, others)] if split == "distractors" else [own]


def _words(groups: list[Group], background: Background, layout: str) -> dict[str, str | float]:
    record = {
        "object": groups[0].noun.singular,
        "plural": groups[0].noun.plural,
        "colour": groups[0].colour,
        "background": background.kind,
        "background_colour": background.colour,
        "background_scene": background.scene,
        "layout": layout,
    }
    for group in groups[1:]:
        record |= {
            "distractor": group.noun.singular,
            "distractor_plural": group.noun.plural,
            "distractor_colour": group.colour,
            "distractor_count": group.count,
        }
    return record


def _diameters(rng: np.random.Generator, nouns: list[Noun], variation: float) -> np.ndarray:
    """Sample one size per image, from just visible to just fitting, and vary it."""
    largest = min(LARGEST, np.sqrt(4 / np.pi * PACKING / len(nouns)))
    # Thin glyphs fill less of their circle: the smallest of them are a little larger.
    fullness = np.array([glyph(noun).fullness for noun in nouns])
    smallest = np.minimum(SMALLEST * np.sqrt(np.clip(0.5 / fullness, 1, 1.7)), 0.9 * largest)
    sizes = smallest * (largest / smallest) ** rng.uniform()
    sizes = sizes * np.exp(variation * rng.normal(size=len(nouns)).clip(-2, 2))
    return np.clip(sizes, smallest, largest * 1.15)


def _paint(
    field: np.ndarray,
    masks: Image.Image,
    colour: tuple[int, int, int],
    background: Background,
    light: float,
) -> np.ndarray:
    """Lay a halo, shadows and the objects themselves over a background."""
    side = masks.width
    body = masks.getchannel("G")
    ink, cover, tone = np.moveaxis(np.asarray(masks, dtype=np.float32) / 255, -1, 0)[..., None]
    if background.kind == "photo":
        halo = np.minimum(_soft(body, side * 0.03) * 1.6, 1) * 0.7
        field = field * (1 - halo) + np.float32(background.ground) * halo
    shadow = ImageChops.offset(body, round(side * 0.012 * light), round(side * 0.015))
    field = field * (1 - 0.42 * _soft(shadow, side * 0.013))
    ink, tone = (
        np.divide(mask, cover, out=np.ones_like(cover), where=cover > 0) for mask in (ink, tone)
    )
    # Each object has its own tone: a little lighter or darker than its neighbours.
    lift = (tone - 0.75) * 0.32
    own = np.float32(colour)
    own = own + lift * np.where(lift > 0, 255 - own, own)
    surface = ink * own + (1 - ink) * np.float32(inside(colour))
    return field * (1 - cover) + surface * cover


def inside(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return what shows through a glyph's holes: paper, or for pale colours a dark ground.

    Args:
        colour: the object's RGB colour.

    Returns:
        An RGB colour that the glyph's lines stand out from.

    Example:
        >>> inside((214, 40, 44)), inside((250, 250, 247))
        ((252, 249, 242), (58, 62, 72))
    """
    pale = np.dot(colour, (0.3, 0.6, 0.1)) > 190
    return (58, 62, 72) if pale else (252, 249, 242)


def _soft(mask: Image.Image, radius: float) -> np.ndarray:
    blurred = mask.filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(blurred, dtype=np.float32)[..., None] / 255

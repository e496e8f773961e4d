"""Borders of prints: none, white, a deckled edge, rounded corners."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

KINDS = ("no border", "white border", "deckled edge", "rounded corners")
# Share of each kind in the 1930s ... 1970s.
SHARES = (
    (0.34, 0.38, 0.22, 0.06),
    (0.28, 0.32, 0.34, 0.06),
    (0.26, 0.36, 0.31, 0.07),
    (0.28, 0.46, 0.12, 0.14),
    (0.32, 0.30, 0.06, 0.32),
)
ALBUMS = ((38, 32, 30), (74, 62, 52), (112, 104, 96), (30, 36, 44), (196, 184, 160))
# Teeth along one side of a deckled print.
TEETH = 34


@dataclass(frozen=True)
class Frame:
    """Border and mount of a print.

    Attributes:
        kind: one of ``KINDS``.
        width: of the white border, as a share of the side.
        margin: of album page around the print, as a share of the side.
        album: RGB colour of that page.
        teeth: ``(4, TEETH)`` depths of a deckled edge, 0 to 1.
    """

    kind: str
    width: float
    margin: float
    album: tuple[int, int, int]
    teeth: np.ndarray


def draw_frame(rng: np.random.Generator, decade: int) -> Frame:
    """Sample the border of a print of a decade.

    Args:
        rng: draws the same number of values whatever the decade.
        decade: 0 (1930s) to 4 (1970s).

    Returns:
        The frame.

    Example:
        >>> draw_frame(np.random.default_rng(0), decade=4).kind in KINDS
        True
    """
    kind = KINDS[int(np.searchsorted(np.cumsum(SHARES[decade]), rng.random()))]
    width, margin = rng.uniform(0.03, 0.075), rng.uniform(0.012, 0.035)
    album, teeth = ALBUMS[rng.integers(len(ALBUMS))], rng.uniform(size=(4, TEETH))
    if kind == "no border":
        width, margin = 0.0, 0.0
    elif kind == "rounded corners":
        width = width if rng.random() < 0.5 else 0.0
    return Frame(kind, float(width), float(margin), album, teeth)


def mount(picture: np.ndarray, frame: Frame, yellowing: float) -> np.ndarray:
    """Mount a print with its border on an album page.

    Args:
        picture: ``(side, side, 3)`` float32, 0 to 1.
        frame: what :func:`draw_frame` returned.
        yellowing: of the paper, 0 to 1.

    Returns:
        The mounted print, same shape and range.

    Example:
        >>> frame = draw_frame(np.random.default_rng(1), decade=1)
        >>> mount(np.zeros((64, 64, 3), np.float32), frame, 0.5).shape
        (64, 64, 3)
    """
    if frame.kind == "no border":
        return picture
    side = len(picture)
    paper = 0.96 - np.float32([0.02, 0.05, 0.17]) * yellowing
    inner, outer = _masks(frame, side)
    page = np.float32(frame.album) / 255
    print_ = paper + inner * (picture - paper)
    return page + outer * (print_ - page)


def _masks(frame: Frame, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks of the image and of the paper, ``(side, side, 1)`` each, 0 to 1."""
    size = 3 * side
    inset, edge = (frame.margin + frame.width) * size, frame.margin * size
    inner, outer = Image.new("L", (size, size)), Image.new("L", (size, size))
    rounded = frame.kind == "rounded corners"
    box = (inset, inset, size - 1 - inset, size - 1 - inset)
    ImageDraw.Draw(inner).rounded_rectangle(box, 0.05 * size * rounded, fill=255)
    if frame.kind == "deckled edge":
        ImageDraw.Draw(outer).polygon(_deckle(frame, size), fill=255)
    else:
        box = (edge, edge, size - 1 - edge, size - 1 - edge)
        ImageDraw.Draw(outer).rounded_rectangle(box, 0.065 * size * rounded, fill=255)
    return tuple(np.float32(mask.reduce(3))[..., None] / 255 for mask in (inner, outer))


def _deckle(frame: Frame, size: int) -> list[tuple[float, float]]:
    """Return the jagged outline of a deckled print, clockwise."""
    along = np.linspace(frame.margin, 1 - frame.margin, TEETH)
    # Every other tooth cuts in, by an amount of its own.
    depth = frame.margin * (0.35 + 0.5 * frame.teeth) + 0.008 * (np.arange(TEETH) % 2)
    top, right, bottom, left = depth
    outline = [
        *zip(along, top, strict=True),
        *zip(1 - right, along, strict=True),
        *zip(along[::-1], 1 - bottom, strict=True),
        *zip(left, along[::-1], strict=True),
    ]
    return [(float(x) * size, float(y) * size) for x, y in outline]

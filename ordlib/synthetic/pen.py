"""A pen for flat illustration: smooth shapes, tapered strokes and soft spots in any frame."""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, ...]
STEPS = 8


@lru_cache(maxsize=64)
def spline_matrix(count: int, closed: bool) -> np.ndarray:
    """Return the matrix that turns control points into a smooth curve through them.

    Args:
        count: number of control points, 2 or more.
        closed: whether the curve returns to its first point.

    Returns:
        ``(curve points, count)`` float64, Catmull-Rom weights; every row sums to 1.

    Example:
        >>> curve = spline_matrix(3, False) @ np.array([[0.0, 0], [1, 1], [2, 0]])
        >>> curve[0].tolist(), curve[-1].tolist()
        ([0.0, 0.0], [2.0, 0.0])
    """
    spans = count if closed else count - 1
    s = np.arange(STEPS) / STEPS
    basis = 0.5 * np.stack(
        [-s + 2 * s**2 - s**3, 2 - 5 * s**2 + 3 * s**3, s + 4 * s**2 - 3 * s**3, s**3 - s**2], 1
    )
    rows = np.zeros((spans * STEPS + (not closed), count))
    for span in range(spans):
        for tap in range(4):
            point = span + tap - 1
            point = point % count if closed else min(max(point, 0), count - 1)
            rows[span * STEPS : (span + 1) * STEPS, point] += basis[:, tap]
    if not closed:
        rows[-1, -1] = 1
    return rows


@lru_cache(maxsize=64)
def _taper(count: int, blunt: float) -> np.ndarray:
    """Return the half-width profile of a stroke: thin ends, or blunt ones."""
    return np.sin(np.linspace(0, np.pi, count)) ** (1 - blunt)


_TURN = np.linspace(0, 2 * np.pi, 33)[:-1]
CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], 1)


@lru_cache(maxsize=64)
def _soft_disc(alpha: float, size: int = 64) -> Image.Image:
    """Return a mask that is ``alpha`` in the middle and fades to nothing at the rim."""
    axis = np.linspace(-1, 1, size)
    distance = np.hypot(axis[None], axis[:, None])
    near = np.clip(1 - distance, 0, 1)
    return Image.fromarray((255 * alpha * near * near * (3 - 2 * near)).astype(np.uint8))


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Blend two RGB colours; ``share`` 1 gives the second.

    Example:
        >>> mix((0, 0, 0), (200, 100, 50), 0.5)
        (100, 50, 25)
    """
    blend = (a + (b - a) * share for a, b in zip(first[:3], second[:3], strict=True))
    return tuple(int(channel + 0.5) for channel in blend)


def fade(colour: Colour, alpha: float) -> Colour:
    """Return the colour with an opacity of 0 to 1.

    Example:
        >>> fade((10, 20, 30), 0.5)
        (10, 20, 30, 128)
    """
    return (*colour[:3], int(255 * min(max(alpha, 0.0), 1.0) + 0.5))


class Pen:
    """Draws on an image in its own coordinates: scaled, rotated and translated.

    Args:
        image: RGB canvas; colours with a fourth channel are blended in.
        scale: pixels per unit of the pen's coordinates.
        origin: where (0, 0) lies, in pixels.
        angle: turn in radians about ``pivot``, clockwise on the picture.
        pivot: the point that a turn leaves in place, in the pen's coordinates.
    """

    def __init__(
        self,
        image: Image.Image,
        scale: float,
        origin: tuple[float, float],
        angle: float = 0.0,
        pivot: tuple[float, float] = (0.0, 0.0),
    ):
        self.image, self.scale = image, scale
        self.draw = ImageDraw.Draw(image, "RGBA")
        cos, sin = np.cos(angle), np.sin(angle)
        self.turn = scale * np.array([[cos, sin], [-sin, cos]])
        centre = np.asarray(pivot, float)
        self.origin = np.asarray(origin, float) + scale * centre - centre @ self.turn

    def place(self, points: np.ndarray) -> np.ndarray:
        """Return ``(N, 2)`` points of the pen's frame as pixels."""
        return points @ self.turn + self.origin

    def polygon(self, points: np.ndarray, colour: Colour) -> None:
        """Fill a polygon given as ``(N, 2)`` corners."""
        self.draw.polygon(self.place(np.asarray(points, float)).ravel().tolist(), fill=colour)

    def shape(self, points: list | np.ndarray, colour: Colour) -> None:
        """Fill the smooth closed outline through the points."""
        points = np.asarray(points, float)
        self.polygon(spline_matrix(len(points), True) @ points, colour)

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        """Fill an ellipse about (x, y)."""
        self.polygon(CIRCLE * (rx, ry) + (x, y), colour)

    def stroke(
        self, points: list | np.ndarray, width: float, colour: Colour, blunt: float = 0.4
    ) -> None:
        """Draw a smooth line that is widest in the middle.

        Args:
            points: what the line passes through, ``(N, 2)``.
            width: greatest width.
            colour: RGB or RGBA.
            blunt: 0 tapers the ends slowly, 0.9 hardly at all.
        """
        points = np.asarray(points, float)
        curve = spline_matrix(len(points), False) @ points
        step = np.empty_like(curve)
        step[1:-1] = curve[2:] - curve[:-2]
        step[0], step[-1] = curve[1] - curve[0], curve[-1] - curve[-2]
        length = np.sqrt((step * step).sum(1)) + 1e-9
        side = step[:, ::-1] * (1.0, -1.0)
        side *= (0.5 * width * _taper(len(curve), blunt) / length)[:, None]
        self.polygon(np.concatenate([curve + side, (curve - side)[::-1]]), colour)

    def soft(self, x: float, y: float, rx: float, ry: float, colour: Colour, alpha: float) -> None:
        """Lay a spot that fades out towards its rim (its own axes are not turned)."""
        cx, cy = self.place(np.array([[x, y]]))[0]
        width, height = max(2, round(2 * rx * self.scale)), max(2, round(2 * ry * self.scale))
        disc = _soft_disc(round(alpha, 2))
        spot = disc.resize((width, height), Image.Resampling.BILINEAR)
        self.image.paste(colour[:3], (round(cx - width / 2), round(cy - height / 2)), spot)

    def frame(self, rim: np.ndarray, hole: np.ndarray, colour: Colour) -> None:
        """Fill what lies between two smooth outlines, both starting at their tops."""
        bands = [spline_matrix(len(points), True) @ points for points in (rim, hole)]
        outer, inner = (np.concatenate([band, band[:1]]) for band in bands)
        self.polygon(np.concatenate([outer, inner[::-1]]), colour)

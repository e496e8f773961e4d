"""A brush for painted scenes: flat shapes, soft light and gradients, in frames within frames."""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from .pen import Colour, spline_matrix

Point = tuple[float, float]


class Brush:
    """Paints in a frame of its own: x to the right, y down, both scaled alike, perhaps mirrored.

    The first frame of a picture is its unit square. Things are painted in a smaller frame that
    stands on the ground: (0, 0) is where they stand, negative y is up.

    Args:
        image: RGB canvas.
        scale: pixels per unit of this frame.
        x, y: where (0, 0) lies, in pixels.
        mirror: -1 flips left and right, 1 does not.
        draw: what already draws on the canvas; None makes it.
    """

    def __init__(
        self,
        image: Image.Image,
        scale: float,
        x: float = 0.0,
        y: float = 0.0,
        mirror: int = 1,
        draw: ImageDraw.ImageDraw | None = None,
    ):
        self.image, self.scale, self.x, self.y, self.mirror = image, scale, x, y, mirror
        self.draw = draw or ImageDraw.Draw(image, "RGBA")

    def at(self, x: float, y: float, size: float, mirror: bool = False) -> "Brush":
        """Return a brush whose frame has its origin at (x, y) and ``size`` as its unit."""
        flip = -self.mirror if mirror else self.mirror
        return Brush(self.image, self.scale * size, *self._pixel(x, y), flip, self.draw)

    def polygon(self, points: list[Point], colour: Colour) -> None:
        """Fill a polygon; a fourth number in ``colour`` is its opacity, 0 to 255."""
        self.draw.polygon([self._pixel(x, y) for x, y in points], fill=colour)

    def shape(self, points: list[Point], colour: Colour) -> None:
        """Fill the smooth closed outline through the points."""
        curve = spline_matrix(len(points), True) @ np.asarray(points, float)
        self.polygon(curve.tolist(), colour)

    def box(
        self, x0: float, y0: float, x1: float, y1: float, colour: Colour, radius: float = 0.0
    ) -> None:
        """Fill a rectangle, its corners rounded by ``radius``."""
        corners = self._box(x0, y0, x1, y1)
        if radius and min(corners[2] - corners[0], corners[3] - corners[1]) > 4:
            self.draw.rounded_rectangle(corners, radius * self.scale, fill=colour)
        else:
            self.draw.rectangle(corners, fill=colour)

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        """Fill an ellipse about (x, y)."""
        self.draw.ellipse(self._box(x - rx, y - ry, x + rx, y + ry), fill=colour)

    def ring(self, x: float, y: float, radius: float, width: float, colour: Colour) -> None:
        """Draw a circle of a given line width."""
        corners = self._box(x - radius, y - radius, x + radius, y + radius)
        self.draw.ellipse(corners, outline=colour, width=self._width(width))

    def line(self, points: list[Point], width: float, colour: Colour) -> None:
        """Draw a line through the points."""
        pixels = [self._pixel(x, y) for x, y in points]
        self.draw.line(pixels, colour, self._width(width))

    def soft(self, x: float, y: float, rx: float, ry: float, colour: Colour, alpha: float) -> None:
        """Lay a spot of light or shade that fades out towards its rim."""
        px, py = self._pixel(x, y)
        width, height = (max(3, round(2 * r * self.scale)) for r in (rx, ry))
        spot = _spot(round(40 * alpha)).resize((width, height), Image.Resampling.BILINEAR)
        self.image.paste(colour, (round(px - width / 2), round(py - height / 2)), spot)

    def ramp(
        self, y0: float, y1: float, top: Colour, bottom: Colour, x0: float = 0.0, x1: float = 1.0
    ) -> None:
        """Fill a rectangle with a vertical blend of two colours."""
        left, upper, right, lower = (round(v) for v in self._box(x0, y0, x1, y1))
        if right <= left or lower <= upper:
            return
        column = Image.fromarray(np.uint8([[top], [bottom]]))
        # Halves of the two pixels lie outside their centres: cut them off for a full blend.
        box = (0, 0.5, 1, 1.5)
        blend = column.resize((1, lower - upper), Image.Resampling.BILINEAR, box=box)
        blend = blend.resize((right - left, lower - upper), Image.Resampling.NEAREST)
        self.image.paste(blend, (left, upper))

    def _pixel(self, x: float, y: float) -> Point:
        return (self.x + self.mirror * self.scale * x, self.y + self.scale * y)

    def _box(self, x0: float, y0: float, x1: float, y1: float) -> tuple[float, ...]:
        (a, b), (c, d) = self._pixel(x0, y0), self._pixel(x1, y1)
        return min(a, c), min(b, d), max(a, c), max(b, d)

    def _width(self, width: float) -> int:
        return max(1, round(width * self.scale))


@lru_cache(maxsize=64)
def _spot(fortieths: int) -> Image.Image:
    """Return a disc that fades out, its opacity in the middle in fortieths."""
    axis = np.linspace(-1, 1, 64)
    fade = np.clip(1 - np.hypot(axis[None], axis[:, None]), 0, 1)
    return Image.fromarray((255 / 40 * fortieths * fade**2 * (3 - 2 * fade)).astype(np.uint8))

"""Compose a portrait, from the background to the hat."""

import numpy as np

from . import accessories, bodies, faces, hair
from .backdrops import paint_backdrop
from .canvas import canvas_size, finish
from .pen import Pen
from .people import Look

# Half a head's height as a share of the picture, before zoom and the size of a child's head.
HEAD = 0.225


def paint(look: Look, side: int) -> tuple[np.ndarray, float]:
    """Paint a person.

    Args:
        look: who, and how they look.
        side: pixels of the finished picture.

    Returns:
        The picture, ``(side, side, 3)`` uint8, and the share of it that the person covers.

    Example:
        >>> from ordlib.synthetic.people import draw_individual, look_at
        >>> who = draw_individual(np.random.default_rng(0))
        >>> picture, ink = paint(look_at(who, 30), 64)
        >>> picture.shape, 0.2 < ink < 0.8
        ((64, 64, 3), True)
    """
    size, who = canvas_size(side), look.who
    canvas = paint_backdrop(size, who)
    empty = np.asarray(canvas)[::4, ::4].copy()
    scale = HEAD * who.zoom * look.cues["head_size"]
    origin = ((0.5 + who.x) * size, (0.47 + who.y + 0.02 * look.cues["stoop"]) * size)
    body = Pen(canvas, scale * size, origin)
    head = Pen(canvas, scale * size, origin, angle=who.tilt, pivot=(0, 0.9))
    _paint_person(head, body, look)
    covered = (np.asarray(canvas)[::4, ::4] != empty).any(2).mean()
    return finish(canvas, side), float(covered)


def _paint_person(head: Pen, body: Pen, look: Look) -> None:
    hair.paint_back(head, look)
    bodies.paint_neck(body, look)
    bodies.paint_clothes(body, look)
    accessories.paint_held(body, look)
    faces.paint_ears(head, look)
    faces.paint_face(head, look)
    faces.paint_features(head, look)
    hair.paint_front(head, look)
    accessories.paint_glasses(head, look)
    accessories.paint_accessories_worn(head, look)

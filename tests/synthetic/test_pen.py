"""Shapes of the pen against formulas and areas."""

import numpy as np
import pytest
from PIL import Image

from ordlib.synthetic.pen import CIRCLE, STEPS, Pen, fade, mix, spline_matrix

WHITE = (255, 255, 255)


@pytest.mark.parametrize("closed", [False, True])
def test_spline_matrix_interpolates_its_points(closed):
    points = np.random.default_rng(0).uniform(size=(6, 2))
    matrix = spline_matrix(6, closed)
    np.testing.assert_allclose(matrix.sum(1), 1)
    np.testing.assert_allclose((matrix @ points)[::STEPS], points)


def test_spline_matrix_equals_catmull_rom_formula():
    points = np.random.default_rng(1).uniform(size=(5, 2))
    curve = spline_matrix(5, True) @ points
    for span in range(5):
        a, b, c, d = (points[(span + tap - 1) % 5] for tap in range(4))
        coefficients = (2 * b, c - a, 2 * a - 5 * b + 4 * c - d, 3 * b - a - 3 * c + d)
        for step in range(STEPS):
            powers = (step / STEPS) ** np.arange(4)
            np.testing.assert_allclose(curve[span * STEPS + step], powers @ coefficients / 2)


def test_place_rotates_around_the_pivot():
    canvas, pivot = Image.new("RGB", (100, 100)), np.array([[0.2, 0.9]])
    straight = Pen(canvas, 40, (50, 50))
    turned = Pen(canvas, 40, (50, 50), angle=0.3, pivot=pivot[0])
    np.testing.assert_allclose(turned.place(pivot), straight.place(pivot))
    steps = [np.diff(pen.place(CIRCLE), axis=0) for pen in (turned, straight)]
    np.testing.assert_allclose(*np.linalg.norm(steps, axis=2))


def test_ellipse_area():
    canvas = Image.new("RGB", (200, 200))
    Pen(canvas, 100, (100, 100)).ellipse(0, 0, 0.8, 0.5, WHITE)
    covered = (np.asarray(canvas)[..., 0] > 0).sum()
    assert covered == pytest.approx(np.pi * 80 * 50, rel=0.03)


def test_stroke_is_tapered():
    canvas = Image.new("RGB", (200, 200))
    Pen(canvas, 100, (100, 100)).stroke([(-0.9, 0), (0, 0), (0.9, 0)], 0.2, WHITE)
    thickness = (np.asarray(canvas)[..., 0] > 0).sum(0)
    assert thickness[100] == pytest.approx(20, abs=2)
    assert 0 < thickness[14] < thickness[40] < thickness[100]


def test_mix_and_fade():
    assert mix((0, 0, 0), (200, 100, 50), 0.25) == (50, 25, 13)
    assert fade((1, 2, 3), 2.0) == (1, 2, 3, 255)
    canvas = Image.new("RGB", (20, 20), (0, 0, 0))
    Pen(canvas, 20, (10, 10)).ellipse(0, 0, 0.4, 0.4, fade((200, 200, 200), 0.5))
    assert canvas.getpixel((10, 10))[0] == pytest.approx(100, abs=2)


def test_soft_fades_to_its_rim():
    canvas = Image.new("RGB", (101, 101))
    Pen(canvas, 50, (50, 50)).soft(0, 0, 0.8, 0.8, WHITE, 1.0)
    row = np.asarray(canvas)[50, :, 0].astype(int)
    assert row[50] > 240
    assert row[5] == 0
    assert (np.diff(row[50:90]) <= 0).all()


def test_frame_has_a_hole():
    canvas = Image.new("RGB", (100, 100))
    Pen(canvas, 50, (50, 50)).frame(CIRCLE * 0.9, CIRCLE * 0.4, WHITE)
    assert canvas.getpixel((50, 50)) == (0, 0, 0)
    assert canvas.getpixel((50, 82)) == WHITE

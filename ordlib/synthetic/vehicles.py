"""Cars, locomotives and aeroplanes, one unit long, facing right, in the style of their time."""

import numpy as np

from .brush import Brush
from .moods import CHROME, CREAM, DARK, LAMPLIGHT, PAINTS, Mood, pick, shade
from .pen import Colour, mix

Generator = np.random.Generator
GLASS = (142, 166, 178)


def car(brush: Brush, rng: Generator, style: float, mood: Mood) -> None:
    """Park a car: tall with wings at first, then round, then long with fins, then boxy."""
    paint = pick(rng, PAINTS)
    brush.soft(0, 0.0, 0.62, 0.09, (20, 18, 24), 0.6)
    glass = mix(GLASS, mood.low, 0.4)
    tyre, dark, light = (34, 32, 34), shade(paint, 0.66), shade(paint, 1.18)
    wheels, radius = (-0.31, 0.30), 0.088
    if style < 1.2:
        brush.box(-0.30, -0.46, 0.13, -0.12, paint, 0.07)
        brush.box(-0.30, -0.46, 0.13, -0.41, dark, 0.03)
        brush.box(-0.25, -0.39, -0.08, -0.25, glass, 0.02)
        brush.box(-0.04, -0.39, 0.09, -0.25, glass, 0.02)
        brush.box(0.10, -0.29, 0.43, -0.12, paint, 0.03)
        brush.shape([(-0.5, -0.06), (-0.42, -0.2), (-0.28, -0.22), (-0.16, -0.07)], dark)
        brush.shape([(0.14, -0.06), (0.24, -0.21), (0.4, -0.21), (0.5, -0.05)], dark)
        brush.box(-0.2, -0.10, 0.2, -0.06, dark)
        brush.ellipse(0.45, -0.25, 0.035, 0.04, CHROME)
        radius = 0.105
    elif style < 2.3:
        brush.shape([(-0.5, -0.1), (-0.46, -0.2), (-0.2, -0.25), (0.2, -0.26),
                     (0.46, -0.24), (0.51, -0.12), (0.4, -0.06), (-0.4, -0.06)], paint)  # fmt: skip
        brush.shape([(-0.38, -0.22), (-0.24, -0.38), (-0.02, -0.41), (0.14, -0.36),
                     (0.24, -0.24)], paint)  # fmt: skip
        brush.shape([(-0.27, -0.24), (-0.19, -0.35), (-0.08, -0.37), (-0.06, -0.24)], glass)
        brush.shape([(-0.02, -0.24), (-0.02, -0.37), (0.1, -0.34), (0.17, -0.24)], glass)
        brush.shape([(-0.48, -0.1), (-0.42, -0.22), (-0.24, -0.2), (-0.18, -0.07)], dark)
        brush.box(0.44, -0.15, 0.53, -0.10, CHROME, 0.02)
        brush.ellipse(0.47, -0.2, 0.025, 0.03, CREAM)
    elif style < 3.3:
        brush.polygon([(-0.56, -0.29), (-0.46, -0.25), (0.5, -0.24), (0.54, -0.16),
                       (0.5, -0.07), (-0.53, -0.07), (-0.55, -0.18)], paint)  # fmt: skip
        brush.polygon([(-0.28, -0.24), (-0.2, -0.38), (0.1, -0.38), (0.22, -0.24)], light)
        brush.polygon([(-0.24, -0.24), (-0.18, -0.35), (-0.05, -0.35), (-0.05, -0.24)], glass)
        brush.polygon([(-0.02, -0.24), (-0.02, -0.35), (0.09, -0.35), (0.18, -0.24)], glass)
        brush.box(-0.55, -0.17, 0.53, -0.145, CHROME)
        brush.box(-0.58, -0.11, -0.45, -0.075, CHROME, 0.01)
        brush.box(0.45, -0.11, 0.57, -0.075, CHROME, 0.01)
        brush.ellipse(0.51, -0.2, 0.022, 0.028, CREAM)
    else:
        brush.polygon([(-0.5, -0.25), (0.18, -0.25), (0.48, -0.21), (0.5, -0.07),
                       (-0.5, -0.07)], paint)  # fmt: skip
        brush.polygon([(-0.47, -0.24), (-0.38, -0.4), (0.06, -0.4), (0.22, -0.24)], paint)
        brush.polygon([(-0.41, -0.25), (-0.35, -0.37), (-0.15, -0.37), (-0.15, -0.25)], glass)
        brush.polygon([(-0.12, -0.25), (-0.12, -0.37), (0.04, -0.37), (0.16, -0.25)], glass)
        brush.box(-0.5, -0.15, 0.5, -0.135, dark)
        brush.box(0.44, -0.19, 0.5, -0.15, CREAM)
        brush.box(-0.52, -0.11, 0.53, -0.085, (60, 60, 62))
    for x in wheels:
        brush.ellipse(x, -radius + 0.02, radius, radius, tyre)
        brush.ellipse(x, -radius + 0.02, 0.5 * radius, 0.5 * radius, CHROME)
    if mood.lamps:
        brush.soft(0.56, -0.18, 0.16, 0.12, LAMPLIGHT, 0.8)


def steam_engine(brush: Brush, rng: Generator, paint: Colour, mood: Mood) -> None:
    """Put a steam locomotive on the rails, one unit long, facing right."""
    puff = mix(CREAM, mood.low, 0.4)
    for step in range(7):
        x, y = 0.36 - 0.2 * step, -0.62 - 0.07 * step - rng.uniform(0, 0.06)
        brush.soft(x, y, 0.16 + 0.05 * step, 0.11 + 0.03 * step, puff, 0.85 - 0.08 * step)
    brush.box(-0.12, -0.36, 0.46, -0.12, paint, 0.05)
    brush.box(-0.42, -0.5, -0.12, -0.1, paint)
    brush.box(-0.45, -0.54, -0.08, -0.49, DARK, 0.02)
    brush.box(-0.34, -0.44, -0.2, -0.32, mix((70, 82, 92), mood.high, 0.3))
    brush.polygon([(0.32, -0.34), (0.41, -0.34), (0.43, -0.54), (0.3, -0.54)], DARK)
    brush.ellipse(0.08, -0.37, 0.06, 0.05, (196, 160, 84))
    brush.box(0.4, -0.36, 0.5, -0.12, DARK, 0.04)
    brush.box(-0.44, -0.14, 0.52, -0.08, DARK)
    for x in (-0.28, -0.06, 0.16):
        brush.ellipse(x, -0.085, 0.095, 0.095, DARK)
        brush.ellipse(x, -0.085, 0.06, 0.06, shade(paint, 0.7))
    brush.line([(-0.28, -0.07), (0.2, -0.07)], 0.022, CHROME)
    brush.ellipse(0.38, -0.05, 0.05, 0.05, DARK)


def diesel_engine(brush: Brush, rng: Generator, paint: Colour, mood: Mood) -> None:
    """Put a diesel locomotive on the rails, one unit long, facing right."""
    brush.polygon([(-0.45, -0.44), (0.3, -0.44), (0.44, -0.34), (0.5, -0.2), (0.5, -0.08),
                   (-0.45, -0.08)], paint)  # fmt: skip
    brush.polygon([(-0.45, -0.24), (0.49, -0.24), (0.5, -0.15), (-0.45, -0.15)], CREAM)
    glass = mix((70, 82, 92), mood.high, 0.3)
    brush.polygon([(0.24, -0.41), (0.32, -0.41), (0.42, -0.32), (0.4, -0.28), (0.24, -0.28)], glass)
    for x in np.linspace(-0.36, 0.1, 5):
        brush.box(x - 0.03, -0.38, x + 0.03, -0.29, shade(paint, 0.6))
    for x in (-0.34, -0.2, 0.2, 0.34):
        brush.ellipse(x, -0.05, 0.055, 0.055, DARK)


def airliner(brush: Brush, paint: Colour, mood: Mood) -> None:
    """Fly a jet airliner, one unit long, to the right."""
    body = mix(CREAM, mood.low, 0.25)
    far_wing = [(0.02, -0.02), (-0.22, -0.2), (-0.28, -0.2), (-0.12, 0)]
    brush.polygon(far_wing, shade(body, 0.75))
    brush.polygon([(-0.5, -0.24), (-0.42, -0.24), (-0.3, -0.04), (-0.46, -0.02)], paint)
    brush.shape([(-0.52, -0.03), (-0.3, -0.065), (0.3, -0.065), (0.46, -0.03), (0.5, 0.01),
                 (0.4, 0.04), (-0.25, 0.05)], body)  # fmt: skip
    brush.polygon([(-0.48, -0.012), (0.49, -0.012), (0.49, 0.008), (-0.42, 0.012)], paint)
    for x in np.linspace(-0.3, 0.34, 15):
        brush.box(x - 0.008, -0.042, x + 0.008, -0.024, (70, 80, 96))
    brush.polygon([(0.12, 0.02), (-0.14, 0.02), (-0.34, 0.26), (-0.27, 0.26)], shade(body, 0.82))
    brush.box(-0.16, 0.12, 0.02, 0.165, shade(body, 0.6), 0.02)
    brush.polygon([(-0.36, -0.01), (-0.54, 0.07), (-0.6, 0.07), (-0.48, -0.01)], shade(body, 0.8))


def propeller_plane(brush: Brush, paint: Colour, mood: Mood) -> None:
    """Fly a light biplane, one unit long, to the right."""
    dark, light = shade(paint, 0.7), shade(paint, 1.2)
    brush.box(-0.06, -0.19, 0.3, -0.155, light, 0.015)
    brush.shape([(-0.5, -0.03), (-0.2, -0.08), (0.2, -0.09), (0.38, -0.06), (0.4, 0.03),
                 (0.2, 0.07), (-0.1, 0.05)], paint)  # fmt: skip
    brush.shape([(-0.52, 0.0), (-0.54, -0.19), (-0.46, -0.2), (-0.36, -0.02)], dark)
    brush.box(-0.12, 0.05, 0.28, 0.09, light, 0.015)
    for x in (-0.02, 0.22):
        brush.line([(x, -0.16), (x - 0.03, 0.06)], 0.012, DARK)
    brush.ellipse(-0.02, -0.1, 0.04, 0.045, shade(mood.high, 0.5))
    brush.ellipse(0.4, -0.015, 0.03, 0.05, CHROME)
    brush.ellipse(0.435, -0.015, 0.012, 0.17, (*mix(mood.low, DARK, 0.4), 120))
    brush.line([(0.12, 0.06), (0.17, 0.18)], 0.014, DARK)
    brush.ellipse(0.17, 0.19, 0.045, 0.045, DARK)
    brush.polygon([(-0.4, -0.03), (-0.56, 0.0), (-0.56, 0.02), (-0.36, 0.01)], light)

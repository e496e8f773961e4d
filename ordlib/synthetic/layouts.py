"""Object layouts: arrangements in the unit square without overlaps."""

from collections.abc import Callable

import numpy as np

MARGIN = 0.02  # kept free at the border, as a share of the side
GAP = 1.03  # least distance of two objects, in sums of their radii
STEPS = 80


def _scattered(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.uniform(-1, 1, (n, 2))


def _cluster(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.normal(0, 0.3, (n, 2)) + rng.uniform(-0.4, 0.4, 2)


def _rows(rng: np.random.Generator, n: int) -> np.ndarray:
    columns = int(np.ceil(np.sqrt(n * rng.uniform(0.7, 1.6))))
    rows = -(-n // columns)
    row, column = np.divmod(np.arange(n), columns)
    in_row = np.where(row == rows - 1, n - columns * (rows - 1), columns)
    grid = np.stack([(column + 0.5) / in_row, (row + 0.5) / rows], 1) * 2 - 1
    grid[:, 0] *= np.where(in_row < columns, in_row / columns, 1)
    return grid + rng.normal(0, 0.05, (n, 2))


def _ring(rng: np.random.Generator, n: int) -> np.ndarray:
    angle = np.arange(n) / n * 2 * np.pi + rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.1, n)
    radius = rng.uniform(0.55, 0.95)
    return radius * np.stack([np.cos(angle), np.sin(angle)], 1)


def _spiral(rng: np.random.Generator, n: int) -> np.ndarray:
    turn = np.arange(n) * np.pi * (3 - np.sqrt(5)) + rng.uniform(0, 2 * np.pi)
    radius = np.sqrt((np.arange(n) + 0.5) / n)
    return radius[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1)


def _wave(rng: np.random.Generator, n: int) -> np.ndarray:
    along = (np.arange(n) + 0.5) / n * 2 - 1
    across = rng.uniform(0.2, 0.7) * np.sin(rng.uniform(1, 4) * along + rng.uniform(0, 6.3))
    slope = rng.uniform(-0.8, 0.8)
    points = np.stack([along, across * (1 - abs(slope)) + slope * along], 1)
    return points[:, ::-1] if rng.uniform() < 0.3 else points


LAYOUTS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "scattered": _scattered,
    "cluster": _cluster,
    "rows": _rows,
    "ring": _ring,
    "spiral": _spiral,
    "wave": _wave,
}


def place(
    rng: np.random.Generator, layout: str, diameters: np.ndarray, spread: float
) -> tuple[np.ndarray, np.ndarray]:
    """Place round objects in the unit square.

    Args:
        rng: draws the arrangement.
        layout: one of ``LAYOUTS``.
        diameters: ``(n,)`` sizes as shares of the side.
        spread: how much of the square the arrangement spans, 0 to 1.

    Returns:
        Centres ``(n, 2)``, (x, y) in 0 to 1, and the diameters, made smaller together where
        they would not have fitted. No two objects overlap and none crosses the border.

    Example:
        >>> centres, sizes = place(np.random.default_rng(0), "ring", np.full(5, 0.15), 0.8)
        >>> centres.shape, bool((sizes == 0.15).all())
        ((5, 2), True)
    """
    radii = diameters / 2
    low, high = radii[:, None] + MARGIN, 1 - radii[:, None] - MARGIN
    points = LAYOUTS[layout](rng, len(diameters))
    rng.shuffle(points)
    points = np.clip(0.5 + 0.5 * spread * points, low, high)
    apart = GAP * (radii[:, None] + radii[None, :])
    np.fill_diagonal(apart, 0)
    for _ in range(STEPS):
        points, worst = _push(points, apart, low, high)
        if worst >= 1:
            break
    _, fits = _push(points, apart, low, high)
    return points, diameters * min(1.0, fits)


def _push(points: np.ndarray, apart: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple:
    """Move objects apart by a step, and return how near the nearest two were (1 is free)."""
    between = points[:, None, :] - points[None, :, :]
    distance = np.sqrt((between**2).sum(-1)) + 1e-9
    overlap = np.maximum(apart * 1.001 - distance, 0)
    step = (between * (overlap / distance)[..., None]).sum(1)
    worst = np.where(apart > 0, distance / np.maximum(apart, 1e-9), np.inf).min()
    return np.clip(points + 0.5 * step, low, high), float(worst)

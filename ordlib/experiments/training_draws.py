"""Training sets with skewed, long-tailed or wrong labels, or without some objects."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from ..data import ImageData
from .adapter_data import without_held_out_objects

# Images of the rarest rank per image of the most frequent one in a long-tailed draw.
TAIL = 0.05


def shifted_draw(data: ImageData, keep: float, seed: int) -> ImageData:
    """Label-distribution shift: half of the ranks, the most frequent ones, lose most images.

    Args:
        keep: share of the images of these ranks that is kept.
        seed: chooses the images, and the order of equally frequent ranks.

    References:
        Li et al. (2022), OrdinalCLIP, arXiv:2206.02338, in which the k most frequent of the labels
        keep 10 or 20 % of their images.
    """
    rng, num_ranks = np.random.default_rng(seed), data.task.num_ranks
    counts = np.bincount(data.ranks, minlength=num_ranks)
    # Sorted by frequency, with ties in random order.
    thinned = np.lexsort((rng.random(num_ranks), -counts))[: num_ranks // 2]
    shares = np.ones(num_ranks)
    shares[thinned] = keep
    return _thin(data, shares, rng)


def long_tailed_draw(data: ImageData, seed: int) -> ImageData:
    """Long tail: the share of images that a rank keeps falls exponentially from 1 to 5 %.

    The lowest rank keeps all of its images, as small counts and young faces are common.
    """
    shares = TAIL ** np.linspace(0, 1, data.task.num_ranks)
    return _thin(data, shares, np.random.default_rng(seed))


def noisy_draw(data: ImageData, share: float, seed: int) -> ImageData:
    """Label noise: a share of the images, drawn at random, get the value of another rank."""
    rng, ranks, num_ranks = np.random.default_rng(seed), data.ranks, data.task.num_ranks
    wrong = rng.permutation(len(data))[: round(share * len(data))]
    others = (ranks[wrong] + rng.integers(1, num_ranks, len(wrong))) % num_ranks
    values = data.values.copy()
    values[wrong] = data.task.rank_values[others]
    return replace(data, values=values)


def _thin(data: ImageData, shares: np.ndarray, rng: np.random.Generator) -> ImageData:
    """Keep a share of the images of each rank, at least one, in their order."""
    kept = []
    for rank, share in enumerate(shares):
        rows = rng.permutation(np.flatnonzero(data.ranks == rank))
        kept.append(rows[: max(round(share * len(rows)), 1)])
    return data.subset(np.sort(np.concatenate(kept)))


Draw = Callable[[ImageData, int], ImageData]
LABEL_DRAWS: Mapping[str, Draw] = {
    "half of the ranks keep 20 %": lambda data, seed: shifted_draw(data, 0.2, seed),
    "half of the ranks keep 10 %": lambda data, seed: shifted_draw(data, 0.1, seed),
    "long tail": long_tailed_draw,
    "10 % wrong labels": lambda data, seed: noisy_draw(data, 0.1, seed),
    "30 % wrong labels": lambda data, seed: noisy_draw(data, 0.3, seed),
}
WITHOUT_OBJECTS = "without nine kinds of objects"
DRAWS = LABEL_DRAWS | {WITHOUT_OBJECTS: lambda data, seed: without_held_out_objects(data)}


def draw_training_set(data: ImageData, draw: str, seed: int) -> ImageData:
    """Return one of ``DRAWS`` of a training set.

    Example:
        >>> from ordlib import load_data
        >>> data = load_data("dating", "train", image_size=64, num_images=50)
        >>> drawn = draw_training_set(data, "long tail", seed=0)
        >>> len(drawn) < 50, bool(np.mean(drawn.ranks == 0) > np.mean(data.ranks == 0))
        (True, True)
    """
    return DRAWS[draw](data, seed)

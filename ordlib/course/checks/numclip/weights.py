"""Exercise 1: the weights of the bins."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from ..result import called, diagnosing
from .definition import array_of, weights_of

# More pictures than bins, so that a transposed answer shows; every bin, one of them twice.
BINS, NUM_BINS = (1, 0, 4, 2, 3, 3), 5
FEWER_BINS, FEWER = (2, 0, 1, 1), 3


@diagnosing
def ranking_weights(function: Callable) -> str | None:
    """The further a bin, the heavier, and on average every other bin weighs 1.

    Args:
        function: takes ``(B,)`` int64 bins and the number of bins d, returns ``(B, d)`` weights:
            1 in a picture's own bin, the others in proportion to their distance from it and
            summing to d - 1.

    Returns:
        A :class:`Verdict`.
    """
    for bins, num_bins in ((BINS, NUM_BINS), (FEWER_BINS, FEWER)):
        answer = array_of(called(lambda b=bins, d=num_bins: function(torch.tensor(b), d)))
        if complaint := _misshapen(answer, bins, num_bins) or _misweighed(answer, bins, num_bins):
            return complaint
    return None


def _misshapen(answer: np.ndarray, bins: Sequence[int], num_bins: int) -> str | None:
    pictures, shape = len(bins), answer.shape
    if shape == (pictures, num_bins):
        return None
    if shape == (num_bins, pictures):
        return f"shape {shape} is (d, B): give a row for each picture, (B, d); transpose it"
    if shape == (pictures, num_bins - 1):
        return f"a row has {num_bins - 1} weights for {num_bins} bins: is the last bin forgotten?"
    if shape == (num_bins, num_bins):
        return f"shape {shape} is the table of all bins: pick the row of each picture's own bin"
    return f"shape {shape} for {pictures} pictures and {num_bins} bins: give (B, d)"


def _misweighed(answer: np.ndarray, bins: Sequence[int], num_bins: int) -> str | None:
    """Compare the weights of the other bins first, then those of a picture's own."""
    own = np.eye(num_bins, dtype=bool)[list(bins)]
    if not np.isfinite(answer).all():
        picture, bin_ = np.argwhere(~np.isfinite(answer))[0]
        return (
            f"the weight of bin {bin_} for a picture of bin {bins[picture]} is "
            f"{answer[picture, bin_]}: the own bin has distance 0, do not divide by it"
        )
    right = weights_of(bins, num_bins)
    if np.allclose(answer[~own], right[~own], atol=1e-4):
        if np.allclose(answer[own], 1, atol=1e-4):
            return None
        if np.allclose(answer[own], 0):
            return "a picture's own bin weighs 0, which takes the right answer out: put 1 there"
        worst = answer[own][abs(answer[own] - 1).argmax()]
        return f"a picture's own bin weighs {worst:.3g}: put 1 there"
    for diagnosis, wrong in _wrong_weights(bins, num_bins, right):
        if np.allclose(answer[~own], wrong[~own], atol=1e-4):
            return diagnosis
    picture, bin_ = np.argwhere(~own & ~np.isclose(answer, right, atol=1e-4))[0]
    return (
        f"of {num_bins} bins, for a picture of bin {bins[picture]}, bin {bin_} weighs "
        f"{right[picture, bin_]:.3f}; yours is {answer[picture, bin_]:.3f}"
    )


def _wrong_weights(
    bins: Sequence[int], num_bins: int, right: np.ndarray
) -> list[tuple[str, np.ndarray]]:
    """Pair what is likely to go wrong with the weights it gives."""
    steps = np.arange(num_bins) - np.array(bins)[:, None]
    distance = abs(steps).astype(float)
    near = (num_bins - distance) * (distance > 0)
    inverse = np.where(distance > 0, 1 / np.maximum(distance, 1), 0)
    total = distance.sum(1, keepdims=True)
    without_last = distance.copy()
    without_last[:, -1] = 0

    def mean_one(raw: np.ndarray) -> np.ndarray:
        return (num_bins - 1) * raw / np.maximum(raw.sum(1, keepdims=True), 1e-9)

    to_one = "the others sum to 1, the norm sum_to_one: times d - 1, they sum to d - 1"
    raw = "these are bare distances: divide by their sum and multiply by d - 1"
    reversed_ = "near bins weigh more than far ones: turn it round, the further the heavier"
    last = "the last bin is left out: there are d of them, 0 to d - 1"
    return [
        (to_one, right / (num_bins - 1)),
        (raw, distance),
        ("the others sum to d: multiply by d - 1, for there are d - 1 of them", right * num_bins
         / (num_bins - 1)),
        ("the own bin counts in the sum: sum the distances alone, and put its 1 in afterwards",
         (num_bins - 1) * distance / (total + 1)),
        ("the own bin counts in the sum: sum the distances alone, and put its 1 in afterwards",
         num_bins * distance / (total + 1)),
        ("these are squared distances: take |c - j| itself", mean_one(distance**2)),
        ("these are squared distances: take |c - j| itself, and norm them", distance**2),
        ("distances have a sign: take the absolute value", steps.astype(float)),
        (reversed_, mean_one(near)),
        (reversed_, mean_one(inverse)),
        (reversed_, inverse),
        (last, without_last),
        (last, mean_one(without_last)),
        ("you sum over the pictures of the batch: sum over the bins, dim=1",
         (num_bins - 1) * distance / np.maximum(distance.sum(0), 1e-9)),
        ("that is a softmax of the distances: keep to their proportions",
         (num_bins - 1) * np.exp(distance) / np.exp(distance).sum(1, keepdims=True)),
        ("every bin weighs 1, as in plain cross-entropy: where is the distance?",
         np.ones_like(distance)),
    ]  # fmt: skip

"""Tightness by its definition, and the ways in which it goes wrong."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .lengths import LENGTHS, distances

# What a picture meets: (B, M) of distances in, (B,) or more out.
_OWN = {
    "": lambda d, ranks: d.gather(1, ranks[:, None])[:, 0],
    "picture i meets text i: take the text of its own rank, texts[ranks]": lambda d, ranks: (
        d[range(len(d)), torch.arange(len(d)) % d.shape[1]]),
    "every picture meets all texts: take the text of its own rank, texts[ranks]": lambda d, ranks: (
        d),
    "the own text is one rank too low: ranks count from 0": lambda d, ranks: (
        d.roll(1, 1).gather(1, ranks[:, None])[:, 0]),
    "the own text is one rank too high: ranks count from 0": lambda d, ranks: (
        d.roll(-1, 1).gather(1, ranks[:, None])[:, 0]),
}  # fmt: skip
_SQUARES = {
    "": lambda d, width: d**2,
    "the distance is not squared: in tightness it is": lambda d, width: d,
    "that is 1 - cosine, half the squared distance: 2 - 2 cosine": lambda d, width: d**2 / 2,
    "that is a cosine: the squared distance is 2 - 2 cosine": lambda d, width: 1 - d**2 / 2,
    "that is minus the cosine: the squared distance is 2 - 2 cosine": lambda d, width: d**2 / 2 - 1,
    "you take the mean over the D coordinates: a squared distance is their sum": lambda d, width: (
        d**2 / width),
}  # fmt: skip
_MEANS = {
    "": torch.mean,
    "that is the sum over the pictures: take the mean": torch.sum,
    "that is the square of the mean distance: take the mean of the squares": lambda squares: (
        squares.sqrt().mean() ** 2),
}  # fmt: skip
_PULL_SIGNS = {
    "": lambda number: number,
    "the sign is turned round: minus a distance, made small, pushes from the own text": torch.neg,
}
PULLS = (LENGTHS, _OWN, _SQUARES, _MEANS, _PULL_SIGNS)


def pulled(way: Sequence[Callable], features: Tensor, texts: Tensor, ranks: Tensor) -> Tensor:
    """Return tightness, made one way or another."""
    lengths, own, squares, mean, sign = way
    apart = distances(*lengths(features.double(), texts.double()))
    return sign(mean(squares(own(apart, ranks), features.shape[1])))

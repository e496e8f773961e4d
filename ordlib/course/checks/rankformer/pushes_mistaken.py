"""Diversity by its definition, and the ways in which it goes wrong."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .lengths import LENGTHS, distances

_ROOTS = {
    "": lambda d: d,
    "the distance is squared: in diversity it is not": lambda d: d**2,
    "that is 1 - cosine: the distance is the root of 2 - 2 cosine": lambda d: d**2 / 2,
    "that is a cosine: the distance is the root of 2 - 2 cosine": lambda d: 1 - d**2 / 2,
}
_BARE = "the weights are bare distances of labels: less their least, divided by their greatest"
_WEIGHTS = {
    "": lambda far: (far - far.min()) / far.max(),
    _BARE: lambda far: far,
    "the least is not taken off the weights": lambda far: far / far.max(),
    "the weights are not divided by the greatest distance of labels": lambda far: far - far.min(),
    "the greatest is taken when the least is off already: take both from |value - level|": (
        lambda far: (far - far.min()) / (far.max() - far.min())),
    "the weights are rescaled row by row: least and greatest of the whole matrix": lambda far: (
        (far - far.amin(1, keepdim=True)) / far.amax(1, keepdim=True)),
    "the weights are rescaled row by row, least to greatest: both of the whole matrix, and divide "
    "by the greatest": lambda far: (far - far.amin(1, keepdim=True)) / (
        far.amax(1, keepdim=True) - far.amin(1, keepdim=True)),
    "the least is taken row by row: over the whole matrix": lambda far: (
        (far - far.amin(1, keepdim=True)) / far.max()),
    "the greatest is taken row by row: over the whole matrix": lambda far: (
        (far - far.min()) / far.amax(1, keepdim=True)),
    "the weights are rescaled column by column: least and greatest of the whole matrix":
        lambda far: (far - far.amin(0)) / far.amax(0),
    "the weights are squared: take them as they are": lambda far: (
        ((far - far.min()) / far.max()) ** 2),
    "the distances of labels are squared: take |value - level|": lambda far: (
        (far**2 - (far**2).min()) / (far**2).max()),
    "the weights are turned round: the further a rank, the harder the push": lambda far: (
        1 - (far - far.min()) / far.max()),
    # Only as many pictures as ranks let it be multiplied.
    "the weights are transposed: they are (B, M), a row for each picture": lambda far: (
        ((far - far.min()) / far.max()).mT if far.shape[0] == far.shape[1] else far * torch.nan),
    "there are no weights: the further a rank, the harder the push": torch.ones_like,
}  # fmt: skip
_SIGNED = "value - level has a sign: take the absolute value"
_UNPAIRED = "picture i meets rank i: values[:, None] - levels gives (B, M), all pairs"
_LABELS = {
    "": lambda values, levels: (values[:, None] - levels).abs(),
    _SIGNED: lambda values, levels: values[:, None] - levels,
    "you measure from ranks' numbers, 0 to M - 1: measure from their levels": (
        lambda values, levels: (values[:, None] - torch.arange(len(levels))).abs()),
    "you measure between ranks' numbers: between values and levels": lambda values, levels: (
        (_nearest(values, levels)[:, None] - torch.arange(len(levels))).abs()),
    "you measure from the level of a picture's rank: from its own value": lambda values, levels: (
        (levels[_nearest(values, levels)][:, None] - levels).abs()),
    _UNPAIRED: lambda values, levels: _unpaired(values, levels).abs(),
    f"{_UNPAIRED}; and {_SIGNED}": lambda values, levels: _unpaired(values, levels),
}  # fmt: skip
_PUSH_MEANS = {
    "": lambda weights, d: (weights * d).mean(),
    "that is the sum: take the mean over all pictures and ranks": lambda weights, d: (
        (weights * d).sum()),
    "you sum over the ranks: take the mean over them, too": lambda weights, d: (
        (weights * d).sum(1).mean()),
    "you sum over the pictures: take the mean over them, too": lambda weights, d: (
        (weights * d).mean(1).sum()),
    "you divide by the sum of the weights: take the plain mean": lambda weights, d: (
        (weights * d).sum() / weights.sum()),
}  # fmt: skip
_PUSH_SIGNS = {
    "": torch.neg,
    "the sign is turned round: a distance, made small, pulls to far ranks. Minus it": (
        lambda number: number
    ),
}
PUSHES = (LENGTHS, _ROOTS, _LABELS, _WEIGHTS, _PUSH_MEANS, _PUSH_SIGNS)


def pushed(
    way: Sequence[Callable], features: Tensor, texts: Tensor, values: Tensor, levels: Tensor
) -> Tensor:
    """Return diversity, made one way or another."""
    lengths, roots, labels, weights, mean, sign = way
    apart = roots(distances(*lengths(features.double(), texts.double())))
    return sign(mean(weights(labels(values.double(), levels.double())), apart))


def _nearest(values: Tensor, levels: Tensor) -> Tensor:
    return (values[:, None] - levels).abs().argmin(1)


def _unpaired(values: Tensor, levels: Tensor) -> Tensor:
    return (values - levels)[None] if len(values) == len(levels) else torch.full((1, 1), torch.nan)

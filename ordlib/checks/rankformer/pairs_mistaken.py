"""Tightness and diversity by their definition, and the ways in which they go wrong."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

_LENGTHS = {
    "": lambda f, t: (normalize(f, dim=1), normalize(t, dim=1)),
    "nothing is normalised: bring features and texts to length 1 first": lambda f, t: (f, t),
    "the texts are not normalised: bring them to length 1, too": lambda f, t: (
        normalize(f, dim=1), t),
    "the features are not normalised: bring them to length 1, too": lambda f, t: (
        f, normalize(t, dim=1)),
    "you normalise over the wrong axis: each row to length 1, dim=1": lambda f, t: (
        normalize(f, dim=0), normalize(t, dim=0)),
}  # fmt: skip

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
}
_PULL_SIGNS = {
    "": lambda number: number,
    "the sign is turned round: minus a distance, made small, pushes from the own text": torch.neg,
}
PULLS = (_LENGTHS, _OWN, _SQUARES, _MEANS, _PULL_SIGNS)


def pulled(way: Sequence[Callable], features: Tensor, texts: Tensor, ranks: Tensor) -> Tensor:
    """Return tightness, made one way or another."""
    lengths, own, squares, mean, sign = way
    distances = _distances(*lengths(features.double(), texts.double()))
    return sign(mean(squares(own(distances, ranks), features.shape[1])))


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
    "the weights are divided by greatest less least: by the greatest itself": lambda far: (
        (far - far.min()) / (far.max() - far.min())),
    "the weights are rescaled row by row: least and greatest of the whole matrix": lambda far: (
        (far - far.amin(1, keepdim=True)) / far.amax(1, keepdim=True)),
    "the weights are rescaled row by row, least to greatest: both of the whole matrix, and divide "
    "by the greatest": lambda far: (far - far.amin(1, keepdim=True)) / (
        far.amax(1, keepdim=True) - far.amin(1, keepdim=True)),
    "the weights are rescaled column by column: least and greatest of the whole matrix":
        lambda far: (far - far.amin(0)) / far.amax(0),
    "the weights are squared: take them as they are": lambda far: (
        ((far - far.min()) / far.max()) ** 2),
    "the distances of labels are squared: take |value - level|": lambda far: (
        (far**2 - (far**2).min()) / (far**2).max()),
    "the weights are turned round: the further a rank, the harder the push": lambda far: (
        1 - (far - far.min()) / far.max()),
    "there are no weights: the further a rank, the harder the push": torch.ones_like,
}  # fmt: skip
_SIGNED = "value - level has a sign: take the absolute value"
_LABELS = {
    "": lambda values, levels: (values[:, None] - levels).abs(),
    _SIGNED: lambda values, levels: values[:, None] - levels,
    "you measure from ranks' numbers, 0 to M - 1: measure from their levels": (
        lambda values, levels: (values[:, None] - torch.arange(len(levels))).abs()),
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
PUSHES = (_LENGTHS, _ROOTS, _LABELS, _WEIGHTS, _PUSH_MEANS, _PUSH_SIGNS)


def pushed(
    way: Sequence[Callable], features: Tensor, texts: Tensor, values: Tensor, levels: Tensor
) -> Tensor:
    """Return diversity, made one way or another."""
    lengths, roots, labels, weights, mean, sign = way
    distances = roots(_distances(*lengths(features.double(), texts.double())))
    return sign(mean(weights(labels(values.double(), levels.double())), distances))


def _distances(one: Tensor, other: Tensor) -> Tensor:
    return (one[:, None] - other).square().sum(2).sqrt()

"""Exercise 2: tightness and diversity."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..verdict import Unfinished, called, diagnosing
from .mistakes import mistaken, unreached
from .pairs_mistaken import PULLS, PUSHES, pulled, pushed


class _Batch(NamedTuple):
    features: Tensor
    texts: Tensor
    ranks: Tensor
    values: Tensor
    levels: Tensor


def _drawn(ranks: list[int], values: list[float], levels: list[float]) -> _Batch:
    generator = torch.Generator().manual_seed(len(ranks))
    features, texts = (torch.randn(len(n), 3, generator=generator) for n in (ranks, levels))
    numbers = (torch.tensor(ranks), torch.tensor(values), torch.tensor(levels))
    return _Batch(1.5 * features, 0.7 * texts, *numbers)


# As many pictures as ranks, so that a picture can meet the text of its own number; then not.
# No value is a level, so that the least distance is not 0.
BATCHES = (
    _drawn([3, 0, 4, 2, 3], [8.0, 1.5, 17.0, 5.0, 10.0], [1.0, 2.0, 4.0, 9.0, 20.0]),
    _drawn([1, 0, 3, 2, 3, 1, 0], [3.5, 2.5, 28.0, 12.0, 35.0, 4.0, 1.0], [2.0, 3.0, 11.0, 30.0]),
)


class _Part(NamedTuple):
    """A function that is asked for: its name, what it takes, and how it can go wrong."""

    name: str
    takes: tuple[str, ...]
    ways: tuple[dict[str, Callable], ...]
    made: Callable[..., Tensor]


TIGHTNESS = _Part("my_tightness", ("features", "texts", "ranks"), PULLS, pulled)
DIVERSITY = _Part("my_diversity", ("features", "texts", "values", "levels"), PUSHES, pushed)


@diagnosing
def pull_and_push(my_tightness: Callable, my_diversity: Callable) -> str | None:
    """Pulled to its own words, pushed from the others', the harder the further.

    Args:
        my_tightness: takes ``(B, D)`` features, ``(M, D)`` texts and ``(B,)`` ranks; returns the
            mean squared distance of a picture and its own text, both brought to length 1.
        my_diversity: takes features, texts, ``(B,)`` values and ``(M,)`` levels; returns minus the
            mean weighted distance, the weights being ``|value - level|`` less their least and
            divided by their greatest, over all pictures and ranks.

    Returns:
        A :class:`~ordlib.checks.Verdict`.
    """
    told, stubs = [], 0
    for part, function in ((TIGHTNESS, my_tightness), (DIVERSITY, my_diversity)):
        try:
            complaint = _judged(part, function)
        except Unfinished:
            stubs += 1
            complaint = "it returns nothing yet"
        except Exception as error:  # the other function deserves its answer, too
            complaint = f"it raised {type(error).__name__}: {error}"
        told.append(f"{part.name}: {complaint}" if complaint else f"{part.name} is right")
    if stubs == len(told):
        raise Unfinished
    return None if all(line.endswith(" is right") for line in told) else ". ".join(told)


def _judged(part: _Part, function: Callable) -> str | None:
    for batch in BATCHES:
        given = [getattr(batch, name) for name in part.takes]
        answer = called(lambda given=given: function(*(tensor.clone() for tensor in given)))
        complaint = _misshapen(answer, *map(len, batch[:2])) or _misjudged(part, answer, given)
        if complaint:
            return complaint
    features, texts, *others = (tensor.clone() for tensor in given)
    tracked = {"features": features.requires_grad_(), "texts": texts.requires_grad_()}
    return unreached(function(features, texts, *others), tracked)


def _misshapen(answer: object, pictures: int, ranks: int) -> str | None:
    if not isinstance(answer, Tensor):
        return (
            f"you return a {type(answer).__name__}, which no gradient can pass: return a tensor, "
            "without item or numpy"
        )
    shape = tuple(answer.shape)
    if shape == ():
        return None
    over = {(pictures,): "a number for each picture", (pictures, ranks): "a number for each pair"}
    return f"you return {over.get(shape, f'shape {shape}')}: take the mean, a scalar"


def _misjudged(part: _Part, answer: Tensor, given: list[Tensor]) -> str | None:
    if not answer.isfinite():
        return f"your answer is {answer.item()}: is there a division by 0, or a root of less?"
    diagnosis = mistaken(answer, part.ways, lambda *way: part.made(way, *given))
    if diagnosis is not None:
        return diagnosis
    right = part.made([way[""] for way in part.ways], *given)
    pictures, ranks = len(given[0]), len(given[1])
    return (
        f"for {pictures} pictures and {ranks} ranks the answer is {right:.4f}; yours is "
        f"{answer:.4f}"
    )

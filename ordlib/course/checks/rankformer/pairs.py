"""Exercise 2: tightness and diversity."""

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import torch
from torch import Tensor

from ..match_mistakes import mistaken, unreached
from ..result import Unfinished, called, diagnosing
from .pairs_batches import BATCHES, SQUARE, STANDING, Batch
from .pulls_mistaken import PULLS, pulled
from .pushes_mistaken import PUSHES, pushed


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
        A :class:`Verdict`.
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
        try:
            answer = called(lambda given=given: function(*(tensor.clone() for tensor in given)))
        except RuntimeError as error:
            if "must match the size" not in str(error):
                raise
            return _unfitting(part, function)
        complaint = _misshapen(answer, *map(len, batch[:2])) or _misjudged(part, answer, given)
        if complaint:
            return complaint
    result, tracked = _tracked(part, function, BATCHES[-1])
    return unreached(result, tracked) or _endless(*_tracked(part, function, STANDING))


def _tracked(part: _Part, function: Callable, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    features, texts, *others = (getattr(batch, name).clone() for name in part.takes)
    tracked = {"features": features.requires_grad_(), "texts": texts.requires_grad_()}
    return function(features, texts, *others), tracked


def _endless(result: Tensor, tracked: dict[str, Tensor]) -> str | None:
    """Look at pictures on their words, where the slope of a root is infinite."""
    gradients = torch.autograd.grad(result, list(tracked.values()))
    if result.isfinite() and all(gradient.isfinite().all() for gradient in gradients):
        return None
    what = "gradient" if result.isfinite() else "answer"
    return (
        f"right but where a picture stands on its word: there the {what} is not finite, for a root "
        "has an infinite slope at 0, and rounding may bring it less than 0. torch.cdist minds that"
    )


def _unfitting(part: _Part, function: Callable) -> str:
    """Say why shapes do not fit: where pictures are as many as ranks, they might."""
    given = [getattr(SQUARE, name) for name in part.takes]
    fits = "texts[ranks] gives a row for each picture"
    if part is DIVERSITY:
        fits = "values[:, None] - levels and torch.cdist(features, texts) are both (B, M)"
    diagnosis = None
    with suppress(Exception):  # that shapes do not fit is known
        answer = function(*(tensor.clone() for tensor in given))
        diagnosis = mistaken(answer, part.ways, lambda *way: part.made(way, *given))
    return diagnosis or f"shapes do not fit: {fits}"


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
    asked = f"for {pictures} pictures and {ranks} ranks"
    return f"{asked} the answer is {right:.4f}; yours is {answer:.4f}"

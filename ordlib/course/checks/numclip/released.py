"""Exercise 4: the released form of the ranking regularisation."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..result import Verdict, called, diagnosing
from .definition import array_of, weights_of

POSITIVE = (26.0, 25.0, 24.0, 23.0, 22.0)
MIXED = (10.0, 6.0, 2.0, -2.0, -6.0)
OWN_BINS = (0, 1, 2, 4)


@diagnosing
def negative_logits(function: Callable) -> str | Verdict:
    """The released form: a weight on a logit, which turns round where the logit is negative.

    Args:
        function: takes ``(d,)`` logits and a picture's own bin, returns the loss of the released
            form: cross-entropy of the logits times their weights, 1 in the own bin.

    Returns:
        A :class:`Verdict`: passed with what the form does to negative logits.
    """
    cases = [(logits, own) for logits in (POSITIVE, MIXED) for own in OWN_BINS]
    losses = []
    for logits, own in cases:
        given = torch.tensor(logits, dtype=torch.float64)
        answer = called(lambda given=given, own=own: function(given, own))
        if np.shape(array_of(answer)) != ():
            return f"return one number, the loss; yours has shape {np.shape(array_of(answer))}"
        losses.append(float(array_of(answer)))
    if complaint := _misjudged(np.array(losses), cases) or _backwards(function):
        return complaint
    plain, released = ([form(np.array(s), 0) for s in (POSITIVE, MIXED)] for form in _FORMS)
    return Verdict(
        "passed",
        f"on {list(POSITIVE)} the loss is {released[0]:.2f}, plain cross-entropy's "
        f"{plain[0]:.2f}; on {list(MIXED)} it is {released[1]:.4f} against {plain[1]:.4f}: "
        "there the neighbour's 6 shrinks to 2.4. A negative logit is drawn up by a weight below "
        "1 and pushed down by one above 1, so there it is the far bins that are let off.",
    )


def _released(logits: np.ndarray, own: int) -> float:
    return _cross_entropy(weights_of([own], len(logits))[0] * logits, own)


def _cross_entropy(logits: np.ndarray, own: int) -> float:
    return float(np.logaddexp.reduce(logits) - logits[own])


_FORMS = (_cross_entropy, _released)


def _misjudged(losses: np.ndarray, cases: Sequence[tuple]) -> str | None:
    def of(form: Callable[[np.ndarray, np.ndarray, int], float]) -> np.ndarray:
        return np.array([form(weights_of([own], len(s))[0], np.array(s), own) for s, own in cases])

    def same(wrong: np.ndarray, chosen: np.ndarray | slice = np.s_[:]) -> bool:
        return np.allclose(losses[chosen], wrong[chosen], rtol=1e-3, atol=1e-6)

    right = of(lambda w, s, c: _cross_entropy(w * s, c))
    if same(right):
        return None
    for diagnosis, form in _WRONG_LOSSES:
        if same(of(form)):
            return diagnosis
    positive = np.array([logits is POSITIVE for logits, _ in cases])
    if same(right, positive):
        return (
            "right where all logits are positive, wrong where some are negative: let the weight "
            "multiply them as they are, without abs or clamp"
        )
    first = np.array([own == 0 for _, own in cases])
    if same(right, first):
        return "right for own bin 0, wrong for the others: the distance is |own_bin - j|"
    place = int(np.flatnonzero(~np.isclose(losses, right, rtol=1e-3, atol=1e-6))[0])
    logits, own = cases[place]
    return (
        f"for logits {list(logits)} and own bin {own} the loss is {right[place]:.4g}; yours is "
        f"{losses[place]:.4g}"
    )


def _others(weights: np.ndarray, own: int, value: float) -> np.ndarray:
    """Return the weights with another one in the own bin."""
    return np.where(np.arange(len(weights)) == own, value, weights)


def _log(weights: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(weights, 1e-30))


_PAPER = (
    "that is the paper form: its weight stands on exp(logit); the released one multiplies the "
    "logit itself"
)
_TO_ONE = "your weights sum to 1: in the released form the others sum to d - 1"
_NEGATED = "the sign is turned round: the loss is minus the logarithm"
_ALONE = "the own bin is missing from the denominator: the sum runs over all j, c among them"
_WRONG_LOSSES = [
    (_PAPER, lambda w, s, c: _cross_entropy(s + _log(w), c)),
    (_PAPER, lambda w, s, c: _cross_entropy(
        s + _log(_others(w / (len(w) - 1), c, 1)), c)),
    ("that is plain cross-entropy: where are the weights?", lambda w, s, c: _cross_entropy(s, c)),
    ("a picture's own bin weighs 0: put 1 there", lambda w, s, c: _cross_entropy(
        _others(w, c, 0) * s, c)),
    (_TO_ONE, lambda w, s, c: _cross_entropy(_others(w / (len(w) - 1), c, 1) * s, c)),
    (_TO_ONE, lambda w, s, c: _cross_entropy(_others(w / (len(w) - 1), c, 0) * s, c)),
    (_NEGATED, lambda w, s, c: -_cross_entropy(w * s, c)),
    (_ALONE, lambda w, s, c: np.logaddexp.reduce(np.delete(w * s, c)) - s[c]),
    ("that is a probability: take minus its logarithm",
     lambda w, s, c: np.exp(-_cross_entropy(w * s, c))),
    ("you weigh after the softmax: the weights multiply the logits, before it",
     lambda w, s, c: np.dot(w, np.exp(s - np.logaddexp.reduce(s))) - 1),
    ("the logits are divided by their weights: multiply",
     lambda w, s, c: _cross_entropy(s / w, c)),
]  # fmt: skip


def _backwards(function: Callable) -> str | None:
    """Compare gradients, where the loss is a tensor that has one."""
    for own in OWN_BINS:
        logits = torch.tensor(MIXED, dtype=torch.float64, requires_grad=True)
        loss = function(logits, own)
        if not isinstance(loss, Tensor):
            return None  # a number was asked for, and it is right
        if not loss.requires_grad:
            return "the loss is right, but no gradient reaches the logits: leave out detach, item"
        (gradient,) = torch.autograd.grad(loss, logits)
        weights = torch.tensor(weights_of([own], len(MIXED))[0])
        missed = (weights * logits.detach()).softmax(0)
        missed[own] -= 1
        if torch.allclose(gradient, weights * missed, rtol=1e-3, atol=1e-6):
            continue
        if torch.allclose(gradient, missed, rtol=1e-3, atol=1e-6):
            return (
                "the loss is right, but its gradient lacks the weights: they belong to the graph, "
                "d loss / d logit is the weight times (share - target)"
            )
        return (
            "the loss is right, but its gradient is not: do your weights depend on the logits? "
            "They are constants, of the own bin alone"
        )
    return None

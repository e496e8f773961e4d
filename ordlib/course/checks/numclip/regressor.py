"""Exercise 3: the regressor's read-out."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..result import called, diagnosing

# The last picture stands on its first bin alone, whose move is the largest there is.
LOGITS = torch.tensor(
    [[2.0, 1.0, 0.0], [0.5, 3.0, 1.0], [1.0, 0.0, 2.0], [0.0, 1.0, 0.5], [60.0, 0.0, 0.0]]
)
ANCHORS = torch.tensor([0.2, 0.5, 0.9])
MOVES = torch.tensor(
    [[0.3, -0.2, 0.1], [-0.4, 0.9, 0.2], [-0.7, 0.6, -0.9], [0.8, -0.999, 0.0], [-1.0, 0.0, 0.0]]
)


@diagnosing
def broken_regressor(function: Callable) -> str | None:
    """No move can blow a value up any more: a divisor between 1/2 and 2, and sound gradients.

    Args:
        function: takes ``(B, d)`` logits, ``(d,)`` anchors and ``(B, d)`` moves, -1 to 1, all
            float32; returns ``(B,)`` values: the sum of softmax times anchor, divided by 1 +
            move clamped to 0.5 to 2.

    Returns:
        A :class:`Verdict`.
    """
    logits, moves = LOGITS.clone().requires_grad_(), MOVES.clone().requires_grad_()
    values = called(lambda: function(logits, ANCHORS.clone(), moves))
    if not isinstance(values, Tensor):
        return f"you return a {type(values).__name__}: stay in torch, for the gradient's sake"
    if complaint := _missummed(values, *LOGITS.shape) or _misread(values.detach().double()):
        return complaint
    return _ungraded(values, logits, moves)


def _missummed(values: Tensor, pictures: int, num_bins: int) -> str | None:
    shape = tuple(values.shape)
    if shape == (pictures,):
        return None
    if shape == (num_bins,):
        return f"you sum over the {pictures} pictures: sum over the bins, dim=1"
    if shape == (pictures, num_bins):
        return "a value for each bin is left: sum over the bins, dim=1"
    if shape == ():
        return f"you sum everything to one number: {pictures} pictures have {pictures} values"
    return f"shape {shape} for {pictures} pictures: return ({pictures},)"


def _misread(values: Tensor) -> str | None:
    logits, moves, anchors = LOGITS.double(), MOVES.double(), ANCHORS.double()
    share, divisor = logits.softmax(1), (1 + moves).clamp(0.5, 2)

    def same(wrong: Tensor) -> bool:
        return torch.allclose(values, wrong, rtol=1e-4, atol=1e-5)

    right = (share * anchors / divisor).sum(1)
    if same(right):
        return None
    if not values.isfinite().all():
        return "a value is not finite: at a move of -1 the divisor 1 + move is 0. Clamp the divisor"
    raw = (share * anchors / (1 + moves).clamp(min=1e-30)).sum(1)
    swapped = (logits.softmax(0) * anchors / divisor).sum(1)
    other = "you clamp the moves, not the divisor 1 + move: the bounds 0.5 and 2 are the divisor's"
    mistakes = [
        (other, (share * anchors / (1 + moves.clamp(0.5, 2))).sum(1)),
        (other, (share * anchors / moves.clamp(0.5, 2)).sum(1)),
        ("the logits are no probabilities yet: softmax over the bins",
         (logits * anchors / divisor).sum(1)),
        ("that is a sigmoid: softmax over the bins, so that shares sum to 1",
         (logits.sigmoid() * anchors / divisor).sum(1)),
        ("softmax runs over the pictures: over the bins, dim=1", swapped),
        ("you multiply by the divisor: divide", (share * anchors * divisor).sum(1)),
        ("the moves are left out", (share * anchors).sum(1)),
        ("the anchors are left out", (share / divisor).sum(1)),
        ("you move by adding: divide the anchor by 1 + move",
         (share * (anchors + moves)).sum(1)),
        ("your divisor stops at 1.5: its upper bound is 2 (a move of 1)",
         (share * anchors / (1 + moves).clamp(0.5, 1.5)).sum(1)),
        ("you clamp to at most 1: a divisor above 1 makes a value smaller, and may reach 2",
         (share * anchors / (1 + moves).clamp(0.5, 1)).sum(1)),
        *((f"you clamp the value, not the divisor: {low} to {high} hides the explosion, and its "
           "gradient is 0 there", raw.clamp(low, high)) for low, high in ((0, 1), (0.5, 2))),
    ]  # fmt: skip
    for diagnosis, wrong in mistakes:
        if same(wrong):
            return diagnosis
    # The last picture is one bin alone: its anchor over its value is the divisor that was used.
    used = (ANCHORS[0].item() / values[-1].item()) if values[-1] else np.inf
    if not np.isclose(used, 0.5, rtol=1e-3):
        return f"at a move of -1 your divisor is {used:.2g}: clamp it to at least 0.5"
    picture = int((values - right).abs().argmax())
    return (
        f"for logits {_told(LOGITS[picture])}, anchors {_told(ANCHORS)} and "
        f"moves {_told(MOVES[picture])} the value is {right[picture]:.3f}; "
        f"yours is {values[picture]:.3f}"
    )


def _told(numbers: Tensor) -> list[float]:
    return [round(number, 3) for number in numbers.tolist()]


def _ungraded(values: Tensor, logits: Tensor, moves: Tensor) -> str | None:
    """Say why a regressor whose values are right could not be trained."""
    lost = "no gradient reaches the {}: was it cut off by detach, item or numpy?"
    if not values.requires_grad:
        return lost.format("logits or the moves")
    gradients = torch.autograd.grad(values.sum(), (logits, moves), allow_unused=True)
    for name, gradient in zip(("logits", "moves"), gradients, strict=True):
        if gradient is None or not gradient.any():
            return lost.format(name)
        if not gradient.isfinite().all():
            return (
                f"the values are right, but the gradient to the {name} is NaN: torch.where and "
                "nan_to_num still divide by 0 behind the scenes. Clamp before you divide"
            )
    return None

"""Exercise 3: pairs that are tied."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..match_mistakes import mistaken, unreached
from ..result import called, diagnosing
from .answers import no_tensor

_DRAW = torch.Generator().manual_seed(8)
# Of three targets that are the same, of two pairs, and of none.
TARGETS = ((0.5, -1.0, 0.5, 2.0, 0.5), (1.0, 3.0, 1.0, 3.0, -2.0, 0.0), (0.25, -0.5, 1.0, 0.0))
BATCHES = tuple(
    (2 * torch.randn(len(targets), len(targets), generator=_DRAW), torch.tensor(targets))
    for targets in TARGETS
)
LARGE = 200.0


def _tied(targets: Tensor) -> Tensor:
    return targets[:, None] == targets


def _self(targets: Tensor) -> Tensor:
    return torch.eye(len(targets), dtype=torch.bool)


_TOLD = {
    "": lambda t: (t[:, None] > t).float(),
    "the order is reversed: logit i, j says that i ranks above j, so it is told targets[:, None] > "
    "targets": lambda t: (t[:, None] < t).float(),
    "all pairs are told 1: told is whether i has more than j": lambda t: torch.ones_like(
        t[:, None] * t
    ),
}
_COUNTED = {
    "": lambda t: ~_tied(t),
    "ties count, as if neither ranked above the other (so does the release): leave out every pair "
    "with equal targets, the diagonal among them": lambda t: torch.ones_like(_tied(t)),
    "only the diagonal is left out: two pictures with equal targets are tied, too, and still "
    "told 0": lambda t: ~_self(t),
    "the diagonal counts: a picture is tied with itself": lambda t: ~_tied(t) | _self(t),
    "tied pairs are all that counts: turn your mask round": _tied,
    "only pairs whose first has more count: those told 0 teach as much": lambda t: t[:, None] > t,
    "each pair counts in one order only, i before j: the logits of both orders are told": (
        lambda t: ~_tied(t) & _self(t).logical_not().triu()
    ),
}
_MEANS = {
    "": lambda each, counted: each[counted].sum() / max(int(counted.sum()), 1),
    "that is the sum: divide by the number of pairs that count": lambda each, counted: each[
        counted
    ].sum(),
    "you divide by B * B: pairs left out are no pairs with loss 0. Divide by the number of those "
    "that count": lambda each, counted: each[counted].sum() / counted.numel(),
    "you divide by B * (B - 1): ties are left out as well as the diagonal. Divide by the number "
    "that count": lambda each, counted: each[counted].sum() / (len(counted) * (len(counted) - 1)),
    "you divide by B: there are more pairs than pictures": lambda each, counted: (
        each[counted].sum() / len(counted)
    ),
}
_LOSSES = {
    "": lambda logits, told: F.binary_cross_entropy_with_logits(logits, told, reduction="none"),
    "you take the sigmoid twice: binary_cross_entropy_with_logits wants logits": (
        lambda logits, told: F.binary_cross_entropy_with_logits(
            logits.sigmoid(), told, reduction="none"
        )
    ),
    "only pairs told 1 have a loss: cross-entropy is -log(1 - p) for those told 0": (
        lambda logits, told: -told * F.logsigmoid(logits)
    ),
    "that is a squared error of logits: it is binary cross-entropy": lambda logits, told: (
        logits - told
    ).square(),
    "that is a squared error of probabilities: it is binary cross-entropy": lambda logits, told: (
        logits.sigmoid() - told
    ).square(),
    "the sign is turned round: the loss is minus the logarithm": lambda logits, told: (
        -F.binary_cross_entropy_with_logits(logits, told, reduction="none")
    ),
}
_ZEROED = (
    "you set tied logits to 0, where the loss is not 0 but log 2: leave the pairs themselves out"
)
_HALVED = "ties are told 1/2: that is another way to treat them; here leave them out"


@diagnosing
def ties(function: Callable) -> str | None:
    """What is tied teaches nothing about order: only pairs that differ count.

    Args:
        function: takes ``(B, B)`` logits that i ranks above j and ``(B,)`` targets; returns the
            mean binary cross-entropy over ordered pairs with different targets, a scalar, and 0
            where there are none.

    Returns:
        A :class:`Verdict`.
    """
    for logits, targets in BATCHES:
        given = logits.clone(), targets.clone()
        answer = called(lambda given=given: function(*given))
        if complaint := _misshapen(answer, logits) or _misjudged(answer, logits, targets):
            return complaint
    tracked = {"logits": BATCHES[0][0].clone().requires_grad_()}
    result = function(tracked["logits"], BATCHES[0][1].clone())
    return unreached(result, tracked) or _overflowing(function) or _all_tied(function)


def _misshapen(answer: object, logits: Tensor) -> str | None:
    if complaint := no_tensor(answer, logits.device):
        return complaint
    if answer.shape == ():
        return None
    hint = "take the mean over the pairs that count"
    return f"for logits {tuple(logits.shape)} you return {tuple(answer.shape)}: {hint}, a scalar"


def _misjudged(answer: Tensor, logits: Tensor, targets: Tensor) -> str | None:
    if not answer.isfinite():
        return f"your answer is {answer.item()}: is there a division by 0, or a log of 0?"

    def made(told: Callable, counted: Callable, mean: Callable, loss: Callable) -> Tensor:
        return mean(loss(logits, told(targets)), counted(targets))

    diagnosis = mistaken(answer, (_TOLD, _COUNTED, _MEANS, _LOSSES), made)
    if diagnosis is not None:
        return diagnosis
    told, loss = _TOLD[""](targets), _LOSSES[""]
    silent = logits.masked_fill(_tied(targets), 0)
    half = told + _tied(targets).float() / 2
    for hint, wrong in ((_ZEROED, loss(silent, told)), (_HALVED, loss(logits, half))):
        means = wrong.mean(), wrong.sum(), wrong[~_self(targets)].mean()
        if any(torch.allclose(answer.double(), mean.double(), rtol=1e-4) for mean in means):
            return hint
    right = made(_TOLD[""], _COUNTED[""], _MEANS[""], _LOSSES[""])
    return f"for targets {targets.tolist()} the loss is {right:.4f}; yours is {answer:.4f}"


def _overflowing(function: Callable) -> str | None:
    logits, targets = BATCHES[0]
    answer = function(LARGE * logits, targets.clone())
    right = _pair_loss(LARGE * logits, targets)
    if torch.isclose(answer.to(right), right, rtol=1e-3):
        return None
    return (
        f"right for small logits; for large ones the loss is {right:.4g} and yours {answer:.4g}: "
        "the log of a sigmoid that is rounded to 0 or 1 is lost. "
        "binary_cross_entropy_with_logits minds that"
    )


def _pair_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the masked loss of pairs, safe for any logits."""
    above = (targets[:, None] > targets).to(logits.dtype)
    each = F.softplus(logits) - above * logits
    return each[targets[:, None] != targets].mean()


def _all_tied(function: Callable) -> str | None:
    """Look at a batch of equal targets, and at a picture by itself: no pair is left."""
    for size in (3, 1):
        logits = torch.randn(size, size, requires_grad=True)
        answer = function(logits, torch.ones(size))
        known = f"right, but where all targets are tied ({size} of them) "
        if complaint := _misshapen(answer, logits):
            return known + complaint
        if answer.isnan():
            return f"{known}your answer is NaN, 0 / 0: no pairs have the loss 0. clamp(min=1)"
        if answer.item() != 0:
            return f"{known}your answer is {answer.item():.3g}: no pairs have the loss 0"
        if answer.requires_grad:
            (slope,) = torch.autograd.grad(answer, logits, allow_unused=True)
            if slope is not None and not slope.isfinite().all():
                return (
                    f"{known}the gradient is NaN, though the loss is 0: torch.where or "
                    "nan_to_num hides a 0 / 0 from the loss and not from its gradient. Divide by "
                    "count.clamp(min=1)"
                )
    return None

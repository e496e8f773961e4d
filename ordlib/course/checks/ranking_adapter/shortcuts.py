"""Exercise 1: pairs of pictures from a summary of each."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..match_mistakes import mistaken, unreached
from ..result import called, diagnosing
from .answers import no_tensor

# Every size is another number, so that mix-ups show.
PICTURES, HEADS, TOKENS, WIDTH = 4, 2, 3, 5
AXES = {"N": PICTURES, "H": HEADS, "M": TOKENS, "W": WIDTH}
_DRAW = torch.Generator().manual_seed(4)
LOGS = 2 * torch.randn(PICTURES, HEADS, TOKENS, generator=_DRAW)
MEANS = torch.randn(PICTURES, HEADS, TOKENS, WIDTH, generator=_DRAW)
# float32 has no exponential of more than 88.
FAR = (400.0, -400.0)


def _apart(logs: Tensor) -> Tensor:
    return logs[:, None] - logs


_GATES = {
    "": lambda logs: _apart(logs).sigmoid(),
    "the gate looks the wrong way: the picture with the larger log gets the smaller share. "
    "Of i it is sigmoid(m_i - m_j)": lambda logs: (-_apart(logs)).sigmoid(),
    "your share is of the logs' sum, not their difference": lambda logs: (
        logs[:, None] + logs
    ).sigmoid(),
    "your share is of one picture's log alone: it is the difference of two that counts": (
        lambda logs: logs[:, None].sigmoid().expand(PICTURES, PICTURES, -1, -1)
    ),
    "your share is of the other picture's log alone: it is the difference of two that counts": (
        lambda logs: logs.sigmoid().expand(PICTURES, PICTURES, -1, -1)
    ),
    "you take the softmax over all pictures: a pair knows of two, so it is a sigmoid of "
    "m_i - m_j": lambda logs: logs.softmax(0)[:, None].expand(PICTURES, PICTURES, -1, -1),
    "the gate is always 1/2, as if all logs were equal: it is sigmoid(m_i - m_j)": (
        lambda logs: torch.full_like(_apart(logs), 0.5)
    ),
    "there is no gate: each mean counts whole. It counts by sigmoid(m_i - m_j)": (
        lambda logs: torch.ones_like(_apart(logs))
    ),
    "the difference of the logs itself is your share: where is the sigmoid?": _apart,
    "your share is the exponential of the difference: divide it by itself plus 1, which is the "
    "sigmoid": lambda logs: _apart(logs).exp(),
    "the share is all or nothing: the sigmoid goes smoothly from 0 to 1": (
        lambda logs: (_apart(logs) > 0).float()
    ),
    "you take the tanh of the difference: it is the sigmoid": lambda logs: _apart(logs).tanh(),
}
_PAIRS = {
    "": lambda shares, means: _found(shares, means) - _found(shares, means).transpose(0, 1),
    "i and j have changed places (or one and other): entry i, j is what was found in i less "
    "what was found in j": lambda shares, means: (
        _found(shares, means).transpose(0, 1) - _found(shares, means)
    ),
    "you add what was found in j: take it off": lambda shares, means: (
        _found(shares, means) + _found(shares, means).transpose(0, 1)
    ),
    "only picture i is in it: take off what was found in j": lambda shares, means: _found(
        shares, means
    ),
    "both means count by the share of i: that of j is sigmoid(m_j - m_i)": lambda shares, means: (
        torch.einsum("ijhm,ijhmw->ijhw", shares, means[:, None] - means)
    ),
    "you sum shares and means apart: it is the sum of their products": lambda shares, means: (
        torch.einsum("ijh,ihw->ijhw", shares.sum(-1), means.sum(-2))
        - torch.einsum("jih,jhw->ijhw", shares.sum(-1), means.sum(-2))
    ),
}
_SUMS = {
    "": lambda found: found,
    "you average over the relational tokens m: sum": lambda found: found / TOKENS,
    "you average over the two pictures: no half is needed": lambda found: found / 2,
    "you average over the pictures of the batch: each pair stands for itself": lambda found: (
        found / PICTURES
    ),
}


@diagnosing
def shortcut(function: Callable) -> str | None:
    """A summary of each picture and a gate between two: the attention of all pairs, exactly.

    Args:
        function: takes ``(N, H, M)`` logs and ``(N, H, M, W)`` means; returns ``(N, N, H, W)``:
            sum over m of sigmoid(m_i - m_j) v_i - sigmoid(m_j - m_i) v_j.

    Returns:
        A :class:`Verdict`.
    """
    answer = called(lambda: function(LOGS.clone(), MEANS.clone()))
    if complaint := no_tensor(answer, LOGS.device) or _misshapen(answer) or _misjudged(answer):
        return complaint
    if complaint := _overflowing(function):
        return complaint
    leaves = {"logs": LOGS.clone().requires_grad_(), "means": MEANS.clone().requires_grad_()}
    return unreached(function(*leaves.values())[0, 1], leaves)


def _misshapen(answer: Tensor) -> str | None:
    if answer.shape == (PICTURES, PICTURES, HEADS, WIDTH):
        return None
    letters = {size: name for name, size in AXES.items()}
    shape = [letters.get(size, str(size)) for size in answer.shape]
    told = {
        "NNHMW": "sum over m, the relational tokens",
        "NNHM": "that is the shape of the gates: multiply them with the means, and sum over m",
        "NNMW": "you sum over the heads: sum over m, and keep the heads apart",
        "NNW": "you sum over the heads, too: keep them apart",
        "NHW": "there is no axis of pairs: give logs an axis, logs[:, None] - logs",
        "NHMW": "there is no axis of pairs: give logs an axis, logs[:, None] - logs",
        "HNNW": "put the two axes of pictures first",
        "NHNW": "put the two axes of pictures first",
    }
    hint = told.get("".join(shape), "give (N, N, H, W), an entry for each ordered pair")
    named = f"({', '.join(shape)})" if set(shape) <= set(AXES) else str(tuple(answer.shape))
    return f"you return {named}: {hint}"


def _found(shares: Tensor, means: Tensor) -> Tensor:
    return torch.einsum("ijhm,ihmw->ijhw", shares, means)


def _misjudged(answer: Tensor) -> str | None:
    if not answer.isfinite().all():
        return "your answer is not finite even for small logs: is there a division by 0, or a log?"
    diagnosis = mistaken(
        answer,
        (_GATES, _PAIRS, _SUMS),
        lambda gate, pair, total: total(pair(gate(LOGS), MEANS)),
    )
    if diagnosis is not None:
        return diagnosis
    right = _PAIRS[""](_GATES[""](LOGS), MEANS)
    place = tuple(int(k) for k in torch.unravel_index((answer - right).abs().argmax(), right.shape))
    i, j, *_ = place
    return f"at {place}, pair {i}, {j}, it is {right[place]:.3f}; yours is {answer[place]:.3f}"


def _overflowing(function: Callable) -> str | None:
    """Only differences of logs count, so that a constant added to all changes nothing."""
    right = _PAIRS[""](_GATES[""](LOGS), MEANS)
    for far in FAR:
        answer = function(LOGS + far, MEANS.clone())
        if not answer.isfinite().all():
            return (
                f"right for small logs, but with logs near {far:.0f} some of your answer is "
                f"{answer[~answer.isfinite()][0].item()}: float32 cannot hold exp of that. "
                "exp(a) / (exp(a) + exp(b)) is sigmoid(a - b), which can"
            )
        # Near 400 neighbouring float32 numbers lie 3e-5 apart.
        if not torch.allclose(answer, right, atol=1e-3):
            return (
                f"right for small logs, wrong near {far:.0f}, where the differences are the same: "
                "let nothing but m_i - m_j into the gate, without a clamp or a small number added"
            )
    return None

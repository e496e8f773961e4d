"""Exercises 1 to 3: pairs of pictures, how far from antisymmetric they are, and tied ones."""

from collections.abc import Callable
from functools import partial
from numbers import Real

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ....methods.ranking_adapter.network import RankingAdapterNetwork
from ....methods.ranking_adapter.rank_attention import rank_attention
from ..match_mistakes import furthest, no_tensor, resembling, unreached
from ..result import CheckResult, called, exercise_check

# ------------------------------------------------------------- 1: pairs from summaries
# Every size is another number, so that mix-ups show.
AXES = {"N": 4, "H": 2, "M": 3, "W": 5}
_DRAW = torch.Generator().manual_seed(4)
LOGS = 2 * torch.randn(4, 2, 3, generator=_DRAW)
MEANS = torch.randn(4, 2, 3, 5, generator=_DRAW)
# float32 has no exponential of more than 88.
FAR = (400.0, -400.0)
SHARES = (LOGS[:, None] - LOGS).sigmoid()


def _found(shares: Tensor) -> Tensor:
    return torch.einsum("ijhm,ihmw->ijhw", shares, MEANS)


def _less(found: Tensor) -> Tensor:
    return found - found.transpose(0, 1)


RIGHT = _less(_found(SHARES))
_SHORTCUTS = [
    ("", RIGHT),
    ("the gate looks the wrong way: the picture with the larger log gets the smaller share. "
     "Of i it is sigmoid(m_i - m_j)", _less(_found(1 - SHARES))),
    ("you take the softmax over all pictures: a pair knows of two, so it is a sigmoid of "
     "m_i - m_j", _less(_found(LOGS.softmax(0)[:, None].expand_as(SHARES)))),
    ("i and j have changed places (or one and other): entry i, j is what was found in i less "
     "what was found in j", -RIGHT),
    ("only picture i is in it: take off what was found in j", _found(SHARES)),
    ("you add what was found in j: take it off",
     _found(SHARES) + _found(SHARES).transpose(0, 1)),
    ("both means count by the share of i: that of j is sigmoid(m_j - m_i)",
     _found(SHARES) - torch.einsum("ijhm,jhmw->ijhw", SHARES, MEANS)),
    ("you average over the relational tokens m: sum", RIGHT / 3),
]  # fmt: skip
_SHAPES = {
    "NNHMW": "sum over m, the relational tokens",
    "NHW": "there is no axis of pairs: give logs an axis, logs[:, None] - logs",
}


@exercise_check
def shortcut(function: Callable) -> str | None:
    """A summary of each picture and a gate between two: the attention of all pairs, exactly.

    The function takes ``(N, H, M)`` logs and ``(N, H, M, W)`` means, returns ``(N, N, H, W)``.
    """
    answer = called(function, LOGS, MEANS)
    if complaint := no_tensor(answer):
        return complaint
    if answer.shape != RIGHT.shape:
        letters = {size: name for name, size in AXES.items()}
        shape = [letters.get(size, str(size)) for size in answer.shape]
        hint = _SHAPES.get("".join(shape), "give (N, N, H, W), an entry for each ordered pair")
        return f"you return ({', '.join(shape)}): {hint}"
    if not answer.isfinite().all():
        return "your answer is not finite even for small logs: is there a division by 0, or a log?"
    diagnosis = resembling(answer.detach(), _SHORTCUTS)
    if diagnosis is None:
        place = furthest(answer, RIGHT)
        pair = f"at {place}, pair {place[0]}, {place[1]}"
        return f"{pair}, it is {RIGHT[place]:.3f}; yours is {answer[place]:.3f}"
    if complaint := diagnosis or _overflowing(function):
        return complaint
    return unreached(lambda *given: function(*given)[0, 1], logs=LOGS, means=MEANS)


def _overflowing(function: Callable) -> str | None:
    """Only differences of logs count, so that a constant added to all changes nothing."""
    for far in FAR:
        answer = called(function, LOGS + far, MEANS)
        if not answer.isfinite().all():
            return (
                f"right for small logs, but with logs near {far:.0f} some of your answer is "
                f"{answer[~answer.isfinite()][0].item()}: float32 cannot hold exp of that. "
                "exp(a) / (exp(a) + exp(b)) is sigmoid(a - b), which can"
            )
        # Near 400 neighbouring float32 numbers lie 3e-5 apart.
        if not torch.allclose(answer, RIGHT, atol=1e-3):
            return (
                f"right for small logs, wrong near {far:.0f}, where the differences are the same: "
                "let nothing but m_i - m_j into the gate, without a clamp or a small number added"
            )
    return None


# ------------------------------------------------------------- 2: how far from antisymmetric?


def _matrices() -> dict[str, Tensor]:
    """Return ``(N, N, ...)`` pairs: antisymmetric ones, and some that are so but for a part."""
    draw = torch.Generator().manual_seed(6)
    plain, deep = (torch.randn(*shape, generator=draw) for shape in ((4, 4), (4, 4, 2, 3)))
    odd, odd_deep = (each - each.transpose(0, 1) for each in (plain, deep))
    diagonal, late = odd.clone(), odd_deep.clone()
    diagonal.fill_diagonal_(0.25)
    late[1, 2, 1, 2] -= 0.5
    return {
        "antisymmetric": odd,
        "symmetric": plain + plain.T,
        "antisymmetric but for the diagonal": diagonal,
        "antisymmetric but for one number of many": late,
        "anything": deep,
    }


MATRICES = _matrices()


def _sum(pairs: Tensor) -> Tensor:
    return pairs + pairs.transpose(0, 1)


_FARS: list[tuple[str, Callable[[Tensor], Tensor]]] = [
    ("you subtract the transposed, which says how far pairs are from symmetric: antisymmetric "
     "means p_ij = -p_ji, so add", lambda p: (p - p.transpose(0, 1)).abs().max()),
    ("sums below 0 escape you: take absolute values first", lambda p: _sum(p).max()),
    ("you take the absolute value of the mean, where errors cancel",
     lambda p: _sum(p).mean().abs()),
    ("that is the mean: a single wrong pair among many hardly shows. Take the largest",
     lambda p: _sum(p).abs().mean()),
    ("you leave the diagonal out: a picture against itself must give 0, and p_ii + p_ii says so",
     lambda p: _sum(p)[~torch.eye(len(p), dtype=torch.bool)].abs().max()),
]  # fmt: skip


@exercise_check
def antisymmetry(function: Callable) -> str | CheckResult:
    """How far from antisymmetric: the largest of all that ought to be 0."""
    found = []
    for name, pairs in MATRICES.items():
        try:
            answer = called(function, pairs)
        except RuntimeError as error:
            if "must match the size" not in str(error):
                raise
            return (
                f"{name}: shapes do not fit: i and j are the first two axes, .transpose(0, 1); .T "
                "and .mT exchange others"
            )
        if isinstance(answer, bool) or not isinstance(answer, Real | Tensor | np.ndarray):
            return f"you return a {type(answer).__name__}: return how far, one number"
        if np.shape(answer):
            shape = tuple(np.shape(answer))
            return f"you return shape {shape}: take the largest of all, one number"
        found.append(float(answer))
    wrong = ((told, [way(pairs).item() for pairs in MATRICES.values()]) for told, way in _FARS)
    for (name, pairs), answer in zip(MATRICES.items(), found, strict=True):
        right = _sum(pairs).abs().max().item()
        if not abs(answer - right) <= 1e-5 * max(1.0, right):
            known = f"{name}: the largest |p_ij + p_ji| is {right:.3g}; yours is {answer:.3g}"
            return resembling(found, wrong) or known
    return _praise(function)


def _praise(function: Callable) -> CheckResult:
    """Let the function look at a network: at what attention finds, and at the logits."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        net = RankingAdapterNetwork(width=16, text_width=16).eval()
        tokens = net(torch.randn(6, 9, 16), torch.randn(5, 16))
        pairs = net.pairwise_head
        queries = pairs.query_proj(pairs.relational_tokens).unflatten(-1, (pairs.heads, -1))
        found = rank_attention(queries, pairs.key_proj(tokens).unflatten(-1, (pairs.heads, -1)))
        before, after = float(function(found)), float(function(net.pair_logits(tokens)))
    return CheckResult(
        "passed",
        "the largest of all that ought to be 0, the diagonal among them. In a small fresh network "
        f"what attention finds is off by {before:.1g}; the logits, after biases, norms and ReLUs, "
        f"by {after:.2g}: those layers keep no sign.",
    )


# ------------------------------------------------------------- 3: pairs that are tied
TARGETS = torch.tensor((0.5, -1.0, 0.5, 2.0, 0.5))
LOGITS = 2 * torch.randn(5, 5, generator=torch.Generator().manual_seed(8))
LARGE = 200.0
_DIFFER = TARGETS[:, None] != TARGETS
_ABOVE = (TARGETS[:, None] > TARGETS).float()
_BCE = partial(F.binary_cross_entropy_with_logits, reduction="none")
_EACH = _BCE(LOGITS, _ABOVE)
_TIES = [
    ("", _EACH[_DIFFER].mean()),
    ("ties count, as if neither ranked above the other (so does the release): leave out every "
     "pair with equal targets, the diagonal among them", _EACH.mean()),
    ("only the diagonal is left out: two pictures with equal targets are tied, too, and still "
     "told 0", _EACH[~torch.eye(5, dtype=torch.bool)].mean()),
    ("the order is reversed: logit i, j says that i ranks above j, so it is told "
     "targets[:, None] > targets", _BCE(LOGITS, _ABOVE.T)[_DIFFER].mean()),
    ("that is the sum: divide by the number of pairs that count", _EACH[_DIFFER].sum()),
    ("you divide by B * B: pairs left out are no pairs with loss 0. Divide by the number of "
     "those that count", (_EACH * _DIFFER).mean()),
    ("you set tied logits to 0, where the loss is not 0 but log 2: leave the pairs themselves out",
     _BCE(LOGITS * _DIFFER, _ABOVE).mean()),
    ("you take the sigmoid twice: binary_cross_entropy_with_logits wants logits",
     _BCE(LOGITS.sigmoid(), _ABOVE)[_DIFFER].mean()),
]  # fmt: skip


@exercise_check
def ties(function: Callable) -> str | None:
    """What is tied teaches nothing about order: only pairs that differ count.

    The function takes ``(B, B)`` logits that i ranks above j and ``(B,)`` targets; returns the
    mean binary cross-entropy over ordered pairs with different targets, 0 where there are none.
    """
    answer = called(function, LOGITS, TARGETS)
    if complaint := no_tensor(answer):
        return complaint
    if answer.shape != ():
        hint = "take the mean over the pairs that count"
        return f"for logits (5, 5) you return {tuple(answer.shape)}: {hint}, a scalar"
    if not answer.isfinite():
        return f"your answer is {answer.item()}: is there a division by 0, or a log of 0?"
    diagnosis = resembling(answer.item(), _TIES)
    if diagnosis is None:
        right = _TIES[0][1]
        return f"for targets {TARGETS.tolist()} the loss is {right:.4f}; yours is {answer:.4f}"
    lost = unreached(lambda logits: function(logits, TARGETS.clone()), logits=LOGITS)
    if complaint := diagnosis or lost:
        return complaint
    large = called(function, LARGE * LOGITS, TARGETS)
    right = _BCE(LARGE * LOGITS, _ABOVE)[_DIFFER].mean()
    if not torch.isclose(large.to(right), right, rtol=1e-3):
        return (
            f"right for small logits; for large ones the loss is {right:.4g} and yours "
            f"{large:.4g}: the log of a sigmoid that is rounded to 0 or 1 is lost. "
            "binary_cross_entropy_with_logits minds that"
        )
    return _all_tied(function)


def _all_tied(function: Callable) -> str | None:
    """Look at a batch of equal targets: no pair is left."""
    logits = LOGITS[:3, :3].clone().requires_grad_()
    answer = called(partial(function, logits), torch.ones(3))
    known = "right, but where all targets are tied (3 of them) "
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

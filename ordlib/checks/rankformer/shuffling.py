"""Exercise 4: shuffled ranks."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ...rankformer import RankFormer
from ..verdict import diagnosing
from .answers import asked, one_sided

RANKS, LENGTH, WIDTH = 5, 6, 16
# Three go round, two change places: undoing it is not doing it again. Then two swaps, where it is.
CYCLE, SWAPS = (2, 0, 1, 4, 3), (1, 0, 3, 2, 4)
WORDS = (2, 1, 3, 1, 2)


class _Case(NamedTuple):
    former: dict
    order: tuple[int, ...] = CYCLE
    even: bool = False  # as many words for each rank


_TOKENS, _EVEN, _SWAPS = 'attend="tokens"', "as many words for each rank", "ranks in swapped pairs"
_FAINT, _STILL = "positions at a small alpha", "positions at alpha = 0"
_UNTOUCHED = "positions, all ranks in their place"
CASES = {
    'attend="ranks"': (_Case({}), True),
    _TOKENS: (_Case({"attend": "tokens"}), True),
    'attend="both"': (_Case({"attend": "both"}), True),
    _EVEN: (_Case({}, even=True), True),
    _SWAPS: (_Case({}, SWAPS), True),
    "learned positions": (_Case({"positions": "learned"}), False),
    "sinusoidal positions": (_Case({"positions": "sinusoidal"}), False),
    'sinusoidal positions, attend="both"': (
        _Case({"attend": "both", "positions": "sinusoidal"}),
        False,
    ),
    _FAINT: (_Case({"positions": "sinusoidal", "alpha": 0.001}), False),
    _STILL: (_Case({"positions": "sinusoidal", "alpha": 0.0}), True),
    _UNTOUCHED: (_Case({"positions": "sinusoidal"}, tuple(range(RANKS))), True),
}


@diagnosing
def shuffled(commutes: Callable) -> str | None:
    """Without marks the order of the ranks is nothing to attention; with them it counts.

    Args:
        commutes: takes a :class:`~ordlib.rankformer.RankFormer`, ``(M, L, W)`` prompts, ``(M, L)``
            bool live and an order of the ranks, ``(M,)``; tells whether permuting before gives the
            same as permuting after, but for rounding.

    Returns:
        A :class:`~ordlib.checks.Verdict`.
    """
    answers = asked(commutes, [_given(case) for case, _ in CASES.values()])
    if isinstance(answers, str):
        return answers
    right = [truth for _, truth in CASES.values()]
    if answers == right:
        return None
    return _fooled(answers, right)


def _given(case: _Case) -> tuple[RankFormer, Tensor, Tensor, Tensor]:
    """Return what a case hands over, made anew: an answer cannot spoil it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        former = RankFormer(RANKS, WIDTH, **({"alpha": 0.5} | case.former)).requires_grad_(False)
        if case.former.get("positions") == "learned":
            former.positions.mul_(50)  # as far as training might take them
        prompts = torch.randn(RANKS, LENGTH, WIDTH)
    words = torch.tensor([2] * RANKS if case.even else WORDS)
    places = torch.arange(LENGTH)
    live = (places > 0) & (places <= 1 + words[:, None])
    return former, prompts, live, torch.tensor(case.order)


def _fooled(answers: list[bool], right: list[bool]) -> str:
    said = dict(zip(CASES, answers, strict=True))
    wrong = {name for name, (_, truth) in CASES.items() if said[name] != truth}
    plain = {name for name, (case, _) in CASES.items() if "positions" not in case.former}
    if complaint := one_sided(answers, right):
        if all(answers):
            complaint += ": is your tolerance too loose? Look at a former with positions, too"
        elif not any(answers):
            complaint += ": look at a former without positions, within atol=1e-5"
        return complaint
    if wrong <= {_STILL, _UNTOUCHED}:
        return (
            "you read the former's settings: at alpha = 0, or if nothing changes place, even "
            "one with positions commutes. Compare what comes out"
        )
    if _FAINT in wrong and not wrong & plain:
        return (
            "your tolerance is too loose: at a small alpha what the positions change is small, "
            "but no rounding. atol=1e-5 tells them apart"
        )
    if wrong == plain | {_STILL}:
        return (
            "one side is not permuted: compare former(prompts[order], live[order]) with "
            "former(prompts, live)[order]"
        )
    if wrong == plain - {_SWAPS} | {_STILL}:
        return (
            "right where two ranks change places, wrong where three go round: the other side is "
            "permuted backwards. Permute it by order too, or undo the first by order.argsort()"
        )
    if wrong == plain - {_EVEN}:
        return (
            "live stays where it was: ranks differ in how many words they have, so permute it, "
            "too: live[order]"
        )
    if wrong <= plain:
        return (
            "rounding fools you: in another order sums differ in their last digits. Compare with "
            "torch.allclose and atol=1e-5, not exactly"
        )
    return f"wrong for: {'; '.join(sorted(wrong))}. Compare what comes out, within atol=1e-5"

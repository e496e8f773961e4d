"""Exercise 4: shuffled ranks."""

from collections.abc import Callable, Sequence

import torch

from ..result import diagnosing
from .answers import asked, one_sided
from .shuffled_cases import (
    CASES,
    EVEN,
    FAINT,
    FRESH,
    PLAIN,
    RANKS,
    STILL,
    STUBS,
    SWAPPED,
    UNTOUCHED,
    given,
)
from .shuffled_formers import partly

_BOTH = "compare former(prompts[order], live[order]) with former(prompts, live)[order]"


@diagnosing
def shuffled(commutes: Callable) -> str | None:
    """Without marks the order of the ranks is nothing to attention; with them it counts.

    Args:
        commutes: takes a :class:`~ordlib.RankFormer`, ``(M, L, W)`` prompts, ``(M, L)``
            bool live and an order of the ranks, ``(M,)``; tells whether permuting before gives the
            same as permuting after, but for rounding.

    Returns:
        A :class:`Verdict`.
    """
    handed = [given(case) for case, _ in CASES.values()]
    try:
        answers = asked(commutes, handed)
    except (RuntimeError, AssertionError):
        if complaint := _sideways(handed):
            return complaint
        raise
    if isinstance(answers, str):
        return answers
    right = [truth for _, truth in CASES.values()]
    if answers == right:
        return None
    return _sideways(handed) or _constant(answers, right) or _fooled(answers)


def _sideways(handed: Sequence[tuple]) -> str | None:
    """Tell whether a former was called with shuffled positions, or as many as there are ranks."""
    for former, prompts, *_ in handed:
        for seen in former.seen:
            moved = seen.shape == prompts.shape and not torch.equal(seen, prompts)
            same = moved and torch.equal(seen.sort(1).values, prompts.sort(1).values)
            if same or len(seen) == RANKS == seen.shape[1]:
                return "you shuffle the positions, axis 1; the ranks are axis 0: prompts[order]"
    return None


def _constant(answers: list[bool], right: list[bool]) -> str | None:
    complaint = one_sided(answers, right)
    if complaint and all(answers):
        return f"{complaint}: is your tolerance too loose? Look at a former with positions, too"
    if complaint and not any(answers):
        return f"{complaint}: look at a former without positions, where only rounding differs"
    return complaint


def _fooled(answers: list[bool]) -> str:
    wrong = {
        name for (name, (_, truth)), a in zip(CASES.items(), answers, strict=True) if a != truth
    }
    for found, diagnosis in (
        (
            wrong == STUBS | {STILL, UNTOUCHED},
            "you read the former's settings: what it does may be another matter. Compare what "
            "comes out",
        ),
        (
            wrong == PLAIN | {STILL},
            f"one side is not permuted: {_BOTH}",
        ),
        (
            wrong == PLAIN | {UNTOUCHED},
            "compare with former(prompts, live)[order], not with the prompts",
        ),
        (
            wrong == PLAIN - {SWAPPED} | {STILL},
            "right where two ranks change places, wrong where three go round: the other side is "
            "permuted backwards. Permute it by order too, or undo the first by order.argsort()",
        ),
        (
            wrong == PLAIN - {EVEN},
            "live stays where it was: ranks differ in how many words they have, so permute it, "
            "too: live[order]",
        ),
        (
            wrong <= {FAINT, FRESH},
            "your tolerance is too loose: at a small alpha what the positions change is small, "
            "but no rounding. How large is rounding, measured on a former without positions?",
        ),
        (
            wrong & {STILL, UNTOUCHED} and not wrong & PLAIN,
            "use the order you are given and the former's own alpha: nothing may move, and alpha "
            "may be 0, and then even one with positions commutes. Compare what comes out",
        ),
        (
            wrong <= PLAIN,
            "rounding fools you: in another order sums differ in their last digits. Do not "
            "compare exactly, nor with torch.allclose's own atol, too strict for numbers near 0",
        ),
    ):
        if found:
            return diagnosis
    if wrong & STUBS and not wrong & (PLAIN | {STILL, UNTOUCHED}):
        return partly(wrong & STUBS)
    named = "; ".join(sorted(wrong - STUBS))
    return f"wrong for: {named}. Compare what comes out: {_BOTH}"

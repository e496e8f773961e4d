"""Exercises 3 and 4: answers of yes or no, about many cases."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ....losses import diversity, tightness
from ....methods.l2rclip import RankFormer
from ..result import called, exercise_check


def _asked(function: Callable, cases: Sequence[Sequence]) -> list[bool] | str:
    """Return the learner's answers to all cases, or why one of them is no answer."""
    answers = []
    for case in cases:
        answer = called(lambda case=case: function(*case))
        tensor = isinstance(answer, Tensor) and answer.dtype == torch.bool and answer.numel() == 1
        if not tensor and not isinstance(answer, bool | np.bool_):
            return (
                f"you return a {type(answer).__name__}: answer True or False, for instance with "
                "bool(...)"
            )
        answers.append(bool(answer))
    return answers


def _one_sided(answers: list[bool], right: list[bool], *hints: str) -> str | None:
    """Say whether answers are all False or all True, with a hint for each, or turned round."""
    if len(set(answers)) == 1:
        return f"you answer {answers[0]} whatever comes: {hints[answers[0]]}"
    if all(answer != truth for answer, truth in zip(answers, right, strict=True)):
        return "every answer is turned round: exchange True and False"
    return None


# ------------------------------------------------------------- 3: a sign error
# What may stand around diversity: a factor, a constant, and a pull to the own word: gentle, as the
# notebook's own loss has it, or so strong that it tells the least change of that distance.
KINDS = {
    "plain": (1, 0, 0), "times 3": (3, 0, 0), "plus 10": (1, 10, 0), "less 10": (1, -10, 0),
    "with a gentle pull": (1, 0, 0.05), "with a pull": (1, 0, 1), "with a strong pull": (1, 0, 10),
}  # fmt: skip
LOSSES = tuple(product(KINDS, (False, True)))
_ASIDE = (
    "keep the picture equally far from its own word in both situations, or move the words of a far "
    "rank instead"
)


@exercise_check
def sign(is_flipped: Callable) -> str | None:
    """A loss is known by what it prefers, not by its value.

    The function takes a loss of ``(B, D)`` features, ``(M, D)`` texts, ``(B,)`` values and
    ``(M,)`` rank_values; tells whether it pulls to far ranks, as a diversity of the wrong sign does.
    """
    cases = [(_loss(*KINDS[kind], flipped),) for kind, flipped in LOSSES]
    runs = [_asked(is_flipped, cases) for _ in range(3)]
    answers, right = runs[0], [flipped for _, flipped in LOSSES]
    if isinstance(answers, str):
        return answers
    if runs != [answers] * 3:
        return (
            "the same loss gets other answers at other times: ask the loss, and nothing else. "
            f"Random pictures and words prove little: place them yourself. {_ASIDE.capitalize()}"
        )
    turn = "turn a picture towards a far rank, and away. Which costs less?"
    if complaint := _one_sided(answers, right, turn, turn):
        return complaint
    wrong = {case for case, a, r in zip(LOSSES, answers, right, strict=True) if a != r}
    if {("plus 10", False), ("less 10", True)} <= wrong:
        return (
            "you look at the sign of the value, and a constant added to the loss fools you: "
            "compare the loss at two places, or take its gradient"
        )
    if not wrong:
        return None
    if all(kind.endswith("pull") for kind, _ in wrong):
        return f"a pull to the own rank beside diversity fools you: {_ASIDE}"
    named = ", ".join(f"{'flipped' if flip else 'right'} {kind}" for kind, flip in sorted(wrong))
    return f"wrong for: {named}. Compare two situations: {_ASIDE}"


def _loss(factor: float, constant: float, pull: float, flipped: bool) -> Callable:
    """Return a loss that does not tell by its name what it is."""
    direction = -factor if flipped else factor

    def loss(features: Tensor, texts: Tensor, values: Tensor, rank_values: Tensor) -> Tensor:
        values, rank_values = values.float(), rank_values.float()
        own = (values[:, None] - rank_values).abs().argmin(1)
        push = direction * diversity(features, texts, values, rank_values)
        return push + constant + pull * tightness(features, texts, own)

    return loss


# ------------------------------------------------------------- 4: shuffled ranks
RANKS, LENGTH, WIDTH = 5, 6, 16
# Three go round, two change places: undoing it is not doing it again. Then swaps, where it is.
CYCLE, SWAPS, INNER = (2, 0, 1, 4, 3), (1, 0, 3, 2, 4), (0, 2, 1, 3, 4)
WORDS = (2, 1, 3, 1, 2)
# Word embeddings of real CLIPs and trained marks are about so large.
SMALL, TRAINED = 0.08, 50
# Position 2 is alive in all ranks.
PLACE, FEATURES = 2, [7, 8]
# Of numbers about 1 in single precision: what sums in another order differ by.
ROUNDING = 4e-7


class Watched(RankFormer):
    """Keep what it is called with, round as single precision does, and disturb what comes out.

    How a CPU rounds is its own affair, and whether an answer passes must not depend on it. So the
    former, a double-precision one, computes without rounding to speak of, and then every place in
    the batch is rounded its own way: the same on all machines, and another one for a rank that
    was moved.
    """

    def __init__(self, *given: object, disturb: Callable | None = None, **choices: object) -> None:
        super().__init__(*given, **choices)
        self.disturb, self.seen = disturb, []

    def forward(self, prompts: Tensor, live: Tensor, alpha: float | None = None) -> Tensor:
        """Return blended prompts, disturbed."""
        self.seen.append(prompts.detach().clone())
        exact = super().forward(prompts.double(), live, alpha)
        blended = torch.where(exact == prompts, exact, exact + _rounding(prompts)).float()
        return blended if self.disturb is None else self.disturb(blended, prompts)


def _rounding(prompts: Tensor) -> Tensor:
    signs = torch.randint(2, prompts.shape, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return ROUNDING * prompts.abs().mean().double() * signs


def _bent(rank: int) -> Callable:
    """Return a disturbance at one place of one rank, which no mean feels."""
    shift = torch.zeros(RANKS, LENGTH, WIDTH)
    shift[rank, PLACE, FEATURES] = torch.tensor([-1.0, 1.0])
    return lambda blended, prompts: blended + shift


class Case(NamedTuple):
    """A former, an order of its ranks, and prompts."""

    former: dict
    commutes: bool
    order: tuple[int, ...] = CYCLE
    even: bool = False  # as many words for each rank
    size: float = 1.0  # of prompts


_SINES = {"rank_pos_embed": "sinusoidal"}
EVEN, SWAPPED = "as many words for each rank", "ranks in swapped pairs"
FAINT, FRESH = "positions at a small alpha", "small embeddings at a small alpha"
STILL, UNTOUCHED = "positions at alpha = 0", "positions, all ranks in their place"
# In these orders no rank, and neither end, comes out alike by accident.
DISTURBED = {
    "ranks rolled on": Case({"disturb": lambda b, prompts: b.roll(1, 0)}, False, SWAPS),
    "the first rank bent": Case({"disturb": _bent(0)}, False),
    "the middle rank bent": Case({"disturb": _bent(2)}, False, INNER),
    "the last rank bent": Case({"disturb": _bent(4)}, False),
    # A shift of all numbers alike is a difference of one sign only.
    "all raised": Case({"disturb": lambda b, prompts: b + 10 * prompts[0, 1:3].mean()}, False),
    "all lowered": Case({"disturb": lambda b, prompts: b - 10 * prompts[0, 1:3].mean()}, False),
}
CASES = {
    'attention_over="ranks"': Case({}, True),
    'attention_over="tokens"': Case({"attention_over": "tokens"}, True),
    'attention_over="both"': Case({"attention_over": "both"}, True),
    EVEN: Case({}, True, even=True),
    SWAPPED: Case({}, True, SWAPS),
    "learned positions": Case({"rank_pos_embed": "learned"}, False),
    "sinusoidal positions": Case(_SINES, False),
    'sinusoidal positions, attention_over="both"': Case(_SINES | {"attention_over": "both"}, False),
    FAINT: Case(_SINES | {"alpha": 0.001}, False),
    FRESH: Case({"rank_pos_embed": "learned", "alpha": 0.002}, False, size=SMALL),
    STILL: Case(_SINES | {"alpha": 0.0}, True),
    UNTOUCHED: Case(_SINES, True, tuple(range(RANKS))),
} | DISTURBED
PLAIN = {name for name, case in CASES.items() if case.commutes} - {STILL, UNTOUCHED}


def _given(case: Case, trained: float) -> tuple[Watched, Tensor, Tensor, Tensor]:
    """Return what a case hands over, made anew: an answer cannot spoil it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        former = Watched(RANKS, WIDTH, **({"alpha": 0.5} | case.former)).requires_grad_(False)
        if case.former.get("positions") == "learned":
            former.positions.mul_(trained)
        former.double()
        prompts = case.size * torch.randn(RANKS, LENGTH, WIDTH)
    words = torch.tensor([2] * RANKS if case.even else WORDS)
    places = torch.arange(LENGTH)
    live = (places > 0) & (places <= 1 + words[:, None])
    return former, prompts, live, torch.tensor(case.order)


@exercise_check
def shuffled(commutes: Callable) -> str | None:
    """Without marks the order of the ranks is nothing to attention; with them it counts.

    The function takes a :class:`~ordlib.RankFormer`, ``(M, L, W)`` prompts, ``(M, L)`` bool live
    and an order of the ranks, ``(M,)``; tells whether permuting before gives the same as
    permuting after, but for rounding.
    """
    handed = [_given(case, 1 if name == FRESH else TRAINED) for name, case in CASES.items()]
    try:
        answers = _asked(commutes, handed)
    except (RuntimeError, AssertionError):
        answers = _sideways(handed)
        if not answers:
            raise
    if isinstance(answers, str):
        return answers
    right = [case.commutes for case in CASES.values()]
    if answers == right:
        return None
    loose = "is your tolerance too loose? Look at a former with positions, too"
    strict = "look at a former without positions, where only rounding differs"
    one_sided = _one_sided(answers, right, strict, loose)
    wrong = {name for name, a, truth in zip(CASES, answers, right, strict=True) if a != truth}
    return _sideways(handed) or one_sided or _fooled(wrong)


def _sideways(handed: Sequence[tuple]) -> str | None:
    """Tell whether a former was called with shuffled positions, or as many as there are ranks."""
    for former, prompts, *_ in handed:
        for seen in former.seen:
            moved = seen.shape == prompts.shape and not torch.equal(seen, prompts)
            same = moved and torch.equal(seen.sort(1).values, prompts.sort(1).values)
            if same or len(seen) == RANKS == seen.shape[1]:
                return "you shuffle the positions, axis 1; the ranks are axis 0: prompts[order]"
    return None


def _fooled(wrong: set[str]) -> str:
    """Say what explains the cases that were answered wrongly."""
    both = "compare former(prompts[order], live[order]) with former(prompts, live)[order]"
    if wrong == set(DISTURBED) | {STILL, UNTOUCHED}:
        return (
            "you read the former's settings: what it does may be another matter. Compare what "
            "comes out"
        )
    if wrong == PLAIN | {STILL}:
        return f"one side is not permuted: {both}"
    if wrong == PLAIN - {SWAPPED} | {STILL}:
        return (
            "right where two ranks change places, wrong where three go round: the other side is "
            "permuted backwards. Permute it by order too, or undo the first by order.argsort()"
        )
    if wrong == PLAIN - {EVEN}:
        return (
            "live stays where it was: ranks differ in how many words they have, so permute it, "
            "too: live[order]"
        )
    if wrong <= {FAINT, FRESH}:
        return (
            "your tolerance is too loose: at a small alpha what the positions change is small, "
            "but no rounding. How large is rounding, measured on a former without positions?"
        )
    if wrong & {STILL, UNTOUCHED} and not wrong & PLAIN:
        return (
            "use the order you are given and the former's own alpha: nothing may move, and alpha "
            "may be 0, and then even one with positions commutes. Compare what comes out"
        )
    if wrong <= PLAIN:
        return (
            "rounding fools you: in another order sums differ in their last digits. Do not "
            "compare exactly, nor with torch.allclose's own atol, too strict for numbers near 0"
        )
    if not wrong <= set(DISTURBED) | {FAINT, FRESH}:
        named = "; ".join(sorted(wrong - set(DISTURBED)))
        return f"wrong for: {named}. Compare what comes out: {both}"
    if "ranks rolled on" in wrong:
        return "a sum or a mean over the ranks does not know their order: compare rank by rank"
    if wrong <= {"all raised", "all lowered"}:
        return "differences below 0 escape you: take their absolute values, or torch.allclose"
    return "you compare some of the numbers and not all: compare every number, and no mean"

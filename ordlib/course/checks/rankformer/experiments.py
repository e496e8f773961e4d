"""Exercises 3 and 4: functions of the learner that answer True or False in many cases."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ....losses import diversity, tightness
from ....methods.l2rclip import RankFormer
from ..result import call_solution, exercise_check


def collect_answers(function: Callable, cases: Sequence[Sequence]) -> list[bool] | str:
    """Return the learner's answers to all cases, or a diagnosis if one is not a bool."""
    answers = []
    for case in cases:
        answer = call_solution(lambda case=case: function(*case))
        tensor = isinstance(answer, Tensor) and answer.dtype == torch.bool and answer.numel() == 1
        if not tensor and not isinstance(answer, bool | np.bool_):
            kind = type(answer).__name__
            return f"you return a {kind}: answer True or False, for instance with bool(...)"
        answers.append(bool(answer))
    return answers


def _check_one_sided(answers: list[bool], expected: list[bool], *hints: str) -> str | None:
    """Return a diagnosis if answers are all False, all True (a hint for each), or inverted."""
    if len(set(answers)) == 1:
        return f"you answer {answers[0]} in all cases: {hints[answers[0]]}"
    if all(a != b for a, b in zip(answers, expected, strict=True)):
        return "every answer is inverted: exchange True and False"
    return None


# ------------------------------------------------------------- 3: a sign error
# What is added to diversity: a factor, a constant, and a tightness term, as weak as in the
# notebook's own loss or so strong that it dominates.
KINDS = {
    "plain": (1, 0, 0), "times 3": (3, 0, 0), "plus 10": (1, 10, 0), "less 10": (1, -10, 0),
    "with a gentle pull": (1, 0, 0.05), "with a pull": (1, 0, 1), "with a strong pull": (1, 0, 10),
}  # fmt: skip
LOSSES = tuple(product(KINDS, (False, True)))
_HINT = "keep the image equally far from its own prompt in both, or move the prompt of a far rank"


@exercise_check
def sign(is_flipped: Callable) -> str | None:
    """A loss is known by what it prefers, not by its value.

    The function takes a loss of ``(B, D)`` features, ``(M, D)`` texts, ``(B,)`` values and
    ``(M,)`` rank_values; returns whether it pulls to far ranks, like a diversity of wrong sign.
    """
    cases = [(_make_loss(*KINDS[kind], -1 if flipped else 1),) for kind, flipped in LOSSES]
    runs = [collect_answers(is_flipped, cases) for _ in range(3)]
    answers, expected = runs[0], [flipped for _, flipped in LOSSES]
    if isinstance(answers, str):
        return answers
    if runs != [answers] * 3:
        return "the same loss gets different answers: choose images and texts, not random ones"
    turn = "turn an image towards a far rank, and away, equally far from its own. Which costs less?"
    if message := _check_one_sided(answers, expected, turn, turn):
        return message
    wrong = {case for case, a, b in zip(LOSSES, answers, expected, strict=True) if a != b}
    if {("plus 10", False), ("less 10", True)} <= wrong:
        return "you use the sign of the value, which a constant changes: compare two situations"
    if not wrong:
        return None
    if all(kind.endswith("pull") for kind, _ in wrong):
        return f"a pull to the own rank changes your answer. Compare two situations: {_HINT}"
    named = ", ".join(f"{'flipped' if flip else 'right'} {kind}" for kind, flip in sorted(wrong))
    return f"wrong for: {named}. Compare two situations: {_HINT}"


def _make_loss(factor: float, constant: float, pull: float, direction: int) -> Callable:
    """Return a loss whose name does not reveal its direction."""

    def loss(features: Tensor, texts: Tensor, values: Tensor, rank_values: Tensor) -> Tensor:
        values, rank_values = values.float(), rank_values.float()
        ranks = (values[:, None] - rank_values).abs().argmin(1)
        push = direction * factor * diversity(features, texts, values, rank_values)
        return push + constant + pull * tightness(features, texts, ranks)

    return loss


# ------------------------------------------------------------- 4: shuffled ranks
NUM_RANKS, LENGTH, WIDTH = 5, 6, 16
# A permutation that is not its own inverse; then two that are.
CYCLE, SWAPS, INNER = (2, 0, 1, 4, 3), (1, 0, 3, 2, 4), (0, 2, 1, 3, 4)
NAME_LENGTHS = (2, 1, 3, 1, 2)
# About the scale of a real CLIP's token embeddings, and of trained positional embeddings.
SMALL_SCALE, TRAINED_FACTOR = 0.08, 50
# In the mask of all ranks.
POSITION, FEATURES = 2, [7, 8]
# Relative difference of single-precision sums in another order, for numbers of about 1.
ROUNDING = 4e-7


class RecordingRankFormer(RankFormer):
    """RankFormer that records its inputs, simulates float32 rounding and can disturb its output.

    It computes in float64 and adds a fixed rounding pattern at each position of the batch. So the
    result is the same on all machines, and differs for a rank that moves within the batch.
    """

    def __init__(self, *args: object, disturb: Callable | None = None, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.disturb, self.inputs = disturb, []

    def forward(self, prompts: Tensor, mask: Tensor, alpha: float | None = None) -> Tensor:
        """Return blended prompts, disturbed."""
        self.inputs.append(prompts.detach().clone())
        exact = super().forward(prompts.double(), mask, alpha)
        signs = torch.randint(2, prompts.shape, generator=torch.Generator().manual_seed(1)) * 2 - 1
        rounded = exact + ROUNDING * prompts.abs().mean().double() * signs
        blended = torch.where(exact == prompts, exact, rounded).float()
        return blended if self.disturb is None else self.disturb(blended, prompts)


def _shift_rank(rank: int) -> Callable:
    """Return a disturbance at one position of one rank that leaves the mean unchanged."""
    shift = torch.zeros(NUM_RANKS, LENGTH, WIDTH)
    shift[rank, POSITION, FEATURES] = torch.tensor([-1.0, 1.0])
    return lambda blended, prompts: blended + shift


class Case(NamedTuple):
    """Arguments of a RankFormer, an order of its ranks, and prompts."""

    options: dict
    commutes: bool
    order: tuple[int, ...] = CYCLE
    equal_lengths: bool = False  # of all rank names
    scale: float = 1.0  # of prompts


_SINUSOIDAL = {"rank_pos_embed": "sinusoidal"}
EQUAL_LENGTHS, SWAPPED = "as many words for each rank", "ranks in swapped pairs"
SMALL_ALPHA = "positional embeddings at a small alpha"
SMALL_EMBEDDINGS = "small embeddings at a small alpha"
ALPHA_ZERO = "positional embeddings at alpha = 0"
IDENTITY = "positional embeddings, order unchanged"
# No rank, and neither the first nor the last, is the same by accident in these orders.
DISTURBED = {
    "ranks rolled on": Case({"disturb": lambda b, prompts: b.roll(1, 0)}, False, SWAPS),
    "the first rank shifted": Case({"disturb": _shift_rank(0)}, False),
    "the middle rank shifted": Case({"disturb": _shift_rank(2)}, False, INNER),
    "the last rank shifted": Case({"disturb": _shift_rank(4)}, False),
    # The differences of all numbers have the same sign.
    "all raised": Case({"disturb": lambda b, prompts: b + 10 * prompts[0, 1:3].mean()}, False),
    "all lowered": Case({"disturb": lambda b, prompts: b - 10 * prompts[0, 1:3].mean()}, False),
}
CASES = {
    'attention_over="ranks"': Case({}, True),
    'attention_over="tokens"': Case({"attention_over": "tokens"}, True),
    'attention_over="both"': Case({"attention_over": "both"}, True),
    EQUAL_LENGTHS: Case({}, True, equal_lengths=True),
    SWAPPED: Case({}, True, SWAPS),
    'rank_pos_embed="learned"': Case({"rank_pos_embed": "learned"}, False),
    'rank_pos_embed="sinusoidal"': Case(_SINUSOIDAL, False),
    'sinusoidal, attention_over="both"': Case(_SINUSOIDAL | {"attention_over": "both"}, False),
    SMALL_ALPHA: Case(_SINUSOIDAL | {"alpha": 0.001}, False),
    SMALL_EMBEDDINGS: Case({"rank_pos_embed": "learned", "alpha": 0.002}, False, scale=SMALL_SCALE),
    ALPHA_ZERO: Case(_SINUSOIDAL | {"alpha": 0.0}, True),
    IDENTITY: Case(_SINUSOIDAL, True, tuple(range(NUM_RANKS))),
} | DISTURBED
TRIVIAL = {ALPHA_ZERO, IDENTITY}
PLAIN = {name for name, case in CASES.items() if case.commutes} - TRIVIAL


def _arguments(case: Case) -> tuple[RecordingRankFormer, Tensor, Tensor, Tensor]:
    """Return the arguments of a case, created anew so that no answer can change them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        options = {"alpha": 0.5} | case.options
        former = RecordingRankFormer(NUM_RANKS, WIDTH, **options).requires_grad_(False)
        if case.options.get("rank_pos_embed") == "learned" and case.scale == 1:
            former.pos_embed.mul_(TRAINED_FACTOR)
        prompts = case.scale * torch.randn(NUM_RANKS, LENGTH, WIDTH)
    lengths = torch.tensor([2] * NUM_RANKS if case.equal_lengths else NAME_LENGTHS)
    positions = torch.arange(LENGTH)
    mask = (positions > 0) & (positions <= 1 + lengths[:, None])
    return former.double(), prompts, mask, torch.tensor(case.order)


@exercise_check
def shuffled(commutes: Callable) -> str | None:
    """Without positional embeddings attention ignores the order of the ranks; with them it counts.

    The function takes a RankFormer, ``(M, L, W)`` prompts, ``(M, L)`` bool mask and ``(M,)`` order;
    returns whether permuting the ranks before or after gives the same, up to rounding.
    """
    calls = [_arguments(case) for case in CASES.values()]
    try:
        answers = collect_answers(commutes, calls)
    except (RuntimeError, AssertionError):
        if not (answers := _check_permuted_axis(calls)):
            raise
    if isinstance(answers, str):
        return answers
    expected = [case.commutes for case in CASES.values()]
    wrong = {name for name, a, b in zip(CASES, answers, expected, strict=True) if a != b}
    if not wrong:
        return None
    loose = "is your tolerance too large? Try a former with positional embeddings, too"
    strict = "try a former without positional embeddings, where only rounding differs"
    one_sided = _check_one_sided(answers, expected, strict, loose)
    return _check_permuted_axis(calls) or one_sided or _explain(wrong)


def _check_permuted_axis(calls: Sequence[tuple]) -> str | None:
    """Return a diagnosis if a former was called with permuted positions instead of ranks."""
    for former, prompts, *_ in calls:
        for given in former.inputs:
            changed = given.shape == prompts.shape and not torch.equal(given, prompts)
            permuted = changed and torch.equal(given.sort(1).values, prompts.sort(1).values)
            if permuted or len(given) == NUM_RANKS == given.shape[1]:
                return "you permute the positions, axis 1; the ranks are axis 0: prompts[order]"
    return None


def _explain(wrong: set[str]) -> str:
    """Return the mistake that explains which cases are wrong."""
    disturbed, small = set(DISTURBED), {SMALL_ALPHA, SMALL_EMBEDDINGS}
    both = "compare former(prompts[order], mask[order]) with former(prompts, mask)[order]"
    if wrong == disturbed | TRIVIAL:
        return "you use the former's settings, which do not determine its output: compare outputs"
    if wrong == PLAIN | {ALPHA_ZERO}:
        return f"only one of the two results is permuted: {both}"
    if wrong == PLAIN - {SWAPPED} | {ALPHA_ZERO}:
        return "right for swaps, wrong for cycles: you applied the inverse of order to one result"
    if wrong == PLAIN - {EQUAL_LENGTHS}:
        return "the mask is not permuted: rank names differ in length, so use mask[order], too"
    if wrong <= small:
        return "your tolerance is too large for a small alpha: measure what rounding alone changes"
    if wrong & TRIVIAL and not wrong & PLAIN:
        return "use the order and the alpha of the RankFormer that you are given, whatever they are"
    if wrong <= PLAIN:
        return "your answer depends on rounding: pass torch.allclose an atol above its default"
    if not wrong <= disturbed | small:
        return f"wrong for: {'; '.join(sorted(wrong - disturbed))}. Compare outputs: {both}"
    if "ranks rolled on" in wrong:
        return "a sum or a mean over the ranks ignores their order: compare rank by rank"
    if wrong <= {"all raised", "all lowered"}:
        return "you ignore differences below 0: take absolute values, or use torch.allclose"
    return "you compare only some of the numbers: compare every number, and no mean"

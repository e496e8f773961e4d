"""Exercise 3: find a sign error by experiment."""

from collections.abc import Callable
from itertools import product
from random import Random

from torch import Tensor

from ....losses import diversity, tightness
from ..result import diagnosing
from .answers import asked, one_sided

# What may stand around diversity: a factor, a constant, and a pull to the own word: gentle, as the
# notebook's own loss has it, or so strong that it tells the least change of that distance.
KINDS = {
    "plain": (1.0, 0.0, 0.0),
    "times 3": (3.0, 0.0, 0.0),
    "plus 10": (1.0, 10.0, 0.0),
    "less 10": (1.0, -10.0, 0.0),
    "with a gentle pull": (1.0, 0.0, 0.05),
    "with a pull": (1.0, 0.0, 1.0),
    "with a strong pull": (1.0, 0.0, 10.0),
}
PULLED = {kind for kind, (_, _, pull) in KINDS.items() if pull}
CASES = tuple(product(KINDS, (False, True)))
TIMES = 3
_ASIDE = (
    "keep the picture equally far from its own word in both situations, or move the words of a far "
    "rank instead"
)


@diagnosing
def sign(is_flipped: Callable) -> str | None:
    """A loss is known by what it prefers, not by its value.

    Args:
        is_flipped: takes a loss of ``(B, D)`` features, ``(M, D)`` texts, ``(B,)`` values and
            ``(M,)`` levels, a scalar; tells whether it pulls to far ranks, as diversity does with
            its sign turned round.

    Returns:
        A :class:`Verdict`.
    """
    runs = [_in_some_order(is_flipped, Random(seed)) for seed in range(TIMES)]
    for answers in runs:
        if isinstance(answers, str):
            return answers
    right = [flipped for _, flipped in CASES]
    if runs == [right] * TIMES:
        return None
    if any(answers != runs[0] for answers in runs):
        return (
            "the same loss gets other answers at other times: ask the loss, and nothing else. "
            f"Random pictures and words prove little: place them yourself. {_ASIDE.capitalize()}"
        )
    return _fooled(runs[0], right)


def _in_some_order(is_flipped: Callable, random: Random) -> list[bool] | str:
    """Ask in another order than before: who only counts the questions is found out."""
    order = random.sample(range(len(CASES)), len(CASES))
    cases = [(_loss(*KINDS[kind], flipped),) for kind, flipped in (CASES[i] for i in order)]
    answers = asked(is_flipped, cases)
    if isinstance(answers, str):
        return answers
    return [answer for _, answer in sorted(zip(order, answers, strict=True))]


def _loss(factor: float, constant: float, pull: float, flipped: bool) -> Callable:
    """Return a loss that does not tell by its name what it is."""
    direction = -factor if flipped else factor

    def loss(features: Tensor, texts: Tensor, values: Tensor, levels: Tensor) -> Tensor:
        values, levels = values.float(), levels.float()
        own = (values[:, None] - levels).abs().argmin(1)
        push = direction * diversity(features, texts, values, levels)
        return push + constant + pull * tightness(features, texts, own)

    return loss


def _fooled(answers: list[bool], right: list[bool]) -> str:
    if complaint := one_sided(answers, right):
        if len(set(answers)) == 1:
            complaint += ": turn a picture towards a far rank, and away. Which costs less?"
        return complaint
    wrong = {case for case, a, r in zip(CASES, answers, right, strict=True) if a != r}
    if {case for case in wrong if case[0] not in PULLED} == {("plus 10", False), ("less 10", True)}:
        return (
            "you look at the sign of the value, and a constant added to the loss fools you: "
            "compare the loss at two places, or take its gradient"
        )
    kinds = {kind for kind, _ in wrong}
    if kinds <= PULLED:
        return f"a pull to the own rank beside diversity fools you: {_ASIDE}"
    if "plain" not in kinds and {"plus 10", "less 10"} <= kinds:
        return (
            "you know the plain loss, but not with a factor, a constant or a pull: do not compare "
            "its value with what it should be, compare two places"
        )
    named = ", ".join(
        f"{'flipped' if flipped else 'right'} {kind}" for kind, flipped in CASES
        if (kind, flipped) in wrong
    )  # fmt: skip
    return f"wrong for: {named}. Compare two situations: {_ASIDE}"

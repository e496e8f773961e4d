"""Exercise 3: find a sign error by experiment."""

from collections.abc import Callable
from itertools import product

from torch import Tensor

from ...losses import diversity, tightness
from ..verdict import diagnosing
from .answers import asked, one_sided

# What may stand around diversity: a factor, a constant, and a pull to the own rank, which is
# gentle enough not to outweigh the push of a single rank.
KINDS = {
    "plain": (1.0, 0.0, 0.0),
    "times 3": (3.0, 0.0, 0.0),
    "plus 10": (1.0, 10.0, 0.0),
    "less 10": (1.0, -10.0, 0.0),
    "with a pull": (1.0, 0.0, 0.2),
}
CASES = tuple(product(KINDS, (False, True)))
TIMES = 3


@diagnosing
def sign(is_flipped: Callable) -> str | None:
    """A loss is known by what it prefers, not by its value.

    Args:
        is_flipped: takes a loss of ``(B, D)`` features, ``(M, D)`` texts, ``(B,)`` values and
            ``(M,)`` levels, a scalar; tells whether it pulls to far ranks, as diversity does with
            its sign turned round.

    Returns:
        A :class:`~ordlib.checks.Verdict`.
    """
    cases = [(_loss(*KINDS[kind], flipped),) for kind, flipped in CASES]
    runs = [asked(is_flipped, cases) for _ in range(TIMES)]
    for answers in runs:
        if isinstance(answers, str):
            return answers
    right = [flipped for _, flipped in CASES]
    if runs == [right] * TIMES:
        return None
    if any(answers != runs[0] for answers in runs):
        return (
            "the same loss gets other answers at other times: random pictures and words prove "
            "little. Place them yourself, a picture at its own rank or at the far end"
        )
    return _fooled(runs[0], right)


def _loss(factor: float, constant: float, pull: float, flipped: bool) -> Callable:
    """Return a loss that does not tell by its name what it is."""
    direction = -factor if flipped else factor

    def loss(features: Tensor, texts: Tensor, values: Tensor, levels: Tensor) -> Tensor:
        values, levels = values.float(), levels.float()
        own = (values[:, None] - levels).abs().argmin(1)
        push = direction * diversity(features, texts, values, levels)
        return push + constant + pull / len(texts) * tightness(features, texts, own)

    return loss


def _fooled(answers: list[bool], right: list[bool]) -> str:
    if complaint := one_sided(answers, right):
        if len(set(answers)) == 1:
            complaint += ": try a picture at its own rank and at the farthest. Which costs less?"
        return complaint
    wrong = {case for case, a, r in zip(CASES, answers, right, strict=True) if a != r}
    pulled = {("with a pull", False), ("with a pull", True)}
    if wrong - pulled == {("plus 10", False), ("less 10", True)}:
        return (
            "you look at the sign of the value, and a constant added to the loss fools you: "
            "compare the loss at two places, or take its gradient"
        )
    kinds = {kind for kind, _ in wrong}
    if kinds == {"with a pull"}:
        return (
            "a pull to the own rank beside diversity fools you: compare places just as far from "
            "the own rank, or move a picture all the way to the far end"
        )
    if "plain" not in kinds and {"plus 10", "less 10"} <= kinds:
        return (
            "you know the plain loss, but not with a factor, a constant or a pull: do not compare "
            "its value with what it should be, compare two places"
        )
    named = ", ".join(
        f"{'flipped' if flipped else 'right'} {kind}" for kind, flipped in CASES
        if (kind, flipped) in wrong
    )  # fmt: skip
    return f"wrong for: {named}. Which costs less, a picture at its own rank or at the far end?"

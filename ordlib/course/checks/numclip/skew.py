"""Exercise 2: bins for a skewed label."""

import re

import numpy as np
from numpy.typing import ArrayLike

from ....tasks import OrdinalTask
from ..result import Verdict, diagnosing

STARVED, TOO_WIDE = 0.05, 0.5
NUMBER_WORDS = frozenset(
    """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
    fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty
    ninety hundred thousand dozen dozens""".split()  # noqa: SIM905 (short enough to read)
)


@diagnosing
def skewed_bins(task: OrdinalTask, values: ArrayLike) -> str | Verdict:
    """Bins that all have pictures to learn from, none too wide, in words without numbers.

    Args:
        task: the learner's: ``replace(task, bin_edges=(...), bin_phrases=(...))``.
        values: ``(N,)`` labels on the task's number line, most of them small.

    Returns:
        A :class:`Verdict`: passed if every bin has at least 5 % of the labels,
        none spans more than half of the range, and no phrase holds a number.
    """
    if not isinstance(task, OrdinalTask):
        given = type(task).__name__
        return f"that is a {given}: write replace(task, bin_edges=(...), bin_phrases=(...))"
    shares = np.bincount(task.bin_of(values), minlength=task.num_bins) / len(values)
    low, high = task.range
    ends = np.clip([*task.bin_edges, high], low, high)
    spans = np.diff(ends)
    complaints = [
        *(_numeral(phrase) for phrase in task.bin_phrases),
        *(_starved(task, i, shares) for i in np.argsort(shares, kind="stable")),
        *(_too_wide(task, i, spans) for i in np.argsort(-spans, kind="stable")),
    ]
    if complaint := next(filter(None, complaints), None):
        return complaint
    return Verdict(
        "passed",
        f"the rarest of your {task.num_bins} bins has {shares.min():.0%} of the pictures, and the "
        f"widest spans {spans.max():g} of {high - low:g} {task.unit}: narrow where labels are "
        "dense, wide where they are rare.",
    )


def _numeral(phrase: str) -> str | None:
    for word in re.findall(r"\w+", phrase.casefold()):
        if any(letter.isdigit() for letter in word):
            return f"the phrase {phrase!r} holds a digit: say it in common words"
        if word in NUMBER_WORDS:
            return f"the phrase {phrase!r} holds the number word {word!r}: use common words"
    return None


def _starved(task: OrdinalTask, place: int, shares: np.ndarray) -> str | None:
    if shares[place] >= STARVED:
        return None
    name = f"{task.bin_phrases[place]!r} (from {task.bin_edges[place]:g} on)"
    beside = [i for i in (place - 1, place + 1) if 0 <= i < task.num_bins]
    other = task.bin_phrases[min(beside, key=lambda i: shares[i])]
    return (
        f"the bin {name} has {shares[place]:.1%} of the pictures, too few to learn a phrase from: "
        f"{STARVED:.0%} at least. Move its edges, or join it with {other!r}"
    )


def _too_wide(task: OrdinalTask, place: int, spans: np.ndarray) -> str | None:
    low, high = task.range
    if spans[place] <= TOO_WIDE * (high - low):
        return None
    return (
        f"the bin {task.bin_phrases[place]!r} (from {task.bin_edges[place]:g} on) spans "
        f"{spans[place]:g} of the {high - low:g} {task.unit}, more than half: its middle says "
        "little. Move its edges, or split it"
    )

"""Checks of notebook 02."""

import re
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ...tasks import OrdinalTask
from .match_mistakes import resembling, unreached
from .result import CheckResult, called, exercise_check


def _array_of(answer: object) -> np.ndarray:
    """Return an answer as float64, whatever it is made of."""
    return np.asarray(answer.detach() if isinstance(answer, Tensor) else answer, dtype=np.float64)


def _weights_of(bins: Sequence[int], num_bins: int) -> np.ndarray:
    """Return the weights ``(B, d)`` by their definition, with 1 in the own bin."""
    distance = abs(np.arange(num_bins) - np.array(bins)[:, None])
    return np.where(distance, (num_bins - 1) * distance / distance.sum(1, keepdims=True), 1.0)


# ------------------------------------------------------------- 1: the weights of the bins
# More pictures than bins, so that a transposed answer shows; then a batch without the last bin.
BATCHES = (((1, 0, 4, 2, 3, 3), 5), ((2, 0, 1, 1), 4))


@exercise_check
def ranking_weights(function: Callable) -> str | None:
    """The further a bin, the heavier, and on average every other bin weighs 1.

    The function takes ``(B,)`` int64 bins and the number of bins d, returns ``(B, d)`` weights.
    """
    for bins, num_bins in BATCHES:
        answer = _array_of(called(function, torch.tensor(bins), num_bins))
        pictures, shape = len(bins), answer.shape
        if shape == (num_bins, pictures) != (pictures, num_bins):
            return f"shape {shape} is (d, B): give a row for each picture, (B, d); transpose it"
        if shape == (pictures, num_bins - 1):
            return f"a row has {shape[1]} weights for {num_bins} bins: is the last bin forgotten?"
        if shape != (pictures, num_bins):
            return f"shape {shape} for {pictures} pictures and {num_bins} bins: give (B, d)"
        if complaint := _misweighed(answer, bins, num_bins):
            return complaint
    return None


def _misweighed(answer: np.ndarray, bins: Sequence[int], num_bins: int) -> str | None:
    """Compare the weights of the other bins first, then those of a picture's own."""
    own, right = np.eye(num_bins, dtype=bool)[list(bins)], _weights_of(bins, num_bins)
    if (answer < 0).any():
        return "distances have a sign: take the absolute value"
    if not np.isfinite(answer).all():
        return "a weight is not finite: the own bin has distance 0, do not divide by it"
    if np.allclose(answer[~own], right[~own], atol=1e-4):
        worst = answer[own][abs(answer[own] - 1).argmax()]
        if abs(worst - 1) < 1e-4:
            return None
        if np.allclose(answer[own], 0):
            return "a picture's own bin weighs 0, which takes the right answer out: put 1 there"
        return f"a picture's own bin weighs {worst:.3g}: put 1 there"
    wrong = _wrong_weights(bins, num_bins, right)
    if diagnosis := resembling(answer[~own], ((told, weights[~own]) for told, weights in wrong)):
        return diagnosis
    picture, bin_ = np.argwhere(~own & ~np.isclose(answer, right, atol=1e-4))[0]
    return (
        f"of {num_bins} bins, for a picture of bin {bins[picture]}, bin {bin_} weighs "
        f"{right[picture, bin_]:.3f}; yours is {answer[picture, bin_]:.3f}"
    )


def _wrong_weights(
    bins: Sequence[int], num_bins: int, right: np.ndarray
) -> list[tuple[str, np.ndarray]]:
    """Pair what is likely to go wrong with the weights it gives."""
    distance = abs(np.arange(num_bins) - np.array(bins)[:, None]).astype(float)
    others = num_bins - 1

    def normed(raw: np.ndarray) -> np.ndarray:
        return others * raw / np.where(distance > 0, raw, 0).sum(1, keepdims=True)

    reversed_ = "near bins weigh more than far ones: turn it round, the further the heavier"
    return [
        ("the others sum to 1, the norm sum_to_one: times d - 1, they sum to d - 1",
         right / others),
        ("these are bare distances: divide by their sum and multiply by d - 1", distance),
        ("you sum over the pictures of the batch: sum over the bins, dim=1",
         others * distance / distance.sum(0)),
        (reversed_, normed(num_bins - distance)),
        (reversed_, normed(1 / np.maximum(distance, 1))),
    ]  # fmt: skip


# ------------------------------------------------------------- 2: bins for a skewed label
STARVED, TOO_WIDE = 0.05, 0.5
NUMBER_WORDS = frozenset(
    """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
    fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty
    ninety hundred thousand dozen dozens""".split()  # noqa: SIM905 (short enough to read)
)


@exercise_check
def skewed_bins(task: OrdinalTask, values: ArrayLike) -> str | CheckResult:
    """Bins that all have pictures to learn from, none too wide, in words without numbers.

    Every bin has at least 5 % of the ``(N,)`` values, none spans more than half of the range.
    """
    if not isinstance(task, OrdinalTask):
        given = type(task).__name__
        return f"that is a {given}: write replace(task, bin_edges=(...), bin_phrases=(...))"
    for phrase in task.bin_phrases:
        for word in re.findall(r"\w+", phrase.casefold()):
            if any(letter.isdigit() for letter in word):
                return f"the phrase {phrase!r} holds a digit: say it in common words"
            if word in NUMBER_WORDS:
                return f"the phrase {phrase!r} holds the number word {word!r}: use common words"
    shares = np.bincount(task.bin_index(values), minlength=task.num_bins) / len(values)
    low, high = task.range
    spans = np.diff(np.clip([*task.bin_edges, high], low, high))
    pairs = zip(task.bin_phrases, task.bin_edges, strict=True)
    names = [f"{phrase!r} (from {edge:g} on)" for phrase, edge in pairs]
    rarest, widest = int(shares.argmin()), int(spans.argmax())
    if shares[rarest] < STARVED:
        beside = [i for i in (rarest - 1, rarest + 1) if 0 <= i < task.num_bins]
        other = task.bin_phrases[min(beside, key=lambda i: shares[i])]
        return (
            f"the bin {names[rarest]} has {shares[rarest]:.1%} of the pictures, too few to learn a "
            f"phrase from: {STARVED:.0%} at least. Move its edges, or join it with {other!r}"
        )
    if spans[widest] > TOO_WIDE * (high - low):
        return (
            f"the bin {names[widest]} spans {spans[widest]:g} of the {high - low:g} {task.unit}, "
            "more than half: its middle says little. Move its edges, or split it"
        )
    return CheckResult(
        "passed",
        f"the rarest of your {task.num_bins} bins has {shares.min():.0%} of the pictures, and the "
        f"widest spans {spans.max():g} of {high - low:g} {task.unit}: narrow where labels are "
        "dense, wide where they are rare.",
    )


# ------------------------------------------------------------- 3: the regressor's read-out
# The last picture stands on its first bin alone, whose move is the largest there is.
LOGITS = torch.tensor(
    [[2.0, 1.0, 0.0], [0.5, 3.0, 1.0], [1.0, 0.0, 2.0], [0.0, 1.0, 0.5], [60.0, 0.0, 0.0]]
)
ANCHORS = torch.tensor([0.2, 0.5, 0.9])
MOVES = torch.tensor(
    [[0.3, -0.2, 0.1], [-0.4, 0.9, 0.2], [-0.7, 0.6, -0.9], [0.8, -0.999, 0.0], [-1.0, 0.0, 0.0]]
)


@exercise_check
def broken_regressor(function: Callable) -> str | None:
    """No move can blow a value up any more: a divisor between 1/2 and 2, and sound gradients.

    The function takes ``(B, d)`` logits, ``(d,)`` anchors and ``(B, d)`` moves, -1 to 1, returns
    ``(B,)`` values.
    """
    values = called(function, LOGITS, ANCHORS, MOVES)
    if not isinstance(values, Tensor):
        return f"you return a {type(values).__name__}: stay in torch, for the gradient's sake"
    pictures, num_bins = LOGITS.shape
    if values.shape == (num_bins,):
        return f"you sum over the {pictures} pictures: sum over the bins, dim=1"
    if values.shape == (pictures, num_bins):
        return "a value for each bin is left: sum over the bins, dim=1"
    if values.shape != (pictures,):
        return f"shape {tuple(values.shape)} for {pictures} pictures: return ({pictures},)"
    return _misread(values.detach().double()) or unreached(
        lambda logits, moves: function(logits, ANCHORS.clone(), moves), logits=LOGITS, moves=MOVES
    )


def _misread(values: Tensor) -> str | None:
    logits, moves, anchors = LOGITS.double(), MOVES.double(), ANCHORS.double()
    share, divisor = logits.softmax(1), (1 + moves).clamp(0.5, 2)
    right = (share * anchors / divisor).sum(1)
    if resembling(values, [("right", right)]):
        return None
    if not values.isfinite().all():
        return "a value is not finite: at a move of -1 the divisor 1 + move is 0. Clamp the divisor"
    raw = (share * anchors / (1 + moves).clamp(min=1e-30)).sum(1)
    mistakes = [
        ("you clamp the moves, not the divisor 1 + move: the bounds 0.5 and 2 are the divisor's",
         (share * anchors / (1 + moves.clamp(0.5, 2))).sum(1)),
        *((f"you clamp the value, not the divisor: {low} to {high} hides the explosion, and its "
           "gradient is 0 there", raw.clamp(low, high)) for low, high in ((0, 1), (0.5, 2))),
        ("the logits are no probabilities yet: softmax over the bins",
         (logits * anchors / divisor).sum(1)),
        ("softmax runs over the pictures: over the bins, dim=1",
         (logits.softmax(0) * anchors / divisor).sum(1)),
    ]  # fmt: skip
    if diagnosis := resembling(values, mistakes):
        return diagnosis
    # The first two pictures need no clamp. The last is one bin alone: its anchor over its value is
    # the divisor that was used.
    used = ANCHORS[0].item() / values[-1].item() if values[-1] else np.inf
    if resembling(values[:2], [("right", right[:2])]) and not np.isclose(used, 0.5, rtol=1e-3):
        return f"at a move of -1 your divisor is {used:.2g}: clamp it to at least 0.5"
    picture = int((values - right).abs().argmax())
    logits, anchors, moves = (
        [round(number, 3) for number in given.tolist()]
        for given in (LOGITS[picture], ANCHORS, MOVES[picture])
    )
    return (
        f"for logits {logits}, anchors {anchors} and moves {moves} the value is "
        f"{right[picture]:.3f}; yours is {values[picture]:.3f}"
    )


# ------------------------------------------------------------- 4: the released form
POSITIVE = (26.0, 25.0, 24.0, 23.0, 22.0)
MIXED = (10.0, 6.0, 2.0, -2.0, -6.0)
CASES = [(logits, own) for logits in (POSITIVE, MIXED) for own in (0, 1, 2, 4)]


@exercise_check
def negative_logits(function: Callable) -> str | CheckResult:
    """The released form: a weight on a logit, which turns round where the logit is negative.

    The function takes ``(d,)`` logits and a picture's own bin, returns the loss: cross-entropy of
    the logits times their weights, 1 in the own bin.
    """
    losses = []
    for logits, own in CASES:
        given = torch.tensor(logits, dtype=torch.float64)
        loss = _array_of(called(function, given, own))
        if loss.shape != ():
            return f"return one number, the loss; yours has shape {loss.shape}"
        losses.append(float(loss))
    if complaint := _misjudged(np.array(losses)):
        return complaint
    tensor = isinstance(function(given, 0), Tensor)  # a number will do, too
    if tensor and (complaint := unreached(lambda logits: function(logits, 0), logits=given)):
        return complaint
    plain = [_cross_entropy(np.array(logits), 0) for logits in (POSITIVE, MIXED)]
    released = [losses[CASES.index((logits, 0))] for logits in (POSITIVE, MIXED)]
    return CheckResult(
        "passed",
        f"on {list(POSITIVE)} the loss is {released[0]:.2f}, plain cross-entropy's "
        f"{plain[0]:.2f}; on {list(MIXED)} it is {released[1]:.4f} against {plain[1]:.4f}: "
        "there the neighbour's 6 shrinks to 2.4. A negative logit is drawn up by a weight below "
        "1 and pushed down by one above 1, so there it is the far bins that are let off.",
    )


def _cross_entropy(logits: np.ndarray, own: int) -> float:
    return float(np.logaddexp.reduce(logits) - logits[own])


def _paper(weights: np.ndarray, logits: np.ndarray, own: int) -> float:
    return _cross_entropy(logits + np.log(weights), own)


def _except_own(weights: np.ndarray, own: int, value: float) -> np.ndarray:
    """Return the weights with another one in the own bin."""
    return np.where(np.arange(len(weights)) == own, value, weights)


_TO_PAPER = (
    "that is the paper form: its weight stands on exp(logit); the released one multiplies the "
    "logit itself"
)
_WRONG_LOSSES = [
    (_TO_PAPER, _paper),
    (_TO_PAPER, lambda w, s, c: _paper(_except_own(w / (len(w) - 1), c, 1), s, c)),
    ("that is plain cross-entropy: where are the weights?", lambda w, s, c: _cross_entropy(s, c)),
    ("a picture's own bin weighs 0: put 1 there", lambda w, s, c: _cross_entropy(
        _except_own(w, c, 0) * s, c)),
    ("the own bin is missing from the denominator: the sum runs over all j, c among them",
     lambda w, s, c: np.logaddexp.reduce(np.delete(w * s, c)) - s[c]),
]  # fmt: skip


def _misjudged(losses: np.ndarray) -> str | None:
    def of(form: Callable[[np.ndarray, np.ndarray, int], float]) -> np.ndarray:
        return np.array([form(_weights_of([c], len(s))[0], np.array(s), c) for s, c in CASES])

    right = of(lambda w, s, c: _cross_entropy(w * s, c))
    wrong = ~np.isclose(losses, right, rtol=1e-3, atol=1e-6)
    if not wrong.any():
        return None
    if diagnosis := resembling(losses, ((told, of(form)) for told, form in _WRONG_LOSSES)):
        return diagnosis
    if not any(wrong[i] for i, (logits, _) in enumerate(CASES) if logits is POSITIVE):
        return (
            "right where all logits are positive, wrong where some are negative: let the weight "
            "multiply them as they are, without abs or clamp"
        )
    place = int(np.flatnonzero(wrong)[0])
    logits, own = CASES[place]
    return (
        f"for logits {list(logits)} and own bin {own} the loss is {right[place]:.4g}; yours is "
        f"{losses[place]:.4g}"
    )

"""Checks of notebook 02."""

import re
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from ...tasks import OrdinalTask
from .match_mistakes import check_gradients, check_tensor, find_mistake
from .result import CheckResult, call_solution, exercise_check


def _to_numpy(answer: object) -> np.ndarray:
    return np.asarray(answer.detach() if isinstance(answer, Tensor) else answer, dtype=np.float64)


def _distances(bins: Sequence[int], num_bins: int) -> np.ndarray:
    return abs(np.arange(num_bins) - np.array(bins)[:, None]).astype(float)


def _expected_weights(bins: Sequence[int], num_bins: int) -> np.ndarray:
    """Return the ``(B, d)`` weights by their definition, with 1 in the own bin."""
    distance = _distances(bins, num_bins)
    return np.where(distance, (num_bins - 1) * distance / distance.sum(1, keepdims=True), 1.0)


# ------------------------------------------------------------- 1: the weights of the bins
# More images than bins, so that a transposed answer shows; then a batch without the last bin.
BATCHES = (((1, 0, 4, 2, 3, 3), 5), ((2, 0, 1, 1), 4))


@exercise_check
def ranking_weights(function: Callable) -> str | None:
    """The further a bin, the heavier, and on average every other bin weighs 1.

    The function takes ``(B,)`` int64 bins and the number of bins d, returns ``(B, d)`` weights.
    """
    for bins, num_bins in BATCHES:
        answer = _to_numpy(call_solution(function, torch.tensor(bins), num_bins))
        shape, num_images = answer.shape, len(bins)
        if shape != (num_images, num_bins):
            hints = {(num_bins, num_images): ": transpose it",
                     (num_images, num_bins - 1): ": is the last bin missing?"}  # fmt: skip
            message = f"shape {shape} for {num_images} images and {num_bins} bins: give (B, d)"
            return message + hints.get(shape, "")
        if message := _check_weights(answer, bins, num_bins):
            return message
    return None


def _check_weights(answer: np.ndarray, bins: Sequence[int], num_bins: int) -> str | None:
    """Check the weights of the other bins first, then those of the own bins."""
    own, expected = np.eye(num_bins, dtype=bool)[list(bins)], _expected_weights(bins, num_bins)
    if (answer < 0).any():
        return "a weight is negative: take the absolute value of the distances"
    if not np.isfinite(answer).all():
        return "a weight is not finite: the own bin has distance 0, do not divide by it"
    if np.allclose(answer[~own], expected[~own], atol=1e-4):
        weight = answer[own][abs(answer[own] - 1).argmax()]
        if abs(weight - 1) < 1e-4:
            return None
        removed = ", which removes the right answer" if np.allclose(answer[own], 0) else ""
        return f"the own bin of an image has weight {weight:.3g}{removed}: put 1 there"
    wrong = _wrong_weights(bins, num_bins)
    if mistake := find_mistake(answer[~own], ((text, weights[~own]) for text, weights in wrong)):
        return mistake
    row, column = np.argwhere(~own & ~np.isclose(answer, expected, atol=1e-4))[0]
    weight = f"weight {expected[row, column]:.3f}; yours is {answer[row, column]:.3f}"
    return f"of {num_bins} bins, for an image of bin {bins[row]}, bin {column} has {weight}"


def _wrong_weights(bins: Sequence[int], num_bins: int) -> list[tuple[str, np.ndarray]]:
    """Return diagnoses of likely mistakes and the weights that they give."""
    distance, others = _distances(bins, num_bins), num_bins - 1

    def normalize(raw: np.ndarray) -> np.ndarray:
        return others * raw / np.where(distance > 0, raw, 0).sum(1, keepdims=True)

    reversed_ = "near bins weigh more than far ones: the further a bin, the larger its weight"
    return [
        ("the others sum to 1, as in sum_to_one: multiply by d - 1", normalize(distance) / others),
        ("these are bare distances: divide by their sum and multiply by d - 1", distance),
        ("you sum over the images: sum over the bins, dim=1", others * distance / distance.sum(0)),
        (reversed_, normalize(num_bins - distance)),
        (reversed_, normalize(1 / np.maximum(distance, 1))),
    ]  # fmt: skip


# ------------------------------------------------------------- 2: bins for a skewed label
MIN_BIN_SHARE, MAX_BIN_SPAN = 0.05, 0.5
NUMBER_WORDS = frozenset(
    """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
    fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty
    ninety hundred thousand dozen dozens""".split()  # noqa: SIM905 (short enough to read)
)


@exercise_check
def skewed_bins(task: OrdinalTask, values: ArrayLike) -> str | CheckResult:
    """Bins with at least 5 % of the ``(N,)`` values and at most half of the range each."""
    if not isinstance(task, OrdinalTask):
        kind = type(task).__name__
        return f"that is a {kind}: write replace(task, bin_edges=(...), bin_phrases=(...))"
    for phrase in task.bin_phrases:
        for word in re.findall(r"\w+", phrase.casefold()):
            if any(letter.isdigit() for letter in word):
                return f"the phrase {phrase!r} has a digit: use common words"
            if word in NUMBER_WORDS:
                return f"the phrase {phrase!r} has the number word {word!r}: use common words"
    shares = np.bincount(task.bin_index(values), minlength=task.num_bins) / len(values)
    low, high = task.range
    spans = np.diff(np.clip([*task.bin_edges, high], low, high))
    rarest, widest = int(shares.argmin()), int(spans.argmax())
    rare, wide = (
        f"the bin {task.bin_phrases[i]!r} (from {task.bin_edges[i]:g} on)" for i in (rarest, widest)
    )
    if shares[rarest] < MIN_BIN_SHARE:
        neighbors = [i for i in (rarest - 1, rarest + 1) if 0 <= i < task.num_bins]
        neighbor = task.bin_phrases[min(neighbors, key=lambda i: shares[i])]
        hint = f"give it at least {MIN_BIN_SHARE:.0%}. Move its edges, or join it with {neighbor!r}"
        return f"{rare} has {shares[rarest]:.1%} of the images: {hint}"
    if spans[widest] > MAX_BIN_SPAN * (high - low):
        hint = "its middle is a poor estimate. Move its edges, or split it"
        half = f"half of the scale from {low:g} to {high:g} is {(high - low) / 2:g}"
        return f"{wide} is {spans[widest]:g} wide, and {half}: {hint}"
    return CheckResult(
        "passed",
        f"the rarest of your {task.num_bins} bins has {shares.min():.0%} of the images, and the "
        f"widest spans {spans.max():g} of {high - low:g} {task.unit}: narrow where labels are "
        "dense, wide where they are rare.",
    )


# ------------------------------------------------------------- 3: the regressor's output
# The last image has all its probability in its first bin, which has the extreme shift, -1.
LOGITS = torch.tensor(
    [[2.0, 1.0, 0.0], [0.5, 3.0, 1.0], [1.0, 0.0, 2.0], [0.0, 1.0, 0.5], [60.0, 0.0, 0.0]]
)
ANCHORS = torch.tensor([0.2, 0.5, 0.9])
SHIFTS = torch.tensor(
    [[0.3, -0.2, 0.1], [-0.4, 0.9, 0.2], [-0.7, 0.6, -0.9], [0.8, -0.999, 0.0], [-1.0, 0.0, 0.0]]
)


@exercise_check
def broken_regressor(function: Callable) -> str | None:
    """No shift can blow a value up any more: a divisor of at least 1/2, and sound gradients.

    The function takes ``(B, d)`` logits, ``(d,)`` anchors, ``(B, d)`` shifts, returns ``(B,)``.
    """
    values = call_solution(function, LOGITS, ANCHORS, SHIFTS)
    hints = dict.fromkeys([(3,), (5, 3)], "5 images, 3 bins: sum over the bins, dim=1")
    not_finite = "at a shift of -1 the divisor 1 + shift is 0. Clamp the divisor"
    if message := check_tensor(values, (5,), hints, not_finite):
        return message
    return _check_values(values.detach().double()) or check_gradients(
        lambda logits, shifts: function(logits, ANCHORS.clone(), shifts),
        logits=LOGITS,
        shifts=SHIFTS,
    )


def _check_values(values: Tensor) -> str | None:
    logits, shifts, anchors = LOGITS.double(), SHIFTS.double(), ANCHORS.double()
    probabilities, divisor = logits.softmax(1), (1 + shifts).clamp(min=0.5)
    weighted = probabilities * anchors
    expected = (weighted / divisor).sum(1)
    if find_mistake(values, [("right", expected)]):
        return None
    terms = weighted / (1 + shifts).clamp(min=1e-30)
    clamped_value = "you clamp the value, whose gradient then is 0: clamp the divisor"
    multiplied = "you multiply by 1 + shift: divide by it"
    mistakes = [
        (multiplied, (weighted * divisor).sum(1)),
        (multiplied, (weighted * (1 + shifts)).sum(1)),
        ("you clamp the shifts: clamp the divisor 1 + shift",
         (weighted / (1 + shifts.clamp(0.5, 2))).sum(1)),
        # Whatever the limits: the answer's own ends.
        (clamped_value, terms.sum(1).clamp(values.min(), values.max())),
        *(("you clamp each bin's term, whose gradient then is 0: clamp the divisor",
           terms.clamp(*ends).sum(1)) for ends in ((0, 1), (0.5, 2), (None, 2), (None, 10))),
        ("the logits are not probabilities: take the softmax", (logits * anchors / divisor).sum(1)),
        ("you take the softmax over the images: take it over the bins, dim=1",
         (logits.softmax(0) * anchors / divisor).sum(1)),
    ]  # fmt: skip
    if mistake := find_mistake(values, mistakes):
        return mistake
    # The first two images need no clamp. The last image's divisor is its anchor over its value.
    used = ANCHORS[0].item() / values[-1].item() if values[-1] else np.inf
    if find_mistake(values[:2], [("right", expected[:2])]) and not np.isclose(used, 0.5, rtol=1e-3):
        return f"at a shift of -1 your divisor is {used:.2g}: clamp it to at least 0.5"
    worst = int((values - expected).abs().argmax())
    inputs = [np.round(row.tolist(), 3).tolist() for row in (LOGITS[worst], ANCHORS, SHIFTS[worst])]
    outputs = f"the value is {expected[worst]:.3f}; yours is {values[worst]:.3f}"
    return "for logits {}, anchors {} and shifts {} {}".format(*inputs, outputs)


# ------------------------------------------------------------- 4: the released form
POSITIVE = (26.0, 25.0, 24.0, 23.0, 22.0)
MIXED = (10.0, 6.0, 2.0, -2.0, -6.0)
LARGE = torch.tensor([104.0, 100.0, 96.0, 92.0, 88.0])
CASES = [(logits, own_bin) for logits in (POSITIVE, MIXED) for own_bin in (0, 1, 2, 4)]


@exercise_check
def negative_logits(function: Callable) -> str | CheckResult:
    """Released form of the FCRC loss: cross-entropy of the logits times their weights.

    The function takes ``(d,)`` logits and the own bin of an image, returns the loss, a scalar.
    """
    losses = []
    for values, own_bin in CASES:
        logits = torch.tensor(values, dtype=torch.float64)
        loss = call_solution(function, logits, own_bin)
        hints = {(5,): "return one number, the loss"}
        if message := check_tensor(loss, (), hints, "take logsumexp or cross_entropy"):
            return message
        losses.append(float(loss))
    if message := _check_losses(np.array(losses)):
        return message
    if message := check_gradients(lambda x: function(x, 0), logits=logits):
        return message
    large = call_solution(function, LARGE, 0)
    if not abs(float(large) - float(_released(LARGE))) < 1e-2:
        hint = "exp overflows in float32: take logsumexp or cross_entropy"
        return f"right, but {float(large):.3g} for logits near 100, as OpenAI's CLIP has: {hint}"
    plain = [_cross_entropy(np.array(values), 0) for values in (POSITIVE, MIXED)]
    released = [losses[CASES.index((values, 0))] for values in (POSITIVE, MIXED)]
    return CheckResult(
        "passed",
        f"on {list(POSITIVE)} the loss is {released[0]:.2f}, plain cross-entropy's "
        f"{plain[0]:.2f}; on {list(MIXED)} it is {released[1]:.4f} against {plain[1]:.4f}: "
        "there the neighbour's 6 shrinks to 2.4. A negative logit is drawn up by a weight below "
        "1 and pushed down by one above 1: a far bin with a negative logit counts less.",
    )


def _cross_entropy(logits: np.ndarray, own_bin: int) -> float:
    return float(np.logaddexp.reduce(logits) - logits[own_bin])


def _released(logits: Tensor) -> float:
    """Return the released form of float32 logits whose own bin is the first."""
    return _cross_entropy(_expected_weights([0], len(logits))[0] * logits.double().numpy(), 0)


def _set_own(weights: np.ndarray, own_bin: int, value: float) -> np.ndarray:
    return np.where(np.arange(len(weights)) == own_bin, value, weights)


_PAPER = "that is the paper form, a weight times exp(logit): multiply the logit by the weight"
# Functions of weights w, logits s and the own bin c.
_WRONG_LOSSES = [
    (_PAPER, lambda w, s, c: _cross_entropy(s + np.log(w), c)),
    (_PAPER, lambda w, s, c: _cross_entropy(s + np.log(_set_own(w / (len(w) - 1), c, 1)), c)),
    ("that is plain cross-entropy: where are the weights?", lambda w, s, c: _cross_entropy(s, c)),
    *(("the own bin has weight 0: put 1 there", loss) for loss in (
        lambda w, s, c: _cross_entropy(_set_own(w, c, 0) * s, c),
        lambda w, s, c: np.logaddexp.reduce(_set_own(w, c, 0) * s) - s[c],
    )),
    ("the own bin is missing from the denominator: sum over all bins, the own bin included",
     lambda w, s, c: np.logaddexp.reduce(np.delete(w * s, c)) - s[c]),
]  # fmt: skip


def _check_losses(losses: np.ndarray) -> str | None:
    def evaluate(loss: Callable[[np.ndarray, np.ndarray, int], float]) -> np.ndarray:
        return np.array([loss(_expected_weights([c], len(s))[0], np.array(s), c) for s, c in CASES])

    expected = evaluate(lambda w, s, c: _cross_entropy(w * s, c))
    wrong = np.flatnonzero(~np.isclose(losses, expected, rtol=1e-3, atol=1e-6))
    if not wrong.size:
        return None
    if mistake := find_mistake(losses, ((text, evaluate(loss)) for text, loss in _WRONG_LOSSES)):
        return mistake
    if all(CASES[i][0] is MIXED for i in wrong):
        return "wrong where a logit is negative: multiply logits by weights, without abs or clamp"
    first = wrong[0]
    logits, own_bin = CASES[first]
    loss = f"the loss is {expected[first]:.4g}; yours is {losses[first]:.4g}"
    return f"for logits {list(logits)} and own bin {own_bin} {loss}"

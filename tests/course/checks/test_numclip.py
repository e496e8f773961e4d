from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from check_results import assert_passed, assert_wrong, table_tests

from ordlib.course.checks import numclip as check
from ordlib.losses import fcrc, ranking_weights
from ordlib.tasks import load_task


def distances(bins, d):
    return (bins[:, None] - torch.arange(d)).abs().float()


def normalized(raw, bins, d, own=0):
    """Normalize to d - 1 without the own bin, whose raw weight is given, and put 1 there."""
    weights = (d - 1) * raw / (raw.sum(1, keepdim=True) - own)
    weights[torch.arange(len(bins)), bins] = 1
    return weights


def ranking_weights_by_loops(bins, d):
    rows = []
    for own in bins.tolist():
        total = sum(abs(own - j) for j in range(d))
        rows.append([1.0 if j == own else (d - 1) * abs(own - j) / total for j in range(d)])
    return rows


def with_own(value):
    return lambda bins, d: torch.where(distances(bins, d) == 0, value, ranking_weights(bins, d))


WEIGHTS = {
    "own bin of an image has weight 0, which removes the right answer": with_own(0),
    "own bin of an image has weight 0.3: put 1": with_own(0.3),
    "as in sum_to_one": lambda b, d: ranking_weights(b, d) / (d - 1),
    "bare distances": distances,
    "take the absolute": lambda b, d: normalized((torch.arange(d) - b[:, None]).float(), b, d),
    "near bins weigh more": lambda b, d: normalized(d - distances(b, d), b, d, own=d),
    "the further a bin,": lambda b, d: normalized(1 / distances(b, d).clamp(min=1), b, d, own=1),
    "is the last bin missing": lambda b, d: ranking_weights(b, int(b.max()) + 1),
    "transpose it": lambda b, d: ranking_weights(b, d).T,
    "give (B, d)": lambda b, d: ranking_weights(b, d).sum(1),
    "do not divide by it": lambda b, d: 1 / distances(b, d),
    "over the images": lambda b, d: (d - 1) * distances(b, d) / distances(b, d).sum(0),
    "image of bin 1, bin 0 has weight 0.571; yours is 1.071": lambda b, d: (
        ranking_weights(b, d) + 0.5),
}  # fmt: skip


COUNTING = load_task("counting")
# Of a hundred: 30 ones, 20 twos, 15 threes, 15 fours, 8 sevens, 7 elevens, 5 twenties.
COUNTS = np.repeat([1, 2, 3, 4, 7, 11, 20], [30, 20, 15, 15, 8, 7, 5])
PHRASES = ("hardly any", "a few", "several", "many", "a crowd of")


def bins(*edges, phrases=PHRASES):
    return replace(COUNTING, bin_edges=edges, bin_phrases=phrases[: len(edges)])


def test_skewed_bins_accepts_good_bins():
    parts = ("rarest of your 4 bins has 8% of the images", "widest spans 9 of 19 objects")
    assert_passed(check.skewed_bins(bins(1, 3, 5, 11), COUNTS), *parts)
    assert_passed(check.skewed_bins(bins(1, 2, 4, 11, 14), COUNTS), "has 5%")  # exactly enough
    # Number words inside of other words.
    phrases = ("someone", "often", "weighty", "tension")
    assert_passed(check.skewed_bins(bins(1, 3, 5, 11, phrases=phrases), COUNTS))


@pytest.mark.parametrize(
    ("task", "diagnosis"),
    [
        ({"edges": 3}, "that is a dict"),
        (bins(1, 3, 5, 14, 19), "'many' (from 14 on) has 0.0% of the images"),
        (bins(1, 3, 5, 14, 19), "or join it with 'a crowd of'"),
        (
            bins(1, 2, 3, 4, 5),
            "'a crowd of' (from 5 on) is 15 wide, and half of the scale from 1 to 20 is 9.5",
        ),
        (bins(1, 3, 5, 11, phrases=("1 or 2", *PHRASES)), "'1 or 2' has a digit"),
        (bins(1, 3, 5, 11, phrases=("up to Twenty-one", *PHRASES)), "the number word 'twenty'"),
    ],
)
def test_skewed_bins_diagnoses(task, diagnosis):
    assert_wrong(check.skewed_bins(task, COUNTS), diagnosis)


# ---------------------------------------------------------------- broken_regressor
def value(logits, anchors, shifts, low=0.5, high=2.0):
    return (logits.softmax(1) * anchors / (1 + shifts).clamp(low, high)).sum(1)


def value_by_where(logits, anchors, shifts):
    safe = torch.where(shifts > -0.5, 1 / (1 + shifts), 2.0)
    return (logits.softmax(1) * anchors * safe).sum(1)


def value_by_einsum(logits, anchors, shifts):
    return torch.einsum("bd,d->b", logits.softmax(1) / (1 + shifts).clamp(min=0.5), anchors)


REGRESSORS = {
    "value is not finite": lambda s, b, m: (s.softmax(1) * b / (1 + m)).sum(1),
    "you clamp the shifts": lambda s, b, m: (s.softmax(1) * b / (1 + m.clamp(0.5, 2))).sum(1),
    "not probabilities": lambda s, b, m: (s * b / (1 + m).clamp(0.5, 2)).sum(1),
    "softmax over the images": lambda s, b, m: (s.softmax(0) * b / (1 + m).clamp(0.5, 2)).sum(1),
    "you multiply by 1 + shift": lambda s, b, m: (s.softmax(1) * b * (1 + m).clamp(0.5, 2)).sum(1),
    "divide by it": lambda s, b, m: (s.softmax(1) * b * (1 + m)).sum(1),
    "whose gradient then is 0": lambda s, b, m: value(s, b, m, 1e-30, 9).clamp(max=3),
    "you clamp each bin's term": lambda s, b, m: (s.softmax(1) * b / (1 + m)).clamp(0, 1).sum(1),
    "you clamp the value": lambda s, b, m: value(s, b, m, 1e-30, 9).clamp(0, 1),
    "your divisor is 1e-06": lambda s, b, m: (s.softmax(1) * b / (1 + m + 1e-6)).sum(1),
    "sum over the bins, dim=1": lambda s, b, m: (s.softmax(1) * b / (1 + m).clamp(0.5)).sum(0),
    "(5, 3): 5 images, 3 bins": lambda s, b, m: s.softmax(1) * b / (1 + m).clamp(0.5),
    "(5, 1): return shape (5,)": lambda s, b, m: value(s, b, m)[:, None],
    "stay in torch": lambda s, b, m: value(s, b, m).detach().numpy(),
    "gradient to the shifts is not finite": value_by_where,
    "reaches the logits or the shifts": lambda s, b, m: value(s, b, m).detach(),
    "reaches the shifts": lambda s, b, m: value(s, b, m.detach()),
    "the value is 0.": lambda s, b, m: value(s, b, m) + torch.tensor([0.1, 0, 0, 0, 0]),
}  # fmt: skip


# ---------------------------------------------------------------- negative_logits
def row(logits, own):
    return ranking_weights(torch.tensor([own]), len(logits))[0].to(logits.dtype)


def cross_entropy(logits, own):
    return F.cross_entropy(logits[None], torch.tensor([own]))


def released(logits, own):
    return fcrc(logits[None], torch.tensor([own]), "released")


def set_own(weights, own, value):
    return torch.where(torch.arange(len(weights)) == own, value, weights)


RELEASED = {
    "that is the paper form": lambda s, c: cross_entropy(s + row(s, c).log(), c),
    "weight times exp(logit)": lambda s, c: cross_entropy(
        s + set_own(row(s, c) / (len(s) - 1), c, 1).log(), c),
    "plain cross-entropy": cross_entropy,
    "weight 0: put 1 there": lambda s, c: (set_own(row(s, c), c, 0) * s).logsumexp(0) - s[c],
    "exp overflows in float32": lambda s, c: -torch.log(s[c].exp() / (row(s, c) * s).exp().sum()),
    "you return a float: stay in torch": lambda s, c: released(s, c).item(),
    "own bin has weight 0": lambda s, c: cross_entropy(set_own(row(s, c), c, 0) * s, c),
    "bin is missing": lambda s, c: (row(s, c) * s)[torch.arange(len(s)) != c].logsumexp(0) - s[c],
    "without abs or clamp": lambda s, c: cross_entropy(row(s, c) * s.clamp(min=0), c),
    "return one number": lambda s, c: row(s, c) * s,
    "own bin 0 the loss is 9.201; yours is 10.2": lambda s, c: released(s, c) + 1,
    "no gradient reaches the logits": lambda s, c: released(s, c).detach(),
}  # fmt: skip


def released_by_loops(logits, own):
    weights = ranking_weights_by_loops(torch.tensor([own]), 5)[0]
    weighted = [weight * logit for weight, logit in zip(weights, logits, strict=True)]
    top = max(weighted)
    return top + torch.log(sum(torch.exp(s - top) for s in weighted)) - weighted[own]


RIGHT = {
    check.ranking_weights: [ranking_weights, ranking_weights_by_loops],
    check.broken_regressor: [value, value_by_einsum],
    check.negative_logits: [released, released_by_loops],
}
WRONG = {check.ranking_weights: WEIGHTS, check.broken_regressor: REGRESSORS,
         check.negative_logits: RELEASED}  # fmt: skip


def test_negative_logits_reports_both_losses():
    parts = ("is 9.20, plain cross-entropy's 0.45", "is 0.0007 against 0.0185")
    assert_passed(check.negative_logits(released), *parts)


test_right_answers, test_wrong_answers = table_tests(RIGHT, WRONG)

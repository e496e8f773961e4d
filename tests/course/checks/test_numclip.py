from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from check_results import passed, right_answers, wrong, wrong_answers

from ordlib import losses
from ordlib.course.checks import numclip as check
from ordlib.tasks import load_task


def distances(bins, d):
    return (bins[:, None] - torch.arange(d)).abs().float()


def normed(raw, bins, d, apart=0):
    """Norm to d - 1 and put 1 in the own bin, which counts with what is set apart."""
    weights = (d - 1) * raw / (raw.sum(1, keepdim=True) - apart)
    weights[torch.arange(len(bins)), bins] = 1
    return weights


def mean_one(bins, d):
    return normed(distances(bins, d), bins, d)


def looped(bins, d):
    rows = []
    for own in bins.tolist():
        total = sum(abs(own - j) for j in range(d))
        rows.append([1.0 if j == own else (d - 1) * abs(own - j) / total for j in range(d)])
    return rows


def own_set(value):
    return lambda bins, d: torch.where(distances(bins, d) == 0, value, mean_one(bins, d))


WEIGHTS = {
    "own bin weighs 0": own_set(0),
    "own bin weighs 0.3: put 1": own_set(0.3),
    "norm sum_to_one": lambda b, d: mean_one(b, d) / (d - 1),
    "bare distances": distances,
    "have a sign": lambda b, d: normed((torch.arange(d) - b[:, None]).float(), b, d),
    "turn it round, the further": lambda b, d: normed(d - distances(b, d), b, d, apart=d),
    "the further the heavier": lambda b, d: normed(1 / distances(b, d).clamp(min=1), b, d, apart=1),
    "3 weights for 4 bins: is the last bin forgotten": lambda b, d: mean_one(b, int(b.max()) + 1),
    "transpose it": lambda b, d: mean_one(b, d).T,
    "give (B, d)": lambda b, d: mean_one(b, d).sum(1),
    "do not divide by it": lambda b, d: 1 / distances(b, d),
    "over the pictures": lambda b, d: (d - 1) * distances(b, d) / distances(b, d).sum(0),
    "for a picture of bin 1, bin 0 weighs 0.571; yours is 1.071": lambda b, d: mean_one(b, d) + 0.5,
}


# ---------------------------------------------------------------- skewed_bins
COUNTING = load_task("counting")
# Of a hundred: 30 ones, 20 twos, 15 threes, 15 fours, 8 sevens, 7 elevens, 5 twenties.
COUNTS = np.repeat([1, 2, 3, 4, 7, 11, 20], [30, 20, 15, 15, 8, 7, 5])
WORDS = ("hardly any", "a few", "several", "many", "a crowd of")


def bins(*edges, phrases=WORDS):
    return replace(COUNTING, bin_edges=edges, bin_phrases=phrases[: len(edges)])


def test_good_bins_pass_with_their_numbers():
    verdict = check.skewed_bins(bins(1, 3, 5, 11), COUNTS)
    passed(verdict)
    assert "rarest of your 4 bins has 8% of the pictures" in verdict.message
    assert "widest spans 9 of 19 objects" in verdict.message
    # Exactly 5 % is enough.
    passed(check.skewed_bins(bins(1, 2, 4, 11, 14), COUNTS))


@pytest.mark.parametrize(
    ("task", "diagnosis"),
    [
        ({"edges": 3}, "that is a dict"),
        (bins(1, 3, 5, 14, 19), "'many' (from 14 on) has 0.0% of the pictures"),
        (bins(1, 3, 5, 14, 19), "or join it with 'a crowd of'"),
        (bins(1, 2, 3, 4, 5), "'a crowd of' (from 5 on) spans 15 of the 19 objects"),
        (bins(1, 3, 5, 11, phrases=("1 or 2", *WORDS)), "'1 or 2' holds a digit"),
        (bins(1, 3, 5, 11, phrases=("up to Twenty-one", *WORDS)), "the number word 'twenty'"),
    ],
)
def test_bins_are_diagnosed(task, diagnosis):
    wrong(check.skewed_bins(task, COUNTS), diagnosis)


def test_words_that_hold_numbers_inside_are_words():
    phrases = ("someone", "often", "weighty", "tension")
    passed(check.skewed_bins(bins(1, 3, 5, 11, phrases=phrases), COUNTS))


# ---------------------------------------------------------------- broken_regressor
def value(logits, anchors, moves, low=0.5, high=2.0):
    return (logits.softmax(1) * anchors / (1 + moves).clamp(low, high)).sum(1)


def by_where(logits, anchors, moves):
    safe = torch.where(moves > -0.5, 1 / (1 + moves), 2.0)
    return (logits.softmax(1) * anchors * safe).sum(1)


def value_of_products(logits, anchors, moves):
    return torch.einsum("bd,d->b", logits.softmax(1) / (1 + moves).clamp(min=0.5), anchors)


def share(logits):
    return logits.softmax(1)


REGRESSORS = {
    "value is not finite": lambda s, b, m: (share(s) * b / (1 + m)).sum(1),
    "not the divisor 1 + move": lambda s, b, m: (share(s) * b / (1 + m.clamp(0.5, 2))).sum(1),
    "no probabilities yet": lambda s, b, m: (s * b / (1 + m).clamp(0.5, 2)).sum(1),
    "softmax runs over the pictures": lambda s, b, m: (
        s.softmax(0) * b / (1 + m).clamp(0.5, 2)).sum(1),
    "you clamp the value": lambda s, b, m: value(s, b, m, 1e-30, 9).clamp(0, 1),
    "your divisor is 1e-06": lambda s, b, m: (share(s) * b / (1 + m + 1e-6)).sum(1),
    "sum over the bins, dim=1": lambda s, b, m: (share(s) * b / (1 + m).clamp(0.5, 2)).sum(0),
    "a value for each bin is left": lambda s, b, m: share(s) * b / (1 + m).clamp(0.5, 2),
    "shape (5, 1)": lambda s, b, m: value(s, b, m)[:, None],
    "stay in torch": lambda s, b, m: value(s, b, m).detach().numpy(),
    "gradient to the moves is not finite": by_where,
    "reaches the logits or the moves": lambda s, b, m: value(s, b, m).detach(),
    "reaches the moves": lambda s, b, m: value(s, b, m.detach()),
    "the value is 0.": lambda s, b, m: value(s, b, m) + torch.tensor([0.1, 0, 0, 0, 0]),
}  # fmt: skip


# ---------------------------------------------------------------- negative_logits
def row(logits, own):
    return mean_one(torch.tensor([own]), len(logits))[0].to(logits.dtype)


def entropy(logits, own):
    return F.cross_entropy(logits[None], torch.tensor([own]))


def released(logits, own):
    return entropy(row(logits, own) * logits, own)


def in_own(weights, own, value):
    return torch.where(torch.arange(len(weights)) == own, value, weights)


RELEASED = {
    "that is the paper form": lambda s, c: entropy(s + row(s, c).log(), c),
    "weight stands on exp(logit)": lambda s, c: entropy(
        s + in_own(row(s, c) / (len(s) - 1), c, 1).log(), c),
    "plain cross-entropy": entropy,
    "own bin weighs 0": lambda s, c: entropy(in_own(row(s, c), c, 0) * s, c),
    "own bin is missing": lambda s, c: (
        (row(s, c) * s)[torch.arange(len(s)) != c].logsumexp(0) - s[c]),
    "as they are, without abs or clamp": lambda s, c: entropy(row(s, c) * s.clamp(min=0), c),
    "return one number": lambda s, c: row(s, c) * s,
    "own bin 0 the loss is 9.201; yours is 10.2": lambda s, c: released(s, c) + 1,
    "no gradient reaches the logits": lambda s, c: released(s, c).detach(),
}  # fmt: skip


def by_hand(logits, own):
    weights = looped(torch.tensor([own]), 5)[0]
    weighed = [weight * logit for weight, logit in zip(weights, logits.tolist(), strict=True)]
    return np.log(sum(np.exp(s - weighed[own]) for s in weighed))


RIGHT = {
    check.ranking_weights: [mean_one, looped, losses.ranking_weights],
    check.broken_regressor: [value, value_of_products],
    check.negative_logits: [
        released, by_hand, lambda s, c: losses.fcrc(s[None], torch.tensor([c]), "released"),
    ],
}  # fmt: skip
WRONG = {check.ranking_weights: WEIGHTS, check.broken_regressor: REGRESSORS,
         check.negative_logits: RELEASED}  # fmt: skip


def test_the_released_form_passes_with_its_numbers():
    verdict = check.negative_logits(released)
    for number in ("is 9.20, plain cross-entropy's 0.45", "is 0.0007 against 0.0185"):
        assert number in verdict.message


@right_answers(RIGHT)
def test_right_answers_pass(judge, answer):
    passed(judge(answer))


@wrong_answers(WRONG)
def test_wrong_answers_are_diagnosed(judge, diagnosis, answer):
    wrong(judge(answer), diagnosis)

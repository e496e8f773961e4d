from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ordlib import losses
from ordlib.course.checks import numclip as check
from ordlib.tasks import load_task


def wrong(verdict, diagnosis):
    assert verdict.state == "not yet"
    assert diagnosis in verdict.message


def distances(bins, d):
    return (bins[:, None] - torch.arange(d)).abs().float()


def normed(raw, bins, d):
    """Norm to d - 1 and put 1 in the own bin."""
    weights = (d - 1) * raw / raw.sum(1, keepdim=True)
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
    def weights(bins, d):
        table = mean_one(bins, d)
        table[torch.arange(len(bins)), bins] = value
        return table

    return weights


def without_last(bins, d):
    raw = distances(bins, d)
    raw[:, -1] = 0
    return normed(raw, bins, d)


def one_wrong_cell(bins, d, place=-1):
    table = mean_one(bins, d)
    table[0, place] += 0.5
    return table


WEIGHTS = {
    "own bin weighs 0": own_set(0),
    "own bin weighs 0.3: put 1": own_set(0.3),
    "norm sum_to_one": lambda b, d: mean_one(b, d) / (d - 1),
    "bare distances": distances,
    "sum to d: multiply by d - 1": lambda b, d: mean_one(b, d) * d / (d - 1),
    "own bin counts in the sum": lambda b, d: (
        (d - 1) * distances(b, d) / (distances(b, d).sum(1, keepdim=True) + 1)
    ),
    "squared distances: take |c - j| itself": lambda b, d: normed(distances(b, d) ** 2, b, d),
    "itself, and norm them": lambda b, d: distances(b, d) ** 2,
    "have a sign": lambda b, d: torch.arange(d) - b[:, None],
    "the further the heavier": lambda b, d: normed(
        (d - distances(b, d)) * (distances(b, d) > 0), b, d
    ),
    "turn it round": lambda b, d: normed(
        torch.where(distances(b, d) > 0, 1 / distances(b, d), 0.0), b, d
    ),
    "last bin is left out": without_last,
    "is the last bin forgotten": lambda b, d: mean_one(b, d)[:, :-1],
    "transpose it": lambda b, d: mean_one(b, d).T,
    "table of all bins": lambda b, d: mean_one(torch.arange(d), d),
    "give (B, d)": lambda b, d: mean_one(b, d).sum(1),
    "do not divide by it": lambda b, d: 1 / distances(b, d),
    "over the pictures of the batch": lambda b, d: (
        (d - 1) * distances(b, d) / distances(b, d).sum(0)
    ),
    "softmax of the distances": lambda b, d: (d - 1) * distances(b, d).softmax(1),
    "every bin weighs 1": lambda b, d: torch.ones(len(b), d),
    "for a picture of bin 1, bin 4 weighs 1.714; yours is 2.214": one_wrong_cell,
    "of 3 bins": lambda b, d: mean_one(b, d) if d == 5 else one_wrong_cell(b, d, 0),
    "raised ZeroDivisionError": lambda b, d: 1 / 0,
}


@pytest.mark.parametrize("answer", [mean_one, looped, losses.ranking_weights])
def test_right_weights_pass(answer):
    assert check.ranking_weights(answer).state == "passed"


@pytest.mark.parametrize("diagnosis", WEIGHTS)
def test_weights_are_diagnosed(diagnosis):
    wrong(check.ranking_weights(WEIGHTS[diagnosis]), diagnosis)


def test_stubs_are_not_started():
    assert check.ranking_weights(lambda b, d: ...).state == "not started"
    assert check.broken_regressor(lambda s, b, m: None).state == "not started"
    assert check.negative_logits(lambda s, c: ...).state == "not started"
    assert check.skewed_bins(..., [1]).state == "not started"


# ---------------------------------------------------------------- skewed_bins
COUNTING = load_task("counting")
# Of a hundred: 30 ones, 20 twos, 15 threes, 15 fours, 8 sevens, 7 elevens, 5 twenties.
COUNTS = np.repeat([1, 2, 3, 4, 7, 11, 20], [30, 20, 15, 15, 8, 7, 5])
WORDS = ("hardly any", "a few", "several", "many", "a crowd of")


def bins(*edges, phrases=WORDS):
    return replace(COUNTING, bin_edges=edges, bin_phrases=phrases[: len(edges)])


def test_good_bins_pass_with_their_numbers():
    verdict = check.skewed_bins(bins(1, 3, 5, 11), COUNTS)
    assert verdict.state == "passed"
    assert "rarest of your 4 bins has 8% of the pictures" in verdict.message
    assert "widest spans 9 of 19 objects" in verdict.message
    # Exactly 5 % is enough.
    assert check.skewed_bins(bins(1, 2, 4, 11, 14), COUNTS).state == "passed"


@pytest.mark.parametrize(
    ("task", "diagnosis"),
    [
        ({"edges": 3}, "that is a dict"),
        (bins(1, 3, 5, 14, 19), "'many' (from 14 on) has 0.0% of the pictures"),
        (bins(1, 3, 5, 14, 19), "or join it with 'a crowd of'"),
        (bins(1, 2, 3, 4, 5), "'a crowd of' (from 5 on) spans 15 of the 19 objects"),
        (bins(1, 12), "'hardly any' (from 1 on) spans 11 of the 19"),
        (bins(1, 3, 5, 11, phrases=("1 or 2", *WORDS)), "'1 or 2' holds a digit"),
        (bins(1, 3, 5, 11, phrases=("up to Twenty-one", *WORDS)), "the number word 'twenty'"),
        (load_task("dating"), "the phrase '1930s' holds a digit"),
    ],
)
def test_bins_are_diagnosed(task, diagnosis):
    if diagnosis.startswith("the phrase '1930s'"):
        task = replace(task, bin_edges=None, bin_phrases=None, words=None)
        values = np.arange(5)
    else:
        values = COUNTS
    wrong(check.skewed_bins(task, values), diagnosis)


def test_words_that_hold_numbers_inside_are_words():
    phrases = ("someone", "often", "weighty", "tension")
    assert check.skewed_bins(bins(1, 3, 5, 11, phrases=phrases), COUNTS).state == "passed"


# ---------------------------------------------------------------- broken_regressor
def value(logits, anchors, moves, low=0.5, high=2.0):
    return (logits.softmax(1) * anchors / (1 + moves).clamp(low, high)).sum(1)


def by_where(logits, anchors, moves):
    safe = torch.where(moves > -0.5, 1 / (1 + moves), 2.0)
    return (logits.softmax(1) * anchors * safe).sum(1)


def share(logits):
    return logits.softmax(1)


REGRESSORS = {
    "value is not finite": lambda s, b, m: (share(s) * b / (1 + m)).sum(1),
    "not the divisor 1 + move": lambda s, b, m: (share(s) * b / (1 + m.clamp(0.5, 2))).sum(1),
    "stops at 1.5": lambda s, b, m: (share(s) * b / (1 + m).clamp(0.5, 1.5)).sum(1),
    "no probabilities yet": lambda s, b, m: (s * b / (1 + m).clamp(0.5, 2)).sum(1),
    "a sigmoid": lambda s, b, m: (s.sigmoid() * b / (1 + m).clamp(0.5, 2)).sum(1),
    "softmax runs over the pictures": lambda s, b, m: (
        s.softmax(0) * b / (1 + m).clamp(0.5, 2)
    ).sum(1),
    "multiply by the divisor": lambda s, b, m: (share(s) * b * (1 + m).clamp(0.5, 2)).sum(1),
    "moves are left out": lambda s, b, m: share(s) @ b,
    "anchors are left out": lambda s, b, m: (share(s) / (1 + m).clamp(0.5, 2)).sum(1),
    "by adding": lambda s, b, m: (share(s) * (b + m)).sum(1),
    "at most 1": lambda s, b, m: value(s, b, m, 0.5, 1),
    "you clamp the value": lambda s, b, m: (
        (share(s) * b / (1 + m).clamp(min=1e-30)).sum(1).clamp(0, 1)
    ),
    "your divisor is 0.1:": lambda s, b, m: value(s, b, m, 0.1),
    "your divisor is 1e-06": lambda s, b, m: (share(s) * b / (1 + m + 1e-6)).sum(1),
    "sum over the bins, dim=1": lambda s, b, m: (share(s) * b / (1 + m).clamp(0.5, 2)).sum(0),
    "a value for each bin is left": lambda s, b, m: share(s) * b / (1 + m).clamp(0.5, 2),
    "one number": lambda s, b, m: value(s, b, m).sum(),
    "shape (5, 1)": lambda s, b, m: value(s, b, m)[:, None],
    "stay in torch": lambda s, b, m: value(s, b, m).detach().numpy(),
    "gradient to the moves is NaN": by_where,
    "reaches the logits or the moves": lambda s, b, m: value(s, b, m).detach(),
    "reaches the moves": lambda s, b, m: value(s, b, m.detach()),
    "reaches the logits:": lambda s, b, m: value(s.detach(), b, m),
    "the value is 0.": lambda s, b, m: value(s, b, m) + torch.tensor([0.1, 0, 0, 0, 0]),
}


@pytest.mark.parametrize(
    "answer",
    [value, lambda s, b, m: torch.einsum("bd,d->b", share(s) / (1 + m).clamp(min=0.5), b)],
)
def test_right_regressors_pass(answer):
    assert check.broken_regressor(answer).state == "passed"


@pytest.mark.parametrize("diagnosis", REGRESSORS)
def test_regressors_are_diagnosed(diagnosis):
    wrong(check.broken_regressor(REGRESSORS[diagnosis]), diagnosis)


def test_an_answer_cannot_spoil_the_check():
    def spoils(logits, anchors, moves):
        with torch.no_grad():
            logits.zero_(), anchors.zero_(), moves.zero_()
        return logits.sum(1)

    assert check.broken_regressor(spoils).state == "not yet"
    assert check.broken_regressor(value).state == "passed"


# ---------------------------------------------------------------- negative_logits
def row(logits, own):
    return mean_one(torch.tensor([own]), len(logits))[0].to(logits.dtype)


def entropy(logits, own):
    return F.cross_entropy(logits[None], torch.tensor([own]))


def released(logits, own):
    return entropy(row(logits, own) * logits, own)


def in_own(weights, own, value):
    weights = weights.clone()
    weights[own] = value
    return weights


def straight_through(logits, own):
    """The right loss, with the gradient of unweighted logits."""
    return entropy(logits + (row(logits, own) * logits - logits).detach(), own)


def soft_weights(logits, own):
    """Weights that are right, but for a gradient of their own."""
    leak = logits.sum() - logits.sum().detach()
    return entropy((row(logits, own) + leak * torch.arange(len(logits))) * logits, own)


RELEASED = {
    "that is the paper form": lambda s, c: entropy(s + row(s, c).log(), c),
    "weight stands on exp(logit)": lambda s, c: entropy(
        s + in_own(row(s, c) / (len(s) - 1), c, 1).log(), c
    ),
    "plain cross-entropy": entropy,
    "own bin weighs 0": lambda s, c: entropy(in_own(row(s, c), c, 0) * s, c),
    "weights sum to 1": lambda s, c: entropy(in_own(row(s, c) / (len(s) - 1), c, 1) * s, c),
    "minus the logarithm": lambda s, c: -released(s, c),
    "own bin is missing": lambda s, c: (
        torch.cat([(row(s, c) * s)[:c], (row(s, c) * s)[c + 1 :]]).logsumexp(0) - s[c]
    ),
    "that is a probability": lambda s, c: torch.exp(-released(s, c)),
    "after the softmax": lambda s, c: row(s, c) @ s.softmax(0) - 1,
    "divided by their weights": lambda s, c: entropy(s / row(s, c), c),
    "wrong where some are negative": lambda s, c: entropy(row(s, c) * s.abs(), c),
    "as they are, without abs or clamp": lambda s, c: entropy(row(s, c) * s.clamp(min=0), c),
    "right for own bin 0": lambda s, c: entropy(row(s, 0) * s, c),
    "return one number": lambda s, c: row(s, c) * s,
    "own bin 0 the loss is 9.201; yours is 10.2": lambda s, c: released(s, c) + 1,
    "no gradient reaches the logits": lambda s, c: released(s, c).detach(),
    "gradient lacks the weights": straight_through,
    "do your weights depend on the logits": soft_weights,
}


def by_hand(logits, own):
    total = sum(abs(own - j) for j in range(5))
    weighed = [
        s if j == own else 4 * abs(own - j) / total * s for j, s in enumerate(logits.tolist())
    ]
    return np.log(sum(np.exp(s - weighed[own]) for s in weighed))


@pytest.mark.parametrize(
    "answer",
    [released, by_hand, lambda s, c: losses.fcrc(s[None], torch.tensor([c]), "released")],
)
def test_the_released_form_passes_with_its_numbers(answer):
    verdict = check.negative_logits(answer)
    assert verdict.state == "passed"
    for number in ("is 9.20, plain cross-entropy's 0.45", "is 0.0007 against 0.0185"):
        assert number in verdict.message


@pytest.mark.parametrize("diagnosis", RELEASED)
def test_the_released_form_is_diagnosed(diagnosis):
    wrong(check.negative_logits(RELEASED[diagnosis]), diagnosis)

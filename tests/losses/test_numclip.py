"""NumCLIP's losses against naive loops over images and bins, in float64, with gradients."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_checks import assert_equals_naive

from ordlib.losses import fcrc, ranking_weights, text_to_image_kl


def naive_weight(c: int, j: int, d: int, norm: str) -> float:
    if c == j:
        return 1.0
    return abs(c - j) / sum(abs(c - k) for k in range(d)) * (d - 1 if norm == "mean_one" else 1)


def naive_fcrc(logits, bins, form, norm):
    losses = []
    for row, c in zip(logits, bins.tolist(), strict=True):
        weights = [naive_weight(c, j, len(row), norm) for j in range(len(row))]
        if form == "plain":
            terms = [torch.exp(s) for s in row]
        elif form == "paper":
            terms = [w * torch.exp(s) for w, s in zip(weights, row, strict=True)]
        else:
            terms = [torch.exp(w * s) for w, s in zip(weights, row, strict=True)]
        losses.append(-torch.log(terms[c] / sum(terms)))
    return sum(losses) / len(losses)


def naive_kl(logits, bins, weighted=True):
    batch, d = logits.shape
    bins, divergences = bins.tolist(), []
    for j in sorted(set(bins)):
        total = sum(abs(j - c) for c in bins)
        scaled = []
        for i in range(batch):
            negative_weight = (d - 1) * abs(j - bins[i]) / total if total and weighted else 1.0
            scaled.append((1.0 if bins[i] == j else negative_weight) * logits[i, j])
        q = [torch.exp(x) / sum(torch.exp(y) for y in scaled) for x in scaled]
        p = [math.exp(10.0 * (c == j)) for c in bins]
        p = [x / sum(p) for x in p]
        terms = [a * (math.log(a) - torch.log(b)) for a, b in zip(p, q, strict=True)]
        divergences.append(sum(terms))
    return sum(divergences) / len(divergences)


def random_logits(batch, d, seed=1):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(batch, d, dtype=torch.float64, generator=generator)
    return logits, torch.randint(d, (batch,), generator=generator)


WORKED_EXAMPLE = torch.tensor([[26.0, 25.0, 24.0, 23.0, 22.0]], dtype=torch.float64)
FORMS = [
    ("plain", "mean_one"),
    ("paper", "sum_to_one"),
    ("paper", "mean_one"),
    ("released", "mean_one"),
]
LOSSES = {
    f"fcrc {form} {norm}": [partial(loss, form=form, norm=norm) for loss in (fcrc, naive_fcrc)]
    for form, norm in FORMS
} | {
    f"kl weighted={weighted}": [
        partial(loss, weighted=weighted) for loss in (text_to_image_kl, naive_kl)
    ]
    for weighted in (True, False)
}
for_each_loss = pytest.mark.parametrize(("loss", "naive"), LOSSES.values(), ids=LOSSES.keys())


@for_each_loss
@settings(max_examples=15, deadline=None)
@given(batch=st.integers(1, 7), d=st.integers(2, 9), seed=st.integers(0, 99))
def test_loss_equals_naive_loop(loss, naive, batch, d, seed):
    logits, bins = random_logits(batch, d, seed)
    assert_equals_naive(loss, naive, (logits,), bins)


@for_each_loss
@pytest.mark.parametrize(
    ("bins", "d"),
    [([2] * 4, 5), ([0, 4, 0, 4], 5), ([4], 5), ([0], 5), ([0, 1, 1], 2), ([0, 0], 2), ([1], 2)],
)
def test_loss_equals_naive_loop_for_extreme_batches(loss, naive, bins, d):
    assert_equals_naive(loss, naive, (random_logits(len(bins), d)[0],), torch.tensor(bins))


@for_each_loss
def test_loss_is_finite_for_large_logits(loss, naive):
    assert loss(torch.tensor([[100.0, -100.0, 99.0]] * 2), torch.tensor([0, 1])).isfinite()


@pytest.mark.parametrize(("form", "norm"), FORMS)
def test_fcrc_with_two_bins_equals_cross_entropy(form, norm):
    logits, bins = random_logits(6, 2)
    expected = torch.nn.functional.cross_entropy(logits, bins)
    torch.testing.assert_close(fcrc(logits, bins, form, norm), expected)


@pytest.mark.parametrize(
    ("form", "norm", "expected"),
    [("paper", "sum_to_one", 0.083), ("paper", "mean_one", 0.296), ("released", "mean_one", 9.20)],
)
def test_fcrc_equals_worked_example(form, norm, expected):
    loss = fcrc(WORKED_EXAMPLE, torch.tensor([0]), form, norm).item()
    assert loss == pytest.approx(expected, abs=0.005)


def test_released_fcrc_underweights_far_bins_with_negative_logits():
    logits = torch.tensor([[10.0, 6.0, 2.0, -2.0, -6.0]])
    assert fcrc(logits, torch.tensor([0]), "released").item() == pytest.approx(0.0007, abs=5e-5)


@pytest.mark.parametrize(
    ("true_bin", "expected"),
    [
        (0, [1, 0.4, 0.8, 1.2, 1.6]),
        (1, [4 / 7, 1, 4 / 7, 8 / 7, 12 / 7]),
        (2, [4 / 3, 2 / 3, 1, 2 / 3, 4 / 3]),
    ],
)
def test_ranking_weights_equal_released_weights(true_bin, expected):
    weights = ranking_weights(torch.tensor([true_bin]), 5)[0]
    torch.testing.assert_close(weights, torch.tensor(expected, dtype=torch.float32))


@pytest.mark.parametrize(("name", "value"), [("form", "printed"), ("norm", "none")])
def test_fcrc_rejects_unknown_choice(name, value):
    with pytest.raises(ValueError, match=f"{name} = '{value}'"):
        fcrc(WORKED_EXAMPLE, torch.tensor([0]), **{name: value})


def test_ranking_weights_rejects_single_bin():
    with pytest.raises(ValueError, match="num_bins = 1"):
        ranking_weights(torch.tensor([0]), 1)

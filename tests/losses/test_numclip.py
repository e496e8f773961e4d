"""Losses of NumCLIP and CORN against loops over pictures and bins, in float64, with gradients."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ordlib.losses import corn_loss, fcrc, ranking_weights, text_to_image_kl

WORKED = torch.tensor([[26.0, 25.0, 24.0, 23.0, 22.0]], dtype=torch.float64)


def naive_weight(own: int, other: int, d: int, norm: str) -> float:
    if own == other:
        return 1.0
    total = sum(abs(own - k) for k in range(d))
    return abs(own - other) / total * (d - 1 if norm == "mean_one" else 1)


def naive_fcrc(logits, bins, form, norm):
    losses = []
    for row, own in zip(logits, bins.tolist(), strict=True):
        d = len(row)
        if form == "released":
            scaled = [naive_weight(own, j, d, "mean_one") * row[j] for j in range(d)]
            parts = [torch.exp(x) for x in scaled]
        else:
            parts = [naive_weight(own, j, d, norm) * torch.exp(row[j]) for j in range(d)]
        losses.append(-torch.log(parts[own] / sum(parts)))
    return sum(losses) / len(losses)


def naive_plain(logits, bins):
    losses = []
    for row, own in zip(logits, bins.tolist(), strict=True):
        losses.append(-torch.log(torch.exp(row[own]) / sum(torch.exp(x) for x in row)))
    return sum(losses) / len(losses)


def naive_unweighted(logits, bins):
    return naive_kl(logits, bins, ranking=False)


def naive_corn(logits, ranks):
    losses = []
    for row, rank in zip(logits, ranks.tolist(), strict=True):
        for step in range(len(row)):
            if rank < step:
                break
            beyond = 1 / (1 + torch.exp(-row[step]))
            losses.append(-torch.log(beyond if rank > step else 1 - beyond))
    return sum(losses) / len(losses)


def plain(logits, bins):
    return fcrc(logits, bins, form="plain")


def unweighted(logits, bins):
    return text_to_image_kl(logits, bins, ranking=False)


def naive_kl(logits, bins, ranking=True):
    batch, d = logits.shape
    own, divergences = bins.tolist(), []
    for i in sorted(set(own)):
        total = sum(abs(i - c) for c in own)
        scaled = []
        for b in range(batch):
            far = (d - 1) * abs(i - own[b]) / total if total and ranking else 1.0
            weight = 1.0 if own[b] == i else far
            scaled.append(weight * logits[b, i])
        softmax = [torch.exp(x) / sum(torch.exp(y) for y in scaled) for x in scaled]
        target = [math.exp(10.0 * (c == i)) for c in own]
        target = [t / sum(target) for t in target]
        divergences.append(
            sum(t * (math.log(t) - torch.log(q)) for t, q in zip(target, softmax, strict=True))
        )
    return sum(divergences) / len(divergences)


def both(loss, naive, logits, *arguments):
    """Value and gradient of a loss and of its reference."""
    found = []
    for function in (loss, naive):
        leaf = logits.clone().requires_grad_()
        value = function(leaf, *arguments)
        (gradient,) = torch.autograd.grad(value, leaf)
        found.append((value, gradient))
    return found


def assert_same(found):
    (value, gradient), (expected, reference) = found
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(gradient, reference, rtol=1e-9, atol=1e-10)


def a_batch(batch, d, seed, spread=3.0):
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(batch, d, dtype=torch.float64, generator=generator)
    return logits, torch.randint(d, (batch,), generator=generator)


PAIRS = [(plain, naive_plain), (unweighted, naive_unweighted), (corn_loss, naive_corn)]
each_pair = pytest.mark.parametrize(("loss", "naive"), PAIRS, ids=["plain", "unweighted", "corn"])
FORMS = [("paper", "sum_to_one"), ("paper", "mean_one"), ("released", "mean_one")]


@pytest.mark.parametrize(("form", "norm"), FORMS)
@settings(max_examples=15, deadline=None)
@given(batch=st.integers(1, 7), d=st.integers(2, 9), seed=st.integers(0, 99))
def test_fcrc_is_the_loop(form, norm, batch, d, seed):
    assert_same(both(fcrc, naive_fcrc, *a_batch(batch, d, seed), form, norm))


@settings(max_examples=25, deadline=None)
@given(batch=st.integers(1, 7), d=st.integers(2, 9), seed=st.integers(0, 99))
def test_text_to_image_is_the_loop(batch, d, seed):
    assert_same(both(text_to_image_kl, naive_kl, *a_batch(batch, d, seed)))


@each_pair
@settings(max_examples=15, deadline=None)
@given(batch=st.integers(1, 7), d=st.integers(2, 9), seed=st.integers(0, 99))
def test_the_losses_without_weights_are_the_loops(loss, naive, batch, d, seed):
    logits, bins = a_batch(batch, d, seed)
    # CORN asks about the steps between d ranks.
    assert_same(both(loss, naive, logits[:, 1:] if loss is corn_loss else logits, bins))


@each_pair
@pytest.mark.parametrize(
    ("ranks", "d"),
    [([2, 2, 2], 5), ([0, 4, 0], 5), ([4], 5), ([0], 5), ([0, 1, 1], 2), ([0, 0], 2), ([1], 2)],
    ids=["equal", "absent", "one, last", "one, first", "two", "two, equal", "two, one"],
)
def test_edge_cases_without_weights(loss, naive, ranks, d):
    logits = a_batch(len(ranks), d, 2)[0]
    found = both(loss, naive, logits[:, 1:] if loss is corn_loss else logits, torch.tensor(ranks))
    assert_same(found)
    assert found[0][1].isfinite().all()


@pytest.mark.parametrize(
    "bins",
    [[2, 2, 2, 2], [0, 4, 0, 4], [3], [0, 1, 2, 3, 4]],
    ids=["equal", "absent", "one", "all"],
)
def test_edge_cases_are_the_loops_too(bins):
    logits, bins = a_batch(len(bins), 5, 1)[0], torch.tensor(bins)
    for form, norm in FORMS:
        assert_same(both(fcrc, naive_fcrc, logits, bins, form, norm))
    assert_same(both(text_to_image_kl, naive_kl, logits, bins))


def test_two_bins_leave_nothing_to_rank():
    logits, bins = a_batch(6, 2, 3)
    plain = torch.nn.functional.cross_entropy(logits, bins)
    for form, norm in FORMS:
        torch.testing.assert_close(fcrc(logits, bins, form, norm), plain)


@pytest.mark.parametrize(
    ("form", "norm", "expected"),
    [
        ("paper", "sum_to_one", 0.083),
        ("paper", "mean_one", 0.296),
        ("released", "mean_one", 9.20),
    ],
)
def test_worked_numbers(form, norm, expected):
    assert fcrc(WORKED, torch.tensor([0]), form, norm).item() == pytest.approx(expected, abs=0.005)


def test_the_released_form_lets_far_bins_off_where_logits_are_negative():
    logits = torch.tensor([[10.0, 6.0, 2.0, -2.0, -6.0]])
    assert fcrc(logits, torch.tensor([0]), "released").item() == pytest.approx(0.0007, abs=5e-5)


@pytest.mark.parametrize(
    ("own", "row"),
    [(0, [1, 0.4, 0.8, 1.2, 1.6]), (1, [4 / 7, 1, 4 / 7, 8 / 7, 12 / 7]), (2, [4 / 3, 2 / 3, 1])],
)
def test_weights_are_those_of_the_release(own, row):
    found = ranking_weights(torch.tensor([own]), 5)[0]
    torch.testing.assert_close(found[: len(row)], torch.tensor(row, dtype=torch.float32))


def test_no_logit_is_too_large():
    logits = torch.tensor([[100.0, -100.0, 99.0]] * 2)
    for form, norm in FORMS:
        assert fcrc(logits, torch.tensor([0, 1]), form, norm).isfinite()
    for loss in (text_to_image_kl, plain, unweighted, corn_loss):
        assert loss(logits, torch.tensor([0, 1])).isfinite()


@pytest.mark.parametrize(
    ("change", "message"),
    [({"form": "printed"}, "form = 'printed'"), ({"norm": "none"}, "norm = 'none'")],
)
def test_unknown_names(change, message):
    with pytest.raises(ValueError, match=message):
        fcrc(WORKED, torch.tensor([0]), **change)


def test_one_bin_is_no_ranking():
    with pytest.raises(ValueError, match="num_bins = 1"):
        ranking_weights(torch.tensor([0]), 1)

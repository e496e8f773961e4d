"""L2RCLIP's losses against loops over pictures, ranks and pairs, in float64; edges and signs."""

import math
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ordlib.losses import (
    PairwiseLoss,
    batch_ordinal_pairwise,
    diversity,
    l2rclip_loss,
    ordinal_pairwise,
    tightness,
)


def unit(row):
    return row / row.square().sum().sqrt()


def far(one, other):
    squared = (unit(one) - unit(other)).square().sum()
    # As released: never below 1e-6, and constant there.
    return torch.sqrt(squared) if squared > 1e-12 else 0 * squared + 1e-6


def shares(distances):
    low, high = min(distances), max(distances)
    return [(d - low) / high if high else 0.0 for d in distances]


def naive_tightness(v, t, ranks, *_):
    return sum(far(v[i], t[r]) ** 2 for i, r in enumerate(ranks.tolist())) / len(v)


def naive_diversity(v, t, ranks, values, rank_values):
    pairs = [(i, m) for i in range(len(v)) for m in range(len(t))]
    weights = shares([abs(values[i].item() - rank_values[m].item()) for i, m in pairs])
    pushed = sum(w * far(v[i], t[m]) for w, (i, m) in zip(weights, pairs, strict=True))
    return -pushed / len(pairs)


def naive_ordinal(v, t, ranks, values, rank_values, gamma=1.0):
    given = (v, t, ranks, values, rank_values)
    return naive_tightness(*given) + gamma * naive_diversity(*given)


def naive_batch(v, t, ranks, values, rank_values):
    loss, own = 0.5 * naive_tightness(v, t, ranks), ranks.tolist()
    pairs = [(i, j) for i in range(len(v)) for j in range(i + 1, len(v))]
    if not pairs:
        return loss
    weights = shares([abs(values[i].item() - values[j].item()) for i, j in pairs])
    for weight, (i, j) in zip(weights, pairs, strict=True):
        pushed = far(v[i], t[own[j]]) + 0.5 * far(t[own[i]], t[own[j]])
        loss = loss - weight * pushed / len(pairs)
    return loss


def naive_cross_entropies(rows, own):
    """The mean over rows with a positive and a negative of their positives' mean."""
    losses = []
    for row, positives in zip(rows, own, strict=True):
        if 0 < len(positives) < len(row):
            total = sum(torch.exp(x) for x in row)
            losses.append(-sum(torch.log(torch.exp(row[p]) / total) for p in positives))
            losses[-1] = losses[-1] / len(positives)
    return sum(losses) / len(losses) if losses else 0.0


NAIVE = {
    "both": naive_ordinal,
    "tightness": naive_tightness,
    "diversity": naive_diversity,
    "batch": naive_batch,
    "off": lambda *_: 0.0,
}
SCALE, WEIGHT, GAMMA, CONTRAST = 5.0, 0.7, 1.3, 0.4


def naive_total(v, t, ranks, values, rank_values, pairwise_loss):
    logits = [[SCALE * (unit(a) @ unit(b)) for b in t] for a in v]
    turned = [list(column) for column in zip(*logits, strict=True)]
    own = [[r] for r in ranks.tolist()]
    pictures = [[i for i, r in enumerate(ranks.tolist()) if r == m] for m in range(len(t))]
    loss = naive_cross_entropies(logits, own)
    loss = loss + CONTRAST * (loss + naive_cross_entropies(turned, pictures))
    order = NAIVE[pairwise_loss](v, t, ranks, values, rank_values)
    if pairwise_loss == "both":
        order = naive_ordinal(v, t, ranks, values, rank_values, GAMMA)
    if pairwise_loss == "diversity":
        order = GAMMA * order
    return loss + WEIGHT * order


def total(v, t, ranks, values, rank_values, pairwise_loss):
    weights = {"pairwise_weight": WEIGHT, "gamma": GAMMA, "contrastive_weight": CONTRAST}
    return l2rclip_loss(
        v, t, ranks, values, rank_values, scale=SCALE, pairwise_loss=pairwise_loss, **weights
    )


def a_batch(batch, count, seed, ranks=None):
    """Pictures, texts, ranks, values that may lie between ranks, and uneven rank_values."""
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(batch, 4, dtype=torch.float64, generator=generator)
    t = 3 * torch.randn(count, 4, dtype=torch.float64, generator=generator)
    if ranks is None:
        ranks = torch.randint(count, (batch,), generator=generator).tolist()
    rank_values = 1 + torch.arange(count, dtype=torch.float64) ** 1.5
    between = 0.3 * torch.rand(batch, dtype=torch.float64, generator=generator) * (seed % 2)
    return v, t, torch.tensor(ranks), rank_values[ranks] + between, rank_values


def value_and_gradients(loss, v, t, *given):
    v, t = v.clone().requires_grad_(), t.clone().requires_grad_()
    value = loss(v, t, *given)
    return value, *torch.autograd.grad(value, (v, t), allow_unused=True, materialize_grads=True)


def assert_is_the_loop(loss, naive, batch, *more):
    found = value_and_gradients(loss, *batch, *more)
    expected = value_and_gradients(naive, *batch, *more)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-9)
    assert all(tensor.isfinite().all() for tensor in found)


PARTS = {
    "tightness": (lambda v, t, r, *_: tightness(v, t, r), naive_tightness),
    "diversity": (
        lambda v, t, _, values, rank_values: diversity(v, t, values, rank_values),
        naive_diversity,
    ),
    "ordinal": (ordinal_pairwise, naive_ordinal),
    "batch": (lambda v, t, r, values, _: batch_ordinal_pairwise(v, t, r, values), naive_batch),
}
every_part = pytest.mark.parametrize(("loss", "naive"), PARTS.values(), ids=PARTS.keys())
every_pairwise = pytest.mark.parametrize("pairwise_loss", get_args(PairwiseLoss))
EDGES = {
    "one label": (3, [2, 2, 2]),
    "one label, two ranks": (2, [1, 1]),
    "two ranks": (2, [0, 1, 1]),
    "a single picture": (4, [1]),
    "a single pair": (4, [0, 3]),
    "the ends alone": (5, [0, 4, 0, 4]),
}
every_edge = pytest.mark.parametrize(("count", "ranks"), EDGES.values(), ids=EDGES.keys())


@every_part
@settings(max_examples=8, deadline=None)
@given(batch=st.integers(1, 5), count=st.integers(2, 6), seed=st.integers(0, 99))
def test_each_part_is_the_loop(loss, naive, batch, count, seed):
    assert_is_the_loop(loss, naive, a_batch(batch, count, seed))


@every_pairwise
@settings(max_examples=5, deadline=None)
@given(batch=st.integers(1, 5), count=st.integers(2, 6), seed=st.integers(0, 99))
def test_the_total_is_the_loop(pairwise_loss, batch, count, seed):
    assert_is_the_loop(total, naive_total, a_batch(batch, count, seed), pairwise_loss)


@every_edge
def test_edges_are_the_loops_too(count, ranks):
    batch = a_batch(len(ranks), count, 0, ranks)
    for pairwise_loss in get_args(PairwiseLoss):
        assert_is_the_loop(total, naive_total, batch, pairwise_loss)


def test_labels_all_equal_push_nothing_in_a_batch():
    v, t, ranks, values, _ = a_batch(3, 4, 0, [2, 2, 2])
    expected = 0.5 * tightness(v, t, ranks)
    torch.testing.assert_close(batch_ordinal_pairwise(v, t, ranks, values), expected)


def test_equal_distances_from_all_ranks_push_nothing():
    v, t, *_ = a_batch(2, 2, 0, [0, 1])
    halfway = torch.tensor([1.5, 1.5], dtype=torch.float64)
    rank_values = torch.tensor([1.0, 2.0], dtype=torch.float64)
    assert diversity(v, t, halfway, rank_values).item() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@every_pairwise
def test_pictures_on_their_words_have_finite_gradients(pairwise_loss, dtype):
    t = torch.nn.functional.normalize(torch.randn(3, 5, dtype=dtype), dim=1).requires_grad_()
    ranks, rank_values = torch.tensor([0, 2, 2]), torch.tensor([1.0, 2.0, 3.0], dtype=dtype)
    v = t.detach()[ranks].clone().requires_grad_()
    value = total(v, t, ranks, rank_values[ranks], rank_values, pairwise_loss)
    value.backward()
    for tensor in (value, v.grad, t.grad):
        assert tensor.isfinite().all()


@pytest.mark.parametrize("pairwise_loss", ["diversity", "both", "batch"])
def test_moving_away_from_a_far_rank_lowers_the_loss(pairwise_loss):
    rank_values = torch.tensor([1.0, 2.0, 6.0])
    t = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    losses = []
    for angle in (0.8, 0.4, 0.0, -0.4):
        # The first picture keeps its cosines with ranks 1 and 2, but for the square's bend.
        picture = torch.tensor([1.0, 0.0, math.tan(angle)])
        v = torch.stack([picture, t[1], t[2]])
        ranks = torch.tensor([0, 1, 2])
        loss = PARTS["ordinal" if pairwise_loss == "both" else pairwise_loss][0]
        losses.append(loss(v, t, ranks, rank_values, rank_values) - tightness(v, t, ranks) * (
            {"diversity": 0.0, "both": 1.0, "batch": 0.5}[pairwise_loss]
        ))  # fmt: skip
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > losses[-1] + 0.01


def test_the_further_the_rank_the_harder_the_push():
    rank_values = torch.tensor([0.0, 1.0, 2.0, 4.0])
    t, v = torch.eye(4), torch.tensor([[1.0, 0.5, 0.5, 0.5]])
    t.requires_grad_()
    diversity(v, t, rank_values[:1], rank_values).backward()
    # A step against the gradient lowers each rank's product with the picture, by distance.
    push = (t.grad @ v[0]).tolist()
    assert push[0] == 0
    assert push[3] == pytest.approx(2 * push[2]) == pytest.approx(4 * push[1])
    assert push[1] > 0


@every_pairwise
def test_lengths_of_features_do_not_matter(pairwise_loss):
    v, t, *rest = a_batch(4, 3, 1)
    lengths = torch.tensor([[0.01], [1.0], [7.0], [300.0]], dtype=torch.float64)
    expected = total(v, t, *rest, pairwise_loss)
    torch.testing.assert_close(total(lengths * v, 0.2 * t, *rest, pairwise_loss), expected)


def test_bounds_are_those_that_are_told():
    t, ranks = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.tensor([0, 1])
    rank_values = torch.tensor([1.0, 2.0])
    assert tightness(t[[1, 0]], t, ranks).item() == pytest.approx(4)
    assert diversity(t, t, rank_values, rank_values).item() == pytest.approx(-1)


def test_weights_of_0_leave_cross_entropy():
    v, t, ranks, values, rank_values = a_batch(4, 3, 1)
    logits = SCALE * torch.nn.functional.normalize(v, dim=1) @ torch.nn.functional.normalize(t).T
    found = l2rclip_loss(
        v, t, ranks, values, rank_values, scale=SCALE, pairwise_weight=0.0, contrastive_weight=0.0
    )
    torch.testing.assert_close(found, torch.nn.functional.cross_entropy(logits, ranks))


def test_an_unknown_form_is_named():
    known = "both, tightness, diversity, batch, off"
    with pytest.raises(ValueError, match=f"^pairwise_loss = 'all': must be one of {known}$"):
        l2rclip_loss(*a_batch(2, 3, 0), scale=1.0, pairwise_loss="all")

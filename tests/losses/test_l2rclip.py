"""L2RCLIP's losses against naive loops over images, ranks and pairs, in float64, with gradients."""

import math
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_checks import assert_equals_naive, naive_contrastive
from torch.nn.functional import cross_entropy, normalize

from ordlib.losses import (
    PairwiseLoss,
    batch_ordinal_pairwise,
    diversity,
    l2rclip_loss,
    ordinal_pairwise,
    tightness,
)

# Below: v are image features, t are text features.
LOGIT_SCALE, GAMMA = 5.0, 1.3
WEIGHTS = {"pairwise_weight": 0.7, "gamma": GAMMA, "contrastive_weight": 0.4}


def unit(x):
    return x / x.square().sum().sqrt()


def distance(a, b):
    squared = (unit(a) - unit(b)).square().sum()
    # As released: never below 1e-6, and without gradient there.
    return torch.sqrt(squared) if squared > 1e-12 else 0 * squared + 1e-6


def naive_label_weights(distances):
    low, high = min(distances), max(distances)
    return [(d - low) / high if high else 0.0 for d in distances]


def naive_tightness(v, t, ranks, *_):
    return sum(distance(v[i], t[r]) ** 2 for i, r in enumerate(ranks.tolist())) / len(v)


def naive_diversity(v, t, _, values, rank_values):
    pairs = [(i, m) for i in range(len(v)) for m in range(len(t))]
    weights = naive_label_weights([abs((values[i] - rank_values[m]).item()) for i, m in pairs])
    total = sum(w * distance(v[i], t[m]) for w, (i, m) in zip(weights, pairs, strict=True))
    return -total / len(pairs)


def naive_ordinal(*args, gamma=1.0):
    return naive_tightness(*args) + gamma * naive_diversity(*args)


def naive_batch(v, t, ranks, values, _):
    loss, ranks = 0.5 * naive_tightness(v, t, ranks), ranks.tolist()
    pairs = [(i, j) for i in range(len(v)) for j in range(i + 1, len(v))]
    if not pairs:
        return loss
    weights = naive_label_weights([abs((values[i] - values[j]).item()) for i, j in pairs])
    for w, (i, j) in zip(weights, pairs, strict=True):
        distances = distance(v[i], t[ranks[j]]) + 0.5 * distance(t[ranks[i]], t[ranks[j]])
        loss = loss - w * distances / len(pairs)
    return loss


def naive_total(v, t, ranks, values, rank_values, pairwise_loss):
    logits = torch.stack([torch.stack([LOGIT_SCALE * (unit(a) @ unit(b)) for b in t]) for a in v])
    positives = torch.tensor([[rank == m for m in range(len(t))] for rank in ranks.tolist()])
    loss = naive_contrastive(logits, positives)
    text_to_image = naive_contrastive(logits.T, positives.T)
    loss = loss + WEIGHTS["contrastive_weight"] * (loss + text_to_image)
    args = v, t, ranks, values, rank_values
    pair = {
        "both": lambda: naive_ordinal(*args, gamma=GAMMA),
        "tightness": lambda: naive_tightness(*args),
        "diversity": lambda: GAMMA * naive_diversity(*args),
        "batch": lambda: naive_batch(*args),
        "off": lambda: 0.0,
    }[pairwise_loss]()
    return loss + WEIGHTS["pairwise_weight"] * pair


def total(*args):
    *tensors, pairwise_loss = args
    return l2rclip_loss(*tensors, logit_scale=LOGIT_SCALE, pairwise_loss=pairwise_loss, **WEIGHTS)


def random_batch(batch, num_ranks, seed, ranks=None):
    """Features, ranks, values that may lie between ranks, and unevenly spaced rank values."""
    generator = torch.Generator().manual_seed(seed)
    v = torch.randn(batch, 4, dtype=torch.float64, generator=generator)
    t = 3 * torch.randn(num_ranks, 4, dtype=torch.float64, generator=generator)
    if ranks is None:
        ranks = torch.randint(num_ranks, (batch,), generator=generator).tolist()
    rank_values = 1 + torch.arange(num_ranks, dtype=torch.float64) ** 1.5
    offset = 0.3 * torch.rand(batch, dtype=torch.float64, generator=generator) * (seed % 2)
    return v, t, torch.tensor(ranks), rank_values[ranks] + offset, rank_values


def check(loss, naive, batch, *args):
    v, t, *labels = batch
    assert_equals_naive(loss, naive, (v, t), *labels, *args, rtol=1e-8, atol=1e-9)


TERMS = {
    "tightness": (lambda v, t, ranks, *_: tightness(v, t, ranks), naive_tightness),
    "diversity": (
        lambda v, t, _, values, rank_values: diversity(v, t, values, rank_values),
        naive_diversity,
    ),
    "both": (ordinal_pairwise, naive_ordinal),
    "batch": (lambda v, t, r, values, _: batch_ordinal_pairwise(v, t, r, values), naive_batch),
}
for_each_pairwise = pytest.mark.parametrize("pairwise_loss", get_args(PairwiseLoss))


@pytest.mark.parametrize(("loss", "naive"), TERMS.values(), ids=TERMS.keys())
@settings(max_examples=8, deadline=None)
@given(batch=st.integers(1, 5), num_ranks=st.integers(2, 6), seed=st.integers(0, 99))
def test_pairwise_loss_equals_naive_loop(loss, naive, batch, num_ranks, seed):
    check(loss, naive, random_batch(batch, num_ranks, seed))


@for_each_pairwise
@settings(max_examples=5, deadline=None)
@given(batch=st.integers(1, 5), num_ranks=st.integers(2, 6), seed=st.integers(0, 99))
def test_l2rclip_loss_equals_naive_loop(pairwise_loss, batch, num_ranks, seed):
    check(total, naive_total, random_batch(batch, num_ranks, seed), pairwise_loss)


@for_each_pairwise
@pytest.mark.parametrize(
    ("num_ranks", "ranks"),
    [(3, [2, 2, 2]), (2, [1, 1]), (2, [0, 1, 1]), (4, [1]), (4, [0, 3]), (5, [0, 4, 0, 4])],
)
def test_l2rclip_loss_equals_naive_loop_for_extreme_batches(pairwise_loss, num_ranks, ranks):
    check(total, naive_total, random_batch(len(ranks), num_ranks, 0, ranks), pairwise_loss)


def test_diversity_is_0_for_equal_label_distances():
    v, t, *_ = random_batch(2, 2, 0, [0, 1])
    values, rank_values = torch.tensor([1.5, 1.5]).double(), torch.tensor([1.0, 2.0]).double()
    assert diversity(v, t, values, rank_values).item() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@for_each_pairwise
def test_gradients_are_finite_where_image_and_text_features_coincide(pairwise_loss, dtype):
    t = normalize(torch.randn(3, 5, dtype=dtype), dim=1).requires_grad_()
    ranks, rank_values = torch.tensor([0, 2, 2]), torch.tensor([1.0, 2.0, 3.0], dtype=dtype)
    v = t.detach()[ranks].clone().requires_grad_()
    value = total(v, t, ranks, rank_values[ranks], rank_values, pairwise_loss)
    value.backward()
    for tensor in (value, v.grad, t.grad):
        assert tensor.isfinite().all()


@pytest.mark.parametrize(
    ("pairwise_loss", "tightness_weight"), [("diversity", 0.0), ("both", 1.0), ("batch", 0.5)]
)
def test_pairwise_loss_decreases_with_distance_to_far_rank(pairwise_loss, tightness_weight):
    rank_values, ranks, t = torch.tensor([1.0, 2.0, 6.0]), torch.arange(3), torch.eye(3)
    losses = []
    for angle in (0.8, 0.4, 0.0, -0.4):
        # Turns the first image away from rank 3, in the plane of ranks 1 and 3.
        v = torch.stack([torch.tensor([1.0, 0.0, math.tan(angle)]), t[1], t[2]])
        loss = TERMS[pairwise_loss][0](v, t, ranks, rank_values, rank_values)
        losses.append(loss - tightness_weight * tightness(v, t, ranks))
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > losses[-1] + 0.01


def test_diversity_gradient_is_proportional_to_label_distance():
    rank_values = torch.tensor([0.0, 1.0, 2.0, 4.0])
    t, v = torch.eye(4).requires_grad_(), torch.tensor([[1.0, 0.5, 0.5, 0.5]])
    diversity(v, t, rank_values[:1], rank_values).backward()
    # A gradient step lowers the dot product of each rank with the image.
    change = (t.grad @ v[0]).tolist()
    assert change[0] == 0
    assert change[3] == pytest.approx(2 * change[2]) == pytest.approx(4 * change[1])
    assert change[1] > 0


@for_each_pairwise
def test_l2rclip_loss_does_not_depend_on_feature_norms(pairwise_loss):
    v, t, *labels = random_batch(4, 3, 1)
    norms = torch.tensor([[0.01], [1.0], [7.0], [300.0]], dtype=torch.float64)
    expected = total(v, t, *labels, pairwise_loss)
    torch.testing.assert_close(total(norms * v, 0.2 * t, *labels, pairwise_loss), expected)


def test_l2rclip_loss_with_zero_weights_equals_cross_entropy():
    v, t, ranks, values, rank_values = random_batch(4, 3, 1)
    logits = LOGIT_SCALE * normalize(v, dim=1) @ normalize(t).T
    weights = {"pairwise_weight": 0.0, "contrastive_weight": 0.0}
    loss = l2rclip_loss(v, t, ranks, values, rank_values, logit_scale=LOGIT_SCALE, **weights)
    torch.testing.assert_close(loss, cross_entropy(logits, ranks))


def test_l2rclip_loss_rejects_unknown_pairwise_loss():
    with pytest.raises(ValueError, match=r"pairwise_loss = 'all': .* both, tightness, diversity"):
        l2rclip_loss(*random_batch(2, 3, 0), logit_scale=1.0, pairwise_loss="all")

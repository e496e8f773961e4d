"""Cosine similarities and the supervised contrastive loss against naive loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_checks import assert_equals_naive, naive_contrastive

from ordlib.losses import cosine_similarity_matrix, supervised_contrastive


def check(logits, positives):
    return assert_equals_naive(supervised_contrastive, naive_contrastive, (logits,), positives)


@settings(max_examples=15, deadline=None)
@given(
    num_anchors=st.integers(1, 7),
    num_candidates=st.integers(1, 7),
    positive_fraction=st.sampled_from([0.1, 0.4, 0.9]),
    seed=st.integers(0, 99),
)
def test_supervised_contrastive_equals_naive_loop(
    num_anchors, num_candidates, positive_fraction, seed
):
    generator = torch.Generator().manual_seed(seed)
    shape = num_anchors, num_candidates
    logits = 3 * torch.randn(shape, dtype=torch.float64, generator=generator)
    check(logits, torch.rand(shape, generator=generator) < positive_fraction)


@pytest.mark.parametrize("row", [[False] * 3, [True] * 3], ids=["no positives", "no negatives"])
def test_supervised_contrastive_skips_anchors_without_positives_or_negatives(row):
    logits = torch.tensor([[2.0, 0.0, 1.0], [3.0, -1.0, 0.5]], dtype=torch.float64)
    positives = torch.tensor([[True, False, False], row])
    loss, gradient = check(logits, positives)
    assert loss.item() == pytest.approx(supervised_contrastive(logits[:1], positives[:1]).item())
    assert not gradient[1].any()


@pytest.mark.parametrize("all_positive", [True, False])
def test_supervised_contrastive_is_0_if_all_anchors_are_skipped(all_positive):
    logits = torch.randn(3, 4, dtype=torch.float64)
    loss, gradient = check(logits, torch.full((3, 4), all_positive))
    assert loss.item() == 0
    assert not gradient.any()


def test_supervised_contrastive_with_one_positive_equals_cross_entropy():
    logits, targets = torch.randn(5, 4), torch.tensor([0, 3, 1, 1, 2])
    positives = torch.nn.functional.one_hot(targets, 4).bool()
    expected = torch.nn.functional.cross_entropy(logits, targets)
    torch.testing.assert_close(supervised_contrastive(logits, positives), expected)


def test_supervised_contrastive_is_finite_for_large_logits():
    logits = torch.tensor([[100.0, -100.0], [-1e4, 1e4]], requires_grad=True)
    loss = supervised_contrastive(logits, torch.tensor([[False, True], [True, False]]))
    loss.backward()
    assert loss.item() == pytest.approx((200 + 2e4) / 2)
    assert logits.grad.isfinite().all()


def test_cosine_similarity_matrix_equals_naive_loop():
    a, b = torch.randn(3, 4, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
    expected = torch.empty(3, 2, dtype=torch.float64)
    for i, x in enumerate(a.tolist()):
        for j, y in enumerate(b.tolist()):
            dot = sum(x_k * y_k for x_k, y_k in zip(x, y, strict=True))
            expected[i, j] = dot / math.hypot(*x) / math.hypot(*y)
    torch.testing.assert_close(cosine_similarity_matrix(7 * a, b / 9), expected)


def test_cosine_similarity_matrix_is_float32_under_autocast():
    a = torch.randn(3, 4)
    with torch.autocast("cpu", torch.bfloat16):
        similarity = cosine_similarity_matrix(a.bfloat16(), a)
    assert similarity.dtype == torch.float32
    torch.testing.assert_close(similarity, cosine_similarity_matrix(a.bfloat16().float(), a))

"""The supervised contrastive loss against a loop over anchors, and its edge cases."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ordlib.losses import cosine_similarity_matrix, supervised_contrastive


def naive_contrastive(logits, positives):
    losses = []
    for row, own in zip(logits, positives.tolist(), strict=True):
        if not any(own) or all(own):
            continue
        total = sum(torch.exp(x) for x in row)
        each = [-torch.log(torch.exp(x) / total) for x, one in zip(row, own, strict=True) if one]
        losses.append(sum(each) / len(each))
    return sum(losses) / len(losses) if losses else 0 * logits.sum()


def value_and_gradient(loss, logits, positives):
    leaf = logits.clone().requires_grad_()
    value = loss(leaf, positives)
    return value, torch.autograd.grad(value, leaf)[0]


def assert_is_the_loop(logits, positives):
    found = value_and_gradient(supervised_contrastive, logits, positives)
    expected = value_and_gradient(naive_contrastive, logits, positives)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)
    return found


@settings(max_examples=15, deadline=None)
@given(
    anchors=st.integers(1, 7),
    candidates=st.integers(1, 7),
    share=st.sampled_from([0.1, 0.4, 0.9]),
    seed=st.integers(0, 99),
)
def test_it_is_the_loop(anchors, candidates, share, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(anchors, candidates, dtype=torch.float64, generator=generator)
    assert_is_the_loop(logits, torch.rand(anchors, candidates, generator=generator) < share)


@pytest.mark.parametrize(
    "row", [[False] * 3, [True] * 3], ids=["without a positive", "with only positives"]
)
def test_an_anchor_with_nothing_to_tell_apart_counts_for_nothing(row):
    logits = torch.tensor([[2.0, 0.0, 1.0], [3.0, -1.0, 0.5]], dtype=torch.float64)
    with_it = torch.tensor([[True, False, False], row])
    found, gradient = assert_is_the_loop(logits, with_it)
    alone = supervised_contrastive(logits[:1], with_it[:1])
    assert found.item() == pytest.approx(alone.item())
    assert not gradient[1].any()


@pytest.mark.parametrize("all_positive", [True, False])
def test_where_no_anchor_counts_the_loss_is_0(all_positive):
    positives = torch.full((3, 4), all_positive)
    found, gradient = assert_is_the_loop(torch.randn(3, 4, dtype=torch.float64), positives)
    assert found.item() == 0
    assert not gradient.any()


def test_one_positive_is_cross_entropy():
    logits, own = torch.randn(5, 4), torch.tensor([0, 3, 1, 1, 2])
    positives = torch.nn.functional.one_hot(own, 4).bool()
    expected = torch.nn.functional.cross_entropy(logits, own)
    torch.testing.assert_close(supervised_contrastive(logits, positives), expected)


def test_no_logit_is_too_large():
    logits = torch.tensor([[100.0, -100.0], [-1e4, 1e4]], requires_grad=True)
    value = supervised_contrastive(logits, torch.tensor([[False, True], [True, False]]))
    value.backward()
    assert value.item() == pytest.approx((200 + 2e4) / 2)
    assert logits.grad.isfinite().all()


def test_cosines_are_the_loop_whatever_the_lengths():
    one, other = torch.randn(3, 4, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
    expected = torch.empty(3, 2, dtype=torch.float64)
    for i, a in enumerate(one.tolist()):
        for j, b in enumerate(other.tolist()):
            dot = sum(x * y for x, y in zip(a, b, strict=True))
            expected[i, j] = dot / math.hypot(*a) / math.hypot(*b)
    torch.testing.assert_close(cosine_similarity_matrix(7 * one, other / 9), expected)


def test_cosines_of_half_precision_are_single():
    one = torch.randn(3, 4)
    with torch.autocast("cpu", torch.bfloat16):
        found = cosine_similarity_matrix(one.bfloat16(), one)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, cosine_similarity_matrix(one.bfloat16().float(), one))

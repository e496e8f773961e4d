"""CORN loss against a naive loop, in float64, with gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_checks import assert_equals_naive

from ordlib.losses import corn_loss


def naive_corn(logits, ranks):
    losses = []
    for row, rank in zip(logits, ranks.tolist(), strict=True):
        for k in range(min(rank + 1, len(row))):
            prob_greater = 1 / (1 + torch.exp(-row[k]))
            losses.append(-torch.log(prob_greater if rank > k else 1 - prob_greater))
    return sum(losses) / len(losses)


@settings(max_examples=15, deadline=None)
@given(batch=st.integers(1, 7), num_ranks=st.integers(2, 9), seed=st.integers(0, 99))
def test_corn_loss_equals_naive_loop(batch, num_ranks, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(batch, num_ranks - 1, dtype=torch.float64, generator=generator)
    ranks = torch.randint(num_ranks, (batch,), generator=generator)
    assert_equals_naive(corn_loss, naive_corn, (logits,), ranks)


@pytest.mark.parametrize(
    ("ranks", "num_ranks"),
    [([2, 2, 2], 5), ([0, 4, 0], 5), ([4], 5), ([0], 5), ([0, 1, 1], 2), ([0, 0], 2), ([1], 2)],
)
def test_corn_loss_equals_naive_loop_for_extreme_batches(ranks, num_ranks):
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(len(ranks), num_ranks - 1, dtype=torch.float64, generator=generator)
    assert_equals_naive(corn_loss, naive_corn, (logits,), torch.tensor(ranks))


def test_corn_loss_is_finite_for_large_logits():
    assert corn_loss(torch.tensor([[100.0, -100.0]] * 2), torch.tensor([0, 1])).isfinite()

"""dual_loss against loops over pairs, in float64, and the handling of ties."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ordlib.losses import dual_loss

TIES = ("mask", "half", "zero")
COMPONENTS = ("regression", "ranking", "presence")


def naive_terms(
    scores: Tensor, logits: Tensor, targets: Tensor, tie_handling: str
) -> dict[str, Tensor]:
    smooth_l1, pairs, presence = [], [], []
    for score, target in zip(scores, targets, strict=True):
        error = (score - target).abs()
        smooth_l1.append(error**2 / 2 if error < 1 else error - 0.5)
        p = 1 / (1 + torch.exp(-score))
        presence.append(-torch.log(p if target != 0 else 1 - p))
    for i in range(len(targets)):
        for j in range(len(targets)):
            target = float(targets[i] > targets[j])
            if targets[i] == targets[j]:
                if tie_handling == "mask":
                    continue
                target = {"half": 0.5, "zero": 0.0}[tie_handling]
            p, q = (1 / (1 + torch.exp(-x)) for x in (logits[i, j], -logits[i, j]))  # q = 1 - p
            pairs.append(-target * torch.log(p) - (1 - target) * torch.log(q))
    return {
        "regression": 0.2 * torch.log(1 + sum(smooth_l1) / len(smooth_l1)),
        "ranking": sum(pairs) / len(pairs) if pairs else 0 * logits.sum(),
        "presence": sum(presence) / len(presence),
    }


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=6),
    st.sampled_from(TIES),
    st.lists(st.sampled_from(COMPONENTS), min_size=1, max_size=3, unique=True),
    st.integers(0, 9),
)
def test_dual_loss_equals_naive_loop(labels, tie_handling, components, seed):
    generator = torch.Generator().manual_seed(seed)
    targets, n = torch.tensor(labels, dtype=torch.float64), len(labels)
    scores = 3 * torch.randn(n, generator=generator, dtype=torch.float64)
    logits = 3 * torch.randn(n, n, generator=generator, dtype=torch.float64)
    inputs = [scores.requires_grad_(), logits.requires_grad_()]
    loss = dual_loss(*inputs, targets, tie_handling=tie_handling, components=components)
    terms = naive_terms(*inputs, targets, tie_handling)
    expected = sum(terms[component] for component in components)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-12)
    gradients, expected_gradients = (
        torch.autograd.grad(x, inputs, allow_unused=True) for x in (loss, expected)
    )
    for a, b, x in zip(gradients, expected_gradients, inputs, strict=True):
        a, b = (torch.zeros_like(x) if g is None else g for g in (a, b))
        assert torch.allclose(a, b, atol=1e-12)


def test_dual_loss_defaults_to_regression_and_ranking():
    scores, logits, targets = torch.randn(3), torch.randn(3, 3), torch.tensor([0.0, 2, 1])
    both = dual_loss(scores, logits, targets)
    assert both == dual_loss(scores, logits, targets, components=("regression", "ranking"))
    assert dual_loss(scores, None, targets) == dual_loss(
        scores, logits, targets, components=["regression"]
    )


def test_dual_loss_gradient_of_ties():
    targets, gradients = torch.tensor([2.0, 2.0]), {}
    for tie_handling in TIES:
        logits = torch.full((2, 2), 1.5, requires_grad=True)
        dual_loss(targets, logits, targets, tie_handling=tie_handling).backward()
        gradients[tie_handling] = logits.grad[0, 1].item()
    assert gradients["mask"] == 0
    assert 0 < gradients["half"] < gradients["zero"]


def test_dual_loss_with_all_pairs_masked():
    targets = torch.ones(3)
    loss = dual_loss(targets + 2, torch.randn(3, 3), targets)
    assert loss.item() == pytest.approx(0.2 * math.log(1 + 1.5))


def test_dual_loss_refuses_unknown_tie_handling():
    with pytest.raises(ValueError, match="tie_handling = 'drop': must be one of mask, half, zero"):
        dual_loss(torch.zeros(1), torch.zeros(1, 1), torch.zeros(1), tie_handling="drop")


def test_dual_loss_refuses_unknown_component():
    with pytest.raises(ValueError, match="components = 'bce': must be one of regression, rank"):
        dual_loss(torch.zeros(1), torch.zeros(1, 1), torch.zeros(1), components=["bce"])

"""The dual loss against loops over pairs, in float64, and what ties do."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ordlib.losses import dual_loss

TIES = ("mask", "half", "zero")


def naive(scores: Tensor, logits: Tensor, targets: Tensor, tie_handling: str) -> Tensor:
    far = []
    for score, target in zip(scores, targets, strict=True):
        error = (score - target).abs()
        far.append(error**2 / 2 if error < 1 else error - 0.5)
    pairs = []
    for i in range(len(targets)):
        for j in range(len(targets)):
            if targets[i] == targets[j]:
                if tie_handling == "mask":
                    continue
                above = {"half": 0.5, "zero": 0.0}[tie_handling]
            else:
                above = float(targets[i] > targets[j])
            yes = 1 / (1 + torch.exp(-logits[i, j]))
            pairs.append(-above * torch.log(yes) - (1 - above) * torch.log(1 - yes))
    order = sum(pairs) / len(pairs) if pairs else 0.0
    return 0.2 * torch.log(1 + sum(far) / len(far)) + order


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=6), st.sampled_from(TIES), st.integers(0, 9)
)
def test_it_is_what_loops_find(labels, tie_handling, seed):
    generator = torch.Generator().manual_seed(seed)
    targets = torch.tensor(labels, dtype=torch.float64)
    scores = 3 * torch.randn(len(labels), generator=generator, dtype=torch.float64)
    logits = 3 * torch.randn(len(labels), len(labels), generator=generator, dtype=torch.float64)
    asked = [scores.requires_grad_(), logits.requires_grad_()]
    found, wanted = (
        dual_loss(*asked, targets, tie_handling=tie_handling),
        naive(*asked, targets, tie_handling),
    )
    assert found.item() == pytest.approx(wanted.item(), abs=1e-12)
    got = torch.autograd.grad(found, asked)
    for one, other in zip(got, torch.autograd.grad(wanted, asked, allow_unused=True), strict=True):
        assert torch.allclose(one, torch.zeros_like(one) if other is None else other, atol=1e-12)


def test_ties_pull_as_they_say():
    targets, logits = torch.tensor([2.0, 2.0]), torch.full((2, 2), 1.5)
    pulls = {}
    for tie_handling in TIES:
        asked = logits.clone().requires_grad_()
        dual_loss(targets, asked, targets, tie_handling=tie_handling).backward()
        pulls[tie_handling] = asked.grad[0, 1].item()
    assert pulls["mask"] == 0
    assert 0 < pulls["half"] < pulls["zero"]


def test_where_all_are_tied_only_the_scores_count():
    targets = torch.ones(3)
    found = dual_loss(targets + 2, torch.randn(3, 3), targets)
    assert found.item() == pytest.approx(0.2 * math.log(1 + 1.5))


def test_unknown_ties():
    with pytest.raises(ValueError, match="tie_handling = 'drop': must be one of mask, half, zero"):
        dual_loss(torch.zeros(1), torch.zeros(1, 1), torch.zeros(1), tie_handling="drop")

"""The rank attention's shortcut against the pairwise form, and that against loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ordlib.methods.ranking_adapter.rank_attention import pairwise_rank_attention, rank_attention

SHAPES = st.tuples(*(st.integers(1, top) for top in (5, 3, 7, 4, 6)))


def made(shape: tuple, scale: float = 1.0, dtype: torch.dtype = torch.float64, seed: int = 0):
    pictures, heads, patches, relational, width = shape
    generator = torch.Generator().manual_seed(seed)
    queries = scale * torch.randn(relational, heads, width, generator=generator, dtype=dtype)
    tokens = torch.randn(pictures, patches, heads, width, generator=generator, dtype=dtype)
    return queries.requires_grad_(), tokens.requires_grad_()


def by_loops(queries: Tensor, tokens: Tensor) -> Tensor:
    """One pair, one head, one query, one patch at a time."""
    pictures, patches, heads, width = tokens.shape
    found = torch.zeros(pictures, pictures, heads, width, dtype=tokens.dtype)
    for i in range(pictures):
        for j in range(pictures):
            for h in range(heads):
                for query in queries[:, h]:
                    both = [*tokens[i, :, h], *tokens[j, :, h]]
                    parts = [math.exp((query @ token).item() / math.sqrt(width)) for token in both]
                    for place, (part, token) in enumerate(zip(parts, both, strict=True)):
                        sign = 1 if place < patches else -1
                        found[i, j, h] += sign * part / sum(parts) * token
    return found


def with_gradients(attend, queries: Tensor, tokens: Tensor) -> list[Tensor]:
    found = attend(queries, tokens)
    # Any weights that are not all alike will do.
    weights = torch.arange(found.numel(), dtype=found.dtype).reshape(found.shape).sin()
    return [found.detach(), *torch.autograd.grad((found * weights).sum(), (queries, tokens))]


def apart(one: list[Tensor], other: list[Tensor]) -> float:
    """The largest difference, as a share of the largest entry."""
    return max(
        ((a - b).abs().max() / b.abs().max().clamp(min=1e-300)).item()
        for a, b in zip(one, other, strict=True)
    )


def test_the_pairwise_form_is_what_it_says():
    queries, tokens = made((3, 2, 4, 3, 5))
    with torch.no_grad():
        found = pairwise_rank_attention(queries, tokens)
        assert torch.allclose(found, by_loops(queries, tokens), atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(SHAPES, st.sampled_from([1.0, 20.0]), st.integers(0, 99))
def test_the_shortcut_is_exact(shape, scale, seed):
    given_ = made(shape, scale, seed=seed)
    wanted = with_gradients(pairwise_rank_attention, *given_)
    found = with_gradients(rank_attention, *given_)
    for one, other in zip(found, wanted, strict=True):
        assert one.isfinite().all()
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_in_single_precision(scale):
    given_ = made((8, 4, 20, 6, 16), scale, torch.float32)
    wanted = with_gradients(pairwise_rank_attention, *given_)
    assert apart(with_gradients(rank_attention, *given_), wanted) < 1e-4


@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_in_half_precision(scale):
    queries, tokens = made((6, 2, 10, 4, 8), scale, torch.float32)
    with torch.no_grad():
        wanted = pairwise_rank_attention(queries, tokens)
        with torch.autocast("cpu", torch.bfloat16):
            found = rank_attention(queries, tokens).float()
            slow = pairwise_rank_attention(queries, tokens).float()
    # As near to the truth as the pairwise form is in half precision, give or take.
    assert apart([found], [wanted]) < max(2 * apart([slow], [wanted]), 0.02)


@pytest.mark.parametrize("scale", [20.0, 1e4])
def test_large_scores_are_numbers(scale):
    found = with_gradients(rank_attention, *made((4, 2, 5, 3, 4), scale, torch.float32))
    assert all(part.isfinite().all() for part in found)


def test_turned_around_it_changes_its_sign():
    found = rank_attention(*made((5, 2, 6, 3, 4)))
    assert torch.equal(found, -found.transpose(0, 1))
    assert not found[0, 1].eq(0).any()


def test_against_itself_a_picture_has_no_difference():
    queries, tokens = made((4, 2, 6, 3, 4))
    found = rank_attention(queries, tokens)
    assert (found.diagonal(dim1=0, dim2=1) == 0).all()
    twice = rank_attention(queries, tokens[[0, 0]])
    assert (twice == 0).all()


def test_no_tensor_has_pairs_and_patches(monkeypatch):
    """Primes for all sizes, so that a product tells what is in a tensor."""
    pictures, patches = 11, 101
    largest = []

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            if isinstance(result, Tensor):
                largest.append(result.numel())
            return result

    queries, tokens = made((pictures, 1, patches, 2, 2), dtype=torch.float32)
    with Watch():
        rank_attention(queries, tokens)
    assert max(largest) < pictures**2 * patches
    largest.clear()
    with Watch():
        pairwise_rank_attention(queries, tokens)
    assert max(largest) >= pictures**2 * patches

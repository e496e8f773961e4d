"""rank_attention against the pairwise form, and the pairwise form against loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ordlib.methods.ranking_adapter.rank_attention import pairwise_rank_attention, rank_attention

SHAPES = st.tuples(*(st.integers(1, top) for top in (5, 3, 7, 4, 6)))


def make_inputs(shape: tuple, scale: float = 1.0, dtype=torch.float64, seed: int = 0):
    """Queries and tokens of shape (images, heads, patches, queries, width)."""
    images, heads, patches, relational, width = shape
    generator = torch.Generator().manual_seed(seed)
    queries = scale * torch.randn(relational, heads, width, generator=generator, dtype=dtype)
    tokens = torch.randn(images, patches, heads, width, generator=generator, dtype=dtype)
    return queries.requires_grad_(), tokens.requires_grad_()


def naive_rank_attention(queries: Tensor, tokens: Tensor) -> Tensor:
    """One pair, one head, one query, one patch at a time."""
    images, patches, heads, width = tokens.shape
    result = torch.zeros(images, images, heads, width, dtype=tokens.dtype)
    for i in range(images):
        for j in range(images):
            for h in range(heads):
                for query in queries[:, h]:
                    both = [*tokens[i, :, h], *tokens[j, :, h]]
                    parts = [math.exp((query @ token).item() / math.sqrt(width)) for token in both]
                    for index, (part, token) in enumerate(zip(parts, both, strict=True)):
                        sign = 1 if index < patches else -1
                        result[i, j, h] += sign * part / sum(parts) * token
    return result


def with_gradients(attention, queries: Tensor, tokens: Tensor) -> list[Tensor]:
    result = attention(queries, tokens)
    weights = torch.arange(result.numel(), dtype=result.dtype).reshape(result.shape).sin()
    return [result.detach(), *torch.autograd.grad((result * weights).sum(), (queries, tokens))]


def relative_error(a: list[Tensor], b: list[Tensor]) -> float:
    """Largest difference, relative to the largest entry."""
    return max(
        ((x - y).abs().max() / y.abs().max().clamp(min=1e-300)).item()
        for x, y in zip(a, b, strict=True)
    )


@torch.no_grad()
def test_pairwise_rank_attention_equals_naive_loop():
    inputs = make_inputs((3, 2, 4, 3, 5))
    assert torch.allclose(
        pairwise_rank_attention(*inputs), naive_rank_attention(*inputs), atol=1e-12
    )


@settings(max_examples=40, deadline=None)
@given(SHAPES, st.sampled_from([1.0, 20.0]), st.integers(0, 99))
def test_rank_attention_equals_pairwise_form(shape, scale, seed):
    inputs = make_inputs(shape, scale, seed=seed)
    expected = with_gradients(pairwise_rank_attention, *inputs)
    for a, b in zip(with_gradients(rank_attention, *inputs), expected, strict=True):
        assert a.isfinite().all()
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_rank_attention_in_float32(scale):
    inputs = make_inputs((8, 4, 20, 6, 16), scale, torch.float32)
    expected = with_gradients(pairwise_rank_attention, *inputs)
    assert relative_error(with_gradients(rank_attention, *inputs), expected) < 1e-4
    huge = with_gradients(rank_attention, *make_inputs((4, 2, 5, 3, 4), 1e4, torch.float32))
    assert all(tensor.isfinite().all() for tensor in huge)


@torch.no_grad()
@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_rank_attention_in_bfloat16(scale):
    inputs = make_inputs((6, 2, 10, 4, 8), scale, torch.float32)
    expected = pairwise_rank_attention(*inputs)
    with torch.autocast("cpu", torch.bfloat16):
        result = rank_attention(*inputs).float()
        pairwise = pairwise_rank_attention(*inputs).float()
    # About as accurate as the pairwise form in half precision.
    error, reference = (relative_error([x], [expected]) for x in (result, pairwise))
    assert error < max(2 * reference, 0.02)


def test_rank_attention_is_antisymmetric():
    queries, tokens = make_inputs((5, 2, 6, 3, 4))
    result = rank_attention(queries, tokens)
    assert torch.equal(result, -result.transpose(0, 1))
    assert not result[0, 1].eq(0).any()
    assert (rank_attention(queries, tokens[[0, 0]]) == 0).all()


def test_rank_attention_has_no_tensor_of_pairs_times_patches():
    images, patches = 11, 101
    sizes = []

    class Record(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            if isinstance(result, Tensor):
                sizes.append(result.numel())
            return result

    inputs = make_inputs((images, 1, patches, 2, 2), dtype=torch.float32)
    with Record():
        rank_attention(*inputs)
    assert max(sizes) < images**2 * patches
    sizes.clear()
    with Record():
        pairwise_rank_attention(*inputs)
    assert max(sizes) >= images**2 * patches

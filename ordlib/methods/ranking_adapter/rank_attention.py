"""Rank attention of the ranking-aware adapter: relational queries attend to pairs of images.

For an ordered pair of images, a query attends to the patches of both images with one softmax; the
output is the attended value of the first image minus that of the second.
"""

import math

import torch
from torch import Tensor


def pairwise_rank_attention(queries: Tensor, tokens: Tensor) -> Tensor:
    """Rank attention over all pairs of images, as defined in the paper: O(N^2 M P) reference.

    Args:
        queries: ``(M, H, W)`` M relational tokens, H heads of width W.
        tokens: ``(N, P, H, W)`` P patch tokens of each of N images, used as keys and values.

    Returns:
        ``(N, N, H, W)``; entry i, j is the attended value of image i minus that of image j, summed
        over the M queries.

    References:
        Yu et al. (2025), Ranking-aware adapter, arXiv:2412.06760, and the released code.

    Example:
        >>> pairwise_rank_attention(torch.randn(3, 2, 4), torch.randn(5, 7, 2, 4)).shape
        torch.Size([5, 5, 2, 4])
    """
    n, p = tokens.shape[:2]
    first = tokens[:, None].expand(-1, n, -1, -1, -1)  # (N, N, P, H, W): i, j -> tokens of i
    second = tokens[None].expand(n, -1, -1, -1, -1)  # (N, N, P, H, W): i, j -> tokens of j
    both = torch.cat([first, second], dim=2)  # (N, N, 2P, H, W)
    scores = torch.einsum("mhw,ijphw->ijhmp", queries, both) / math.sqrt(queries.shape[-1])
    weights = scores.softmax(-1)  # (N, N, H, M, 2P)
    value_i = torch.einsum("ijhmp,ijphw->ijhw", weights[..., :p], first)
    value_j = torch.einsum("ijhmp,ijphw->ijhw", weights[..., p:], second)
    return value_i - value_j


def rank_attention(queries: Tensor, tokens: Tensor) -> Tensor:
    """Rank attention over all pairs of images, exact, in O(N M P + N^2 M) time and memory.

    Arguments and result are those of :func:`pairwise_rank_attention`. Per image and query, the
    logsumexp of the attention scores and the softmax-weighted mean of the tokens suffice: in a
    pair, the sigmoid of the difference of the two logsumexps weights the mean of the first image.
    The factorization is ours. Derived in notebook 04.

    Example:
        >>> queries, tokens = torch.randn(3, 2, 4), torch.randn(5, 7, 2, 4)
        >>> reference = pairwise_rank_attention(queries, tokens)
        >>> torch.allclose(rank_attention(queries, tokens), reference, atol=1e-5)
        True
    """
    logsumexp, means = _per_image_statistics(queries, tokens)
    # exp(a) / (exp(a) + exp(b)) would overflow for large scores; sigmoid(a - b) does not.
    gate = (logsumexp[:, None] - logsumexp).sigmoid().to(means.dtype)  # (N, N, H, M)
    value_i = torch.einsum("ijhm,ihmw->ijhw", gate, means)
    return value_i - value_i.transpose(0, 1)


def _per_image_statistics(queries: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logsumexp ``(N, H, M)`` and the mean token ``(N, H, M, W)`` of every image."""
    scores = torch.einsum("mhw,nphw->nhmp", queries, tokens) / math.sqrt(queries.shape[-1])
    means = torch.einsum("nhmp,nphw->nhmw", scores.softmax(-1), tokens)
    return scores.logsumexp(-1), means

"""Rank attention of the ranking-aware adapter: relational tokens attend to pairs of images.

For an ordered pair of images, a relational token attends to the image tokens of both with one
softmax; the output is the attended value of the first image minus that of the second.
"""

import math

import torch
from torch import Tensor


def pairwise_rank_attention(queries: Tensor, tokens: Tensor) -> Tensor:
    """Rank attention over all pairs of images, as in the paper: the slow O(N^2 R P) reference.

    Args:
        queries: ``(R, H, C)`` R relational tokens, H heads of width C.
        tokens: ``(N, P, H, C)`` P tokens of each of N images, used as keys and values.

    Returns:
        ``(N, N, H, C)``; entry i, j is the attended value of image i minus that of image j, summed
        over the R relational tokens.

    References:
        Yu et al. (2025), Ranking-aware adapter, arXiv:2412.06760, and the released code.

    Example:
        >>> pairwise_rank_attention(torch.randn(3, 2, 4), torch.randn(5, 7, 2, 4)).shape
        torch.Size([5, 5, 2, 4])
    """
    n, p = tokens.shape[:2]
    first = tokens[:, None].expand(-1, n, -1, -1, -1)  # (N, N, P, H, C): i, j -> tokens of i
    second = tokens[None].expand(n, -1, -1, -1, -1)  # (N, N, P, H, C): i, j -> tokens of j
    both = torch.cat([first, second], dim=2)  # (N, N, 2P, H, C)
    scores = torch.einsum("rhc,ijphc->ijhrp", queries, both) / math.sqrt(queries.shape[-1])
    weights = scores.softmax(-1)  # (N, N, H, R, 2P)
    value_i = torch.einsum("ijhrp,ijphc->ijhc", weights[..., :p], first)
    value_j = torch.einsum("ijhrp,ijphc->ijhc", weights[..., p:], second)
    return value_i - value_j


def rank_attention(queries: Tensor, tokens: Tensor, *, gated: bool = True) -> Tensor:
    """Rank attention over all pairs of images, exact, in O(N R P + N^2 R) time and memory.

    Arguments and result are those of :func:`pairwise_rank_attention`. Per image and relational
    token, the logsumexp of the attention scores and the softmax-weighted mean of the image tokens
    suffice: in a pair, the sigmoid of the difference of the two logsumexps weights the mean of the
    first image. The factorization is ours. Derived in notebook 04. ``gated=False`` fixes these
    weights at 1: a softmax per image, and the plain difference of the two means.

    Example:
        >>> queries, tokens = torch.randn(3, 2, 4), torch.randn(5, 7, 2, 4)
        >>> reference = pairwise_rank_attention(queries, tokens)
        >>> torch.allclose(rank_attention(queries, tokens), reference, atol=1e-5)
        True
    """
    logsumexp, means = _per_image_statistics(queries, tokens)
    if not gated:
        summed = means.sum(2)  # (N, H, C)
        return summed[:, None] - summed
    # exp(a) / (exp(a) + exp(b)) would overflow for large scores; sigmoid(a - b) does not.
    gate = (logsumexp[:, None] - logsumexp).sigmoid().to(means.dtype)  # (N, N, H, R)
    value_i = torch.einsum("ijhr,ihrc->ijhc", gate, means)
    return value_i - value_i.transpose(0, 1)


def _per_image_statistics(queries: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logsumexp ``(N, H, R)`` and the mean token ``(N, H, R, C)`` of every image."""
    scores = torch.einsum("rhc,nphc->nhrp", queries, tokens) / math.sqrt(queries.shape[-1])
    means = torch.einsum("nhrp,nphc->nhrc", scores.softmax(-1), tokens)
    return scores.logsumexp(-1), means

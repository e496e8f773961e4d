"""The rank attention: what tells each picture of a batch from each other one.

For an ordered pair of pictures a query attends to the patches of both at once, with one softmax
over all of them; what it finds in the first is set against what it finds in the second. Since the
queries know nothing of the pair, every picture can be summed up once, and a pair costs no more
than a comparison of two summaries: :func:`rank_attention` is exact, and linear in what is dear.
"""

import math

import torch
from torch import Tensor


def pairwise_rank_attention(queries: Tensor, tokens: Tensor) -> Tensor:
    """Attend to every pair of pictures as it is written down: slow, large, easy to read.

    Args:
        queries: ``(M, H, W)`` of M relational tokens, H heads of width W.
        tokens: ``(N, P, H, W)`` of N pictures of P patches: keys and values in one.

    Returns:
        ``(N, N, H, W)``; entry i, j is what was found in i less what was found in j, summed over
        the relational tokens.

    Source:
        Yu et al. (2025), Ranking-aware adapter, arXiv 2412.06760, and the released code.

    Example:
        >>> found = pairwise_rank_attention(torch.randn(3, 2, 4), torch.randn(5, 7, 2, 4))
        >>> found.shape
        torch.Size([5, 5, 2, 4])
    """
    pictures, patches = tokens.shape[:2]
    first = tokens[:, None].expand(-1, pictures, -1, -1, -1)
    second = tokens[None].expand(pictures, -1, -1, -1, -1)
    both = torch.cat([first, second], dim=2)
    scores = torch.einsum("mhw,ijphw->ijhmp", queries, both) / math.sqrt(queries.shape[-1])
    share = scores.softmax(-1)
    one = torch.einsum("ijhmp,ijphw->ijhw", share[..., :patches], first)
    other = torch.einsum("ijhmp,ijphw->ijhw", share[..., patches:], second)
    return one - other


def rank_attention(queries: Tensor, tokens: Tensor) -> Tensor:
    """Attend to every pair of pictures by way of a summary of each: the same, exactly.

    Of each picture, for each query, two things suffice: the log of the sum of its exponentiated
    scores, and the mean of its tokens by the softmax of its own scores. In a pair the first
    picture's mean then counts by the sigmoid of the difference of the two logs.

    Args:
        queries: ``(M, H, W)`` of M relational tokens, H heads of width W.
        tokens: ``(N, P, H, W)`` of N pictures of P patches: keys and values in one.

    Returns:
        ``(N, N, H, W)``, as :func:`pairwise_rank_attention` returns; entry j, i is minus entry i,
        j, and entry i, i is 0. Time and memory grow as N M P + N^2 M instead of N^2 M P.

    Source:
        The result is that of Yu et al. (2025), arXiv 2412.06760; the shortcut is ours.

    Example:
        >>> queries, tokens = torch.randn(3, 2, 4), torch.randn(5, 7, 2, 4)
        >>> slow = pairwise_rank_attention(queries, tokens)
        >>> torch.allclose(rank_attention(queries, tokens), slow, atol=1e-5)
        True
    """
    logs, means = _per_image_statistics(queries, tokens)
    # Not exp(one) / (exp(one) + exp(other)), which is no number where scores are large.
    share = (logs[:, None] - logs).sigmoid().to(means.dtype)
    one = torch.einsum("ijhm,ihmw->ijhw", share, means)
    return one - one.transpose(0, 1)


def _per_image_statistics(queries: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logs ``(N, H, M)`` and the means ``(N, H, M, W)`` of every picture."""
    scores = torch.einsum("mhw,nphw->nhmp", queries, tokens) / math.sqrt(queries.shape[-1])
    means = torch.einsum("nhmp,nphw->nhmw", scores.softmax(-1), tokens)
    return scores.logsumexp(-1), means

"""L2RCLIP's ordinal pairwise loss: pull a picture to its rank, push it from others by distance.

All distances are between features of length 1 (rows are normalised here): else pushing could go
on forever. *Values* are labels on the task's number line; *rank_values* are the values of the ranks.
"""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from ..utils.validation import check_choice
from .contrastive import cosine_similarity_matrix, supervised_contrastive

PairwiseLoss = Literal["both", "tightness", "diversity", "batch", "off"]
# Distances below it count as it: the slope of a square root at 0 is infinite.
EPS = 1e-6
# The batch-paired form weighs its two other terms by a half.
HALF = 0.5


def tightness(features: Tensor, texts: Tensor, ranks: Tensor) -> Tensor:
    """Pull every picture to the words of its own rank.

    Args:
        features: ``(B, D)`` of pictures.
        texts: ``(M, D)`` of ranks.
        ranks: ``(B,)`` int64, 0 to M - 1.

    Returns:
        The mean squared distance, 0 to 4.

    Source:
        Wang et al. (2023), L2RCLIP, arXiv 2306.13856, released losses.

    Example:
        >>> texts = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> tightness(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), texts, torch.tensor([0, 1])).item()
        1.0
    """
    return _tightness(cosine_similarity_matrix(features, texts), ranks)


def diversity(features: Tensor, texts: Tensor, values: Tensor, rank_values: Tensor) -> Tensor:
    """Push every picture from the words of all ranks, the harder the further the rank.

    The weights are ``|value - level|``, less their least over the whole batch and divided by
    their greatest. The sign matters: what is made small is *minus* the distance.

    Args:
        features: ``(B, D)`` of pictures.
        texts: ``(M, D)`` of ranks.
        values: ``(B,)`` labels.
        rank_values: ``(M,)`` increasing.

    Returns:
        Minus the mean weighted distance, -2 to 0.

    Source:
        Wang et al. (2023), L2RCLIP, arXiv 2306.13856, released losses; after Zhang et al. (2023),
        Improving deep regression with ordinal entropy, ICLR.

    Example:
        >>> texts, rank_values = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.tensor([1.0, 2.0])
        >>> diversity(torch.tensor([[1.0, 0.0]]), texts, torch.tensor([1.0]), rank_values).item()
        -1.0
    """
    return _diversity(cosine_similarity_matrix(features, texts), values, rank_values)


def ordinal_pairwise(
    features: Tensor,
    texts: Tensor,
    ranks: Tensor,
    values: Tensor,
    rank_values: Tensor,
    *,
    gamma: float = 1.0,
) -> Tensor:
    """The main form: :func:`tightness` plus gamma times :func:`diversity`.

    Args:
        features, texts, ranks, values, rank_values: as in those two.
        gamma: weight of diversity.

    Returns:
        A scalar, -2 gamma to 4.

    Source:
        As :func:`diversity`.

    Example:
        >>> texts, rank_values = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.tensor([1.0, 2.0])
        >>> picture, one = torch.tensor([[1.0, 0.0]]), torch.tensor([1.0])
        >>> ordinal_pairwise(picture, texts, torch.tensor([0]), one, rank_values).item()
        -1.0
    """
    similarity = cosine_similarity_matrix(features, texts)
    return _tightness(similarity, ranks) + gamma * _diversity(similarity, values, rank_values)


def batch_ordinal_pairwise(
    features: Tensor, texts: Tensor, ranks: Tensor, values: Tensor
) -> Tensor:
    """The batch-paired form, for tuning words: pictures and words of two samples of a batch.

    Of every two samples the first's picture is pushed from the second's words, and their words
    from each other, each by the distance of their labels; pictures are pulled to their own.

    Args:
        features, texts, ranks, values: as in :func:`ordinal_pairwise`.

    Returns:
        A scalar, -3 to 2. Where all labels are equal, or all pairs equally far apart (as a single
        pair is), nothing is pushed.

    Source:
        As :func:`diversity`, the released loss of the first stage.

    Example:
        >>> texts, ranks = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.tensor([0, 0, 1])
        >>> loss = batch_ordinal_pairwise(texts[ranks], texts, ranks, torch.tensor([1.0, 1.0, 2.0]))
        >>> round(loss.item(), 3)
        -2.0
    """
    return _batch_pairwise(
        cosine_similarity_matrix(features, texts),
        cosine_similarity_matrix(texts, texts),
        ranks,
        values,
    )


def l2rclip_loss(
    features: Tensor,
    texts: Tensor,
    ranks: Tensor,
    values: Tensor,
    rank_values: Tensor,
    *,
    scale: Tensor | float,
    pairwise_loss: PairwiseLoss = "both",
    pairwise_weight: float = 1.0,
    gamma: float = 1.0,
    contrastive_weight: float = 1.0,
) -> Tensor:
    """Everything: cross-entropy, contrast both ways, and the ordinal pairwise loss.

    The words of all ranks are the candidates of every picture, one of them its own; so the
    contrast from pictures to words is the cross-entropy once more.

    Args:
        features, texts, ranks, values, rank_values: as in :func:`ordinal_pairwise`.
        scale: CLIP's factor on cosines, about 100.
        pairwise_loss: "both", "tightness" or "diversity" alone, "batch" for
            :func:`batch_ordinal_pairwise`, or "off".
        pairwise_weight: lambda.
        gamma: weight of diversity inside the pairwise loss; the batch-paired form has none.
        contrastive_weight: of the two directions together.

    Returns:
        A scalar.

    Raises:
        ValueError: an unknown ``pairwise``.

    Source:
        Wang et al. (2023), L2RCLIP, arXiv 2306.13856, for the terms. How the paper weighs them
        was not found: the weights are ours.

    Example:
        >>> texts, rank_values = torch.eye(3), torch.tensor([1.0, 2.0, 3.0])
        >>> ranks, values = torch.tensor([0, 2]), torch.tensor([1.0, 3.0])
        >>> loss = l2rclip_loss(texts[ranks], texts, ranks, values, rank_values, scale=100.0)
        >>> round(loss.item(), 3)
        -0.707
    """
    check_choice("pairwise_loss", pairwise_loss, get_args(PairwiseLoss))
    # Once for all terms.
    similarity = cosine_similarity_matrix(features, texts)
    logits = scale * similarity
    loss = F.cross_entropy(logits, ranks)
    if contrastive_weight:
        own = F.one_hot(ranks, len(texts)).bool()
        both = supervised_contrastive(logits, own) + supervised_contrastive(logits.T, own.T)
        loss = loss + contrastive_weight * both
    if pairwise_loss == "off":
        return loss
    if pairwise_loss == "both":
        order = _tightness(similarity, ranks) + gamma * _diversity(similarity, values, rank_values)
    elif pairwise_loss == "tightness":
        order = _tightness(similarity, ranks)
    elif pairwise_loss == "diversity":
        order = gamma * _diversity(similarity, values, rank_values)
    else:
        order = _batch_pairwise(similarity, cosine_similarity_matrix(texts, texts), ranks, values)
    return loss + pairwise_weight * order


def _normalized_label_distances(far: Tensor) -> Tensor:
    """Return distances of labels as shares of the greatest, 0 where all are equal."""
    if not far.numel():
        return far
    return (far - far.min()) / far.max().clamp(min=torch.finfo(far.dtype).tiny)


def _distances(similarity: Tensor) -> Tensor:
    """Return distances between rows of length 1, from their cosines."""
    return (2 - 2 * similarity).clamp(min=EPS**2).sqrt()


def _tightness(similarity: Tensor, ranks: Tensor) -> Tensor:
    return (2 - 2 * similarity.gather(1, ranks[:, None])).mean()


def _diversity(similarity: Tensor, values: Tensor, rank_values: Tensor) -> Tensor:
    far = (values[:, None] - rank_values).abs()
    return -(_normalized_label_distances(far) * _distances(similarity)).mean()


def _batch_pairwise(similarity: Tensor, of_texts: Tensor, ranks: Tensor, values: Tensor) -> Tensor:
    a, b = torch.triu_indices(len(values), len(values), 1, device=values.device)
    weights = _normalized_label_distances((values[a] - values[b]).abs())
    pairs = max(len(weights), 1)
    to_words = (weights * _distances(similarity[a, ranks[b]])).sum() / pairs
    of_words = (weights * _distances(of_texts[ranks[a], ranks[b]])).sum() / pairs
    return HALF * _tightness(similarity, ranks) - to_words - HALF * of_words

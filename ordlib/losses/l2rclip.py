"""L2RCLIP's cross-modal ordinal pairwise loss: tightness and diversity.

All functions normalize the rows of ``image_features`` ``(B, D)`` and ``text_features`` ``(M, D)``
to unit length: v_i and t_m below. ``ranks`` ``(B,)`` int64 are the indices y_i of the true ranks,
0 to M - 1; ``values`` ``(B,)`` are the labels x_i, ``rank_values`` ``(M,)`` the labels r_m of the
ranks, increasing.

References:
    Wang et al. (2023), Learning-to-rank meets language (L2RCLIP), arXiv:2306.13856, and its
    released loss code; diversity after Zhang et al. (2023), Improving deep regression with ordinal
    entropy, arXiv:2301.08915. Ours: the weights of the terms of :func:`l2rclip_loss`.
"""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from ..utils.validation import check_choice
from .checks import check_indices, check_shape
from .contrastive import cosine_similarity_matrix, supervised_contrastive

PairwiseLoss = Literal["both", "tightness", "diversity", "batch", "off"]
LABELS = ("values", "rank_values")
# Smallest distance: the gradient of a square root is infinite at 0.
EPS = 1e-6


def tightness(image_features: Tensor, text_features: Tensor, ranks: Tensor) -> Tensor:
    """Tightness: mean squared distance of images to the text of their rank.

    ``L_tight = 1/B sum_i |v_i - t_{y_i}|^2``, 0 to 4. Arguments: see the module. Derived in
    notebook 03.

    Example:
        >>> images, texts = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.eye(2)
        >>> tightness(images, texts, torch.tensor([0, 1])).item()
        1.0
    """
    return _tightness(cosine_similarity_matrix(image_features, text_features), ranks)


def diversity(
    image_features: Tensor, text_features: Tensor, values: Tensor, rank_values: Tensor
) -> Tensor:
    """Diversity: negative mean distance of images to all texts, weighted by label distance.

    ``L_div = -1/(BM) sum_im w_im |v_i - t_m|``, -2 to 0, with ``w = (d - min d) / max d`` and
    ``d_im = |x_i - r_m|``; minimum and maximum over the batch. Arguments: see the module. Derived
    in notebook 03.

    Example:
        >>> texts, rank_values = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.tensor([1.0, 2.0])
        >>> diversity(texts[:1], texts, torch.tensor([1.0]), rank_values).item()
        -1.0
    """
    return _diversity(cosine_similarity_matrix(image_features, text_features), values, rank_values)


def ordinal_pairwise(
    image_features: Tensor,
    text_features: Tensor,
    ranks: Tensor,
    values: Tensor,
    rank_values: Tensor,
    *,
    gamma: float = 1.0,
) -> Tensor:
    """Cross-modal ordinal pairwise loss of L2RCLIP: ``L_tight + gamma L_div``.

    See :func:`tightness`, :func:`diversity`. Derived in notebook 03.

    Example:
        >>> texts, rank_values = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.tensor([1.0, 2.0])
        >>> ranks, values = torch.tensor([0]), torch.tensor([1.0])
        >>> ordinal_pairwise(texts[:1], texts, ranks, values, rank_values).item()
        -1.0
    """
    similarity = cosine_similarity_matrix(image_features, text_features)
    return _tightness(similarity, ranks) + gamma * _diversity(similarity, values, rank_values)


def batch_ordinal_pairwise(
    image_features: Tensor, text_features: Tensor, ranks: Tensor, values: Tensor
) -> Tensor:
    """Batch-paired ordinal pairwise loss: the released loss of L2RCLIP's first (prompt) stage.

    ``L_tight / 2 - 1/P sum_{i<j} w_ij (|v_i - t_{y_j}| + |t_{y_i} - t_{y_j}| / 2)``, -3 to 2, over
    the P pairs of samples of the batch, with w as in :func:`diversity` and ``d_ij = |x_i - x_j|``:
    all weights are 0 where all d_ij are equal. Arguments: see the module.

    Example:
        >>> texts, ranks = torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.tensor([0, 0, 1])
        >>> loss = batch_ordinal_pairwise(texts[ranks], texts, ranks, torch.tensor([1.0, 1.0, 2.0]))
        >>> round(loss.item(), 3)
        -2.0
    """
    check_indices("ranks", ranks, len(image_features), len(text_features))
    if len(ranks) < len(text_features):  # texts of other ranks have no effect
        text_features = text_features.index_select(0, ranks)
        ranks = torch.arange(len(ranks), device=ranks.device)
    similarity = _stacked_similarity(image_features, text_features)
    return _batch_pairwise(similarity, ranks, values)


def l2rclip_loss(
    image_features: Tensor,
    text_features: Tensor,
    ranks: Tensor,
    values: Tensor,
    rank_values: Tensor,
    *,
    logit_scale: Tensor | float,
    pairwise_loss: PairwiseLoss = "both",
    pairwise_weight: float = 1.0,
    gamma: float = 1.0,
    contrastive_weight: float = 1.0,
) -> Tensor:
    """Total loss of L2RCLIP: cross-entropy, contrastive loss, ordinal pairwise loss.

    ``L = CE + contrastive_weight (SupCon_image->text + SupCon_text->image) + pairwise_weight
    L_pair``. The image-to-text term equals CE, since the texts of all ranks are the candidates.

    Args:
        image_features, text_features, ranks, values, rank_values: see the module.
        logit_scale: of CLIP, 100 for OpenAI's models and 40 for pico-clip.
        pairwise_loss: L_pair: "both" for :func:`ordinal_pairwise`, "tightness", "diversity" (times
            gamma), "batch" for :func:`batch_ordinal_pairwise`, or "off".
        pairwise_weight: lambda.
        gamma: weight of the diversity term; not used by "batch".
        contrastive_weight: of both directions.

    Returns:
        A scalar.

    Raises:
        ValueError: an unknown ``pairwise_loss``.

    Example:
        >>> texts, rank_values = torch.eye(3), torch.tensor([1.0, 2.0, 3.0])
        >>> ranks, values = torch.tensor([0, 2]), torch.tensor([1.0, 3.0])
        >>> loss = l2rclip_loss(texts[ranks], texts, ranks, values, rank_values, logit_scale=100.0)
        >>> round(loss.item(), 3)
        -0.707
    """
    check_choice("pairwise_loss", pairwise_loss, get_args(PairwiseLoss))
    if pairwise_loss == "batch":
        stacked = _stacked_similarity(image_features, text_features)
        similarity = stacked[: len(ranks)]
    else:
        similarity = cosine_similarity_matrix(image_features, text_features)  # (B, M)
    check_indices("ranks", ranks, *similarity.shape)
    logits = logit_scale * similarity
    loss = F.cross_entropy(logits, ranks)
    if contrastive_weight:
        positives = F.one_hot(ranks, len(text_features)).T  # (M, B)
        image_to_text, text_to_image = loss, supervised_contrastive(logits.T, positives)
        loss = loss + contrastive_weight * (image_to_text + text_to_image)
    if pairwise_loss == "off":
        return loss
    if pairwise_loss == "both":
        pair = _tightness(similarity, ranks) + gamma * _diversity(similarity, values, rank_values)
    elif pairwise_loss == "tightness":
        pair = _tightness(similarity, ranks)
    elif pairwise_loss == "diversity":
        pair = gamma * _diversity(similarity, values, rank_values)
    else:
        pair = _batch_pairwise(stacked, ranks, values)
    return loss + pairwise_weight * pair


def _normalized_label_distances(distances: Tensor) -> Tensor:
    """Return ``(d - min d) / max d``; 0 where all d are 0."""
    if not distances.numel():
        return distances
    distances = distances + 0.0  # Also of integer labels.
    largest = distances.max().clamp(min=torch.finfo(distances.dtype).tiny)
    return (distances - distances.min()) / largest


def _distances(similarity: Tensor) -> Tensor:
    """Return distances of unit vectors: ``|a - b|^2 = 2 - 2 a.b``."""
    return (2 - 2 * similarity).clamp(min=EPS**2).sqrt()


def _tightness(similarity: Tensor, ranks: Tensor) -> Tensor:
    check_indices("ranks", ranks, *similarity.shape)
    return (2 - 2 * similarity.gather(1, ranks[:, None])).mean()


def _diversity(similarity: Tensor, values: Tensor, rank_values: Tensor) -> Tensor:
    for name, labels, size in zip(LABELS, (values, rank_values), similarity.shape, strict=True):
        check_shape(name, labels, size)
    weights = _normalized_label_distances((values[:, None] - rank_values).abs())  # (B, M)
    return -(weights * _distances(similarity)).mean()


def _stacked_similarity(image_features: Tensor, text_features: Tensor) -> Tensor:
    """Return the ``(B + M, M)`` cosines of images, and below them of texts, with texts."""
    return cosine_similarity_matrix(torch.cat([image_features, text_features]), text_features)


def _batch_pairwise(stacked_similarity: Tensor, ranks: Tensor, values: Tensor) -> Tensor:
    check_shape("values", values, len(ranks))
    i, j = torch.triu_indices(len(values), len(values), 1, device=values.device)  # (P,) each
    label_distances = _normalized_label_distances((values[i] - values[j]).abs())
    dtype, num_texts = stacked_similarity.dtype, stacked_similarity.shape[1]
    weights = torch.zeros(len(values), len(values), dtype=dtype, device=values.device)
    weights[i, j] = label_distances.to(dtype) / max(len(i), 1)
    # Summed over the images of each rank: a matrix of cosines instead of all pairs has gradients.
    with torch.autocast(values.device.type, enabled=False):
        one_hot = F.one_hot(ranks, num_texts).to(dtype)  # (B, M)
        image_text = weights @ one_hot  # (B, M)
        text_text = one_hot.T @ image_text / 2  # (M, M)
    diversity = torch.cat([image_text, text_text]) * _distances(stacked_similarity)
    return _tightness(stacked_similarity[: len(ranks)], ranks) / 2 - diversity.sum()

"""Cosine similarities and the supervised contrastive loss."""

import torch
import torch.nn.functional as F
from torch import Tensor


def cosine_similarity_matrix(a: Tensor, b: Tensor) -> Tensor:
    """Pairwise cosine similarity of the rows of two matrices.

    Args:
        a: ``(A, D)``, not necessarily normalized.
        b: ``(C, D)``, likewise.

    Returns:
        ``(A, C)``, -1 to 1; float64 for float64 inputs, else float32, also under autocast.

    Example:
        >>> cosine_similarity_matrix(torch.tensor([[3.0, 4.0]]), 5 * torch.eye(2))
        tensor([[0.6000, 0.8000]])
    """
    with torch.autocast(a.device.type, enabled=False):
        a, b = (F.normalize(_to_float32(x), dim=-1) for x in (a, b))
        return a @ b.T


def supervised_contrastive(logits: Tensor, positives: Tensor) -> Tensor:
    """Supervised contrastive (SupCon) loss (Khosla et al., 2020, equation 2).

    The mean over anchors a of ``-1 / |P(a)| sum_{p in P(a)} log softmax(logits[a])[p]``. Anchors
    without a positive or without a negative are skipped; the loss is 0 if none remains.

    Args:
        logits: ``(A, C)`` of anchors over candidates.
        positives: ``(A, C)`` mask of the positives P(a), bool or 0 and 1.

    Returns:
        A scalar, in nats.

    References:
        Khosla et al. (2020), Supervised contrastive learning, arXiv:2004.11362. Used in L2RCLIP's
        released code, which divides by zero for an anchor without positives; skipping is ours.

    Example:
        >>> logits = torch.tensor([[2.0, 2.0, 0.0], [1.0, 1.0, 1.0]])
        >>> positives = torch.tensor([[True, True, False], [False, False, False]])
        >>> round(supervised_contrastive(logits, positives).item(), 3)
        0.759
    """
    positives = positives.to(logits.dtype)
    num_positives = positives.sum(1)
    # 1, or 0 for an anchor without a positive or without a negative.
    valid = (num_positives % positives.shape[1]).sign()
    weights = valid / (num_positives * valid.sum()).clamp(min=1)
    return torch.dot(F.cross_entropy(logits, positives, reduction="none"), weights)


def _to_float32(features: Tensor) -> Tensor:
    return features if features.dtype == torch.float64 else features.float()

"""Cosines between pictures and words, and a contrastive loss that labels supervise."""

import torch
import torch.nn.functional as F
from torch import Tensor


def cosine_similarity_matrix(a: Tensor, b: Tensor) -> Tensor:
    """Return the cosine of every row with every other's, where autocast rounds products, too.

    Args:
        a: ``(A, D)``, any length but 0.
        b: ``(C, D)``.

    Returns:
        ``(A, C)``, -1 to 1; float32, or float64 if that is what was given.

    Example:
        >>> cosine_similarity_matrix(torch.tensor([[3.0, 4.0]]), torch.tensor([[5.0, 0.0], [0.0, 5.0]]))
        tensor([[0.6000, 0.8000]])
    """
    with torch.autocast(a.device.type, enabled=False):
        a, b = (F.normalize(_to_float32(side), dim=-1) for side in (a, b))
        return a @ b.T


def supervised_contrastive(logits: Tensor, positives: Tensor) -> Tensor:
    """Pull every anchor to all of its positives, and away from everything else.

    An anchor without a positive, or with nothing but positives, has nothing to tell apart and
    counts for nothing; where all anchors are such, as words are if all pictures of a batch have
    one label, the loss is 0.

    Args:
        logits: ``(A, C)`` of anchors over candidates.
        positives: ``(A, C)`` bool.

    Returns:
        The mean over the anchors that count of the mean over their positives of the negative
        log-softmax, in nats.

    Source:
        Khosla et al. (2020), Supervised contrastive learning, arXiv 2004.11362, equation 2; used
        by L2RCLIP's released code, where an anchor without a positive divides by zero.

    Example:
        >>> logits = torch.tensor([[2.0, 2.0, 0.0], [1.0, 1.0, 1.0]])
        >>> positives = torch.tensor([[True, True, False], [False, False, False]])
        >>> round(supervised_contrastive(logits, positives).item(), 3)
        0.759
    """
    count = positives.sum(1)
    alive = (count > 0) & (count < positives.shape[1])
    each = -(logits.log_softmax(1) * positives).sum(1) / count.clamp(min=1)
    return torch.where(alive, each, 0.0).sum() / alive.sum().clamp(min=1)


def _to_float32(features: Tensor) -> Tensor:
    return features if features.dtype == torch.float64 else features.float()

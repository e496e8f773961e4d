"""CORN loss."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import check_indices


def corn_loss(logits: Tensor, ranks: Tensor) -> Tensor:
    """CORN loss: binary cross-entropy of M - 1 conditional classifiers (Shi et al., 2021).

    Classifier k is trained on the images with rank ``y >= k`` to predict ``P(y > k | y > k - 1)``.

    Args:
        logits: ``(B, M - 1)``, entry k of ``P(y > k | y > k - 1)``.
        ranks: ``(B,)`` int64, y, 0 to M - 1.

    Returns:
        The mean over all pairs of image and classifier with ``y >= k``, in nats.

    References:
        Shi, Cao and Raschka (2021), CORN, arXiv:2111.08851, equation 8.

    Example:
        >>> corn_loss(torch.zeros(2, 4), torch.tensor([0, 4])).item()
        0.693...
    """
    check_indices("ranks", ranks, len(logits), logits.shape[1] + 1)
    k = torch.arange(logits.shape[1], device=logits.device)
    mask = k <= ranks[:, None]  # (B, M - 1)
    targets = (k < ranks[:, None]).to(logits.dtype)
    losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (losses * mask).sum() / mask.sum()

"""CORN's loss: an order as a chain of questions, each mask if the one below was a yes."""

import torch
import torch.nn.functional as F
from torch import Tensor


def corn_loss(logits: Tensor, ranks: Tensor) -> Tensor:
    """CORN's loss: binary cross-entropy of every question that the one below lets be mask.

    Args:
        logits: ``(B, M - 1)``; entry k asks whether a picture is beyond rank k, given that it is
            beyond rank k - 1.
        ranks: ``(B,)`` int64, 0 to M - 1.

    Returns:
        The mean over the questions mask, in nats.

    Source:
        Shi, Cao and Raschka (2021), CORN, arXiv 2111.08851, equation 8.

    Example:
        >>> corn_loss(torch.zeros(2, 4), torch.tensor([0, 4])).item()
        0.693...
    """
    steps = torch.arange(logits.shape[1], device=logits.device)
    mask = steps <= ranks[:, None]
    beyond = (steps < ranks[:, None]).to(logits.dtype)
    each = F.binary_cross_entropy_with_logits(logits, beyond, reduction="none")
    return (each * mask).sum() / mask.sum()

"""The contrastive loss, over all pairs of all processes."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...training.distributed import gather


def contrastive_loss(image: Tensor, text: Tensor, scale: Tensor) -> Tensor:
    """Return CLIP's symmetric loss: each picture finds its caption, each caption its picture.

    Under several processes the pairs of all of them are contrasted, with gradient to each, and
    the loss is the same everywhere; averaged gradients are then those of one large batch.

    Args:
        image, text: ``(n, D)`` features of this process's pairs, of unit length.
        scale: factor on the cosine similarities.

    Returns:
        The mean cross-entropy, in nats; log N where nothing is known of N pairs.

    Source:
        Radford et al. 2021, Learning Transferable Visual Models From Natural Language
        Supervision, figure 3.

    Example:
        >>> features = torch.eye(4)
        >>> contrastive_loss(features, features, torch.tensor(100.0)).item() < 1e-6
        True
    """
    image, text = gather(image), gather(text)
    logits = scale * image @ text.T
    pairs = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2

"""The contrastive loss, over all pairs of all processes."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor


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
    image, text = _gather(image), _gather(text)
    logits = scale * image @ text.T
    pairs = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2


def _gather(features: Tensor) -> Tensor:
    if not (dist.is_available() and dist.is_initialized()):
        return features
    return _Gather.apply(features)


class _Gather(torch.autograd.Function):
    """Join the features of all processes; their gradients are summed on the way back."""

    @staticmethod
    def forward(ctx, features: Tensor) -> Tensor:
        parts = [torch.empty_like(features) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, features.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)
        return gradient.chunk(dist.get_world_size())[dist.get_rank()]

"""Joining what several processes computed, with gradient to each."""

import torch
import torch.distributed as dist
from torch import Tensor


def gather(features: Tensor) -> Tensor:
    """Join the rows of all processes; alone, return them as they are.

    A loss of the joined rows is the same in every process, and gradients averaged over the
    processes are then those of one large batch.

    Args:
        features: ``(n, ...)``, as many rows in every process.

    Returns:
        ``(n * processes, ...)``, in the order of the processes.

    Example:
        >>> gather(torch.ones(2, 3)).shape
        torch.Size([2, 3])
    """
    if not (dist.is_available() and dist.is_initialized()):
        return features
    return _Gather.apply(features)


class _Gather(torch.autograd.Function):
    """The gradients of all processes' losses are summed on the way back."""

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

"""Joining what several processes computed, with gradient to each."""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_gather


def all_gather_with_grad(features: Tensor) -> Tensor:
    """Join the rows of all processes; alone, return them as they are.

    A loss of the joined rows is the same in every process, and gradients averaged over the
    processes are then those of one large batch.

    Args:
        features: ``(n, ...)``, as many rows in every process.

    Returns:
        ``(n * processes, ...)``, in the order of the processes.

    Example:
        >>> all_gather_with_grad(torch.ones(2, 3)).shape
        torch.Size([2, 3])
    """
    if not (dist.is_available() and dist.is_initialized()):
        return features
    return torch.cat(all_gather(features.contiguous()))

"""Ranks and bins of labels as tensors, as the task gives them for arrays."""

import torch
from torch import Tensor

from ..tasks import OrdinalTask


def ranks_of(task: OrdinalTask, values: Tensor) -> Tensor:
    """Return the index of the rank nearest to each value, as ``task.nearest_rank`` does.

    Args:
        task: gives the ranks.
        values: ``(B,)`` float32 on the task's number line.

    Returns:
        ``(B,)`` int64, on the same device.

    Example:
        >>> from ordlib import load_task
        >>> ranks_of(load_task("quality"), torch.tensor([1.2, 2.5, 4.9]))
        tensor([0, 2, 4])
    """
    levels = torch.as_tensor(task.levels)
    # Halved in double precision, as the task does: a label halfway must not fall below it.
    edges = ((levels[:-1] + levels[1:]) / 2).to(values.dtype)
    return torch.bucketize(values, edges.to(values.device), right=True)


def bins_of(task: OrdinalTask, values: Tensor) -> Tensor:
    """Return the coarse bin of each value, as ``task.bin_of`` does.

    Args:
        task, values: as for :func:`ranks_of`.

    Returns:
        ``(B,)`` int64, on the same device.

    Example:
        >>> from ordlib import load_task
        >>> bins_of(load_task("ageing"), torch.tensor([4.0, 13.0, 90.0]))
        tensor([0, 1, 4])
    """
    edges = torch.tensor(task.bin_edges[1:], dtype=values.dtype)
    return torch.bucketize(values, edges.to(values.device), right=True)

"""Validation of the arguments of losses: torch would broadcast some, and ignore labels of -100."""

from torch import Tensor


def check_shape(name: str, values: Tensor, *shape: int) -> None:
    """Raise ValueError unless a tensor has this shape, and at least one row.

    Example:
        >>> import torch
        >>> check_shape("values", torch.zeros(2, 1), 2)
        Traceback (most recent call last):
        ValueError: values: shape (2, 1); expected (2,)
    """
    if not isinstance(values, Tensor):
        raise TypeError(f"{name}: is a {type(values).__name__}; expected a tensor")
    if tuple(values.shape) != shape:
        raise ValueError(f"{name}: shape {tuple(values.shape)}; expected {shape}")
    if not shape[0]:
        raise ValueError(f"{name}: is empty; a loss needs at least one image")


def check_indices(name: str, indices: Tensor, size: int, count: int) -> None:
    """Raise ValueError unless a tensor has ``size`` integers from 0 to ``count - 1``.

    On other devices than a CPU, which would have to wait for it, the range is not validated.
    """
    check_shape(name, indices, size)
    if indices.is_floating_point():
        raise ValueError(f"{name}: has type {indices.dtype}; expected integers")
    if indices.device.type == "cpu":
        low, high = map(int, indices.aminmax())
        if low < 0 or high >= count:
            raise ValueError(f"{name}: has {low if low < 0 else high}; expected 0 to {count - 1}")

"""Match an answer against the results of known mistakes; check its type and gradients."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor


def find_mistake(answer: ArrayLike, known: Iterable[tuple[str, ArrayLike]]) -> str | None:
    """Return the diagnosis of the first known result that equals the answer up to rounding.

    Example:
        >>> find_mistake([3.0], [("that is half: double it", [1.5]), ("that is the sum", [3.0])])
        'that is the sum'
    """
    close = (text for text, result in known if np.allclose(answer, result, rtol=1e-4, atol=1e-5))
    return next(close, None)


def largest_error_index(answer: Tensor, expected: Tensor) -> tuple[int, ...]:
    """Return the index at which an answer differs most from the expected result."""
    flat_index = (answer - expected).abs().nan_to_num(torch.inf).argmax()
    return tuple(int(i) for i in torch.unravel_index(flat_index, expected.shape))


def check_tensor(
    answer: object,
    shape: tuple[int, ...],
    hints: Mapping[tuple[int, ...], str],  # of wrong shapes
    not_finite: str = "avoid a division by 0, and a log or root of 0",
) -> str | None:
    """Return a diagnosis unless an answer is a finite floating-point tensor of a shape."""
    if not isinstance(answer, Tensor):
        kind = type(answer).__name__
        return f"you return a {kind}: stay in torch and return a tensor, so that gradients flow"
    if not answer.is_floating_point():
        return f"you return {answer.dtype}: keep the type of the input"
    if answer.shape != shape:
        hint = hints.get(tuple(answer.shape), f"return shape {shape}")
        return f"you return shape {tuple(answer.shape)}: {hint}"
    return None if answer.isfinite().all() else f"a value is not finite: {not_finite}"


def check_gradients(function: Callable[..., object], **inputs: Tensor) -> str | None:
    """Return a diagnosis unless a finite, non-zero gradient reaches every named input."""
    lost = "the numbers are right, but no gradient reaches the {}: leave out detach, item, no_grad"
    leaves = [tensor.clone().requires_grad_() for tensor in inputs.values()]
    result = function(*leaves)
    if not result.requires_grad:
        return lost.format(" or the ".join(inputs))
    gradients = torch.autograd.grad(result.sum(), leaves, allow_unused=True)
    for name, gradient in zip(inputs, gradients, strict=True):
        if gradient is None or not gradient.any():
            return lost.format(name)
        if not gradient.isfinite().all():
            return (
                f"the numbers are right, but the gradient to the {name} is not finite: torch.where "
                "and nan_to_num hide a division by 0 from the value only. Clamp before you divide"
            )
    return None

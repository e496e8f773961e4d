"""Find mistakes by making them: which of them gives the learner's answer?"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor


def resembling(answer: ArrayLike, known: Iterable[tuple[str, ArrayLike]]) -> str | None:
    """The diagnosis whose answer, a wrong one as a rule, is the learner's but for rounding.

    Example:
        >>> resembling([3.0], [("that is half: double it", [1.5]), ("that is the sum", [3.0])])
        'that is the sum'
    """
    close = (told for told, each in known if np.allclose(answer, each, rtol=1e-4, atol=1e-5))
    return next(close, None)


def furthest(answer: Tensor, right: Tensor) -> tuple[int, ...]:
    """Where an answer is furthest from the right one."""
    place = (answer - right).abs().nan_to_num(torch.inf).argmax()
    return tuple(int(i) for i in torch.unravel_index(place, right.shape))


def unreached(function: Callable[..., object], **inputs: Tensor) -> str | None:
    """To which inputs no gradient comes from a function's result, or none that one could use."""
    lost = "the numbers are right, but no gradient reaches the {}: leave out detach, item, no_grad"
    leaves = [each.clone().requires_grad_() for each in inputs.values()]
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
                "and nan_to_num still divide by 0 behind the scenes. Clamp before you divide"
            )
    return None


def no_tensor(answer: object) -> str | None:
    """Why an answer is no tensor of fractions."""
    if not isinstance(answer, Tensor):
        kind = type(answer).__name__
        return f"you return a {kind}: stay in torch and return a tensor, so that gradients pass"
    if not answer.is_floating_point():
        return f"you return {answer.dtype}: keep the type of what you were given"
    return None

"""Find mistakes by making them: which of them, together, give the learner's answer?"""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, product

import torch
from torch import Tensor

# More at once, and anything would be explained by something.
MOST = 2


def mistaken(
    answer: Tensor, parts: Sequence[Mapping[str, Callable]], made: Callable[..., Tensor]
) -> str | None:
    """Name the fewest mistakes that give an answer.

    Args:
        answer: the learner's, of the right shape.
        parts: for each part of the calculation, its ways by diagnosis; "" names the right one.
        made: takes one way of each part, returns what they give.

    Returns:
        The diagnoses; "" if the answer is right, None if nothing explains it.

    Example:
        >>> parts = [{"": torch.mean, "that is the sum: take the mean": torch.sum}]
        >>> mistaken(torch.tensor(3.0), parts, lambda reduced: reduced(torch.tensor([1.0, 2.0])))
        'that is the sum: take the mean'
    """
    for count in range(MOST + 1):
        for wrong in combinations(range(len(parts)), count):
            for diagnoses in product(*([name for name in parts[i] if name] for i in wrong)):
                names = dict(zip(wrong, diagnoses, strict=True))
                way = (part[names.get(i, "")] for i, part in enumerate(parts))
                if same(answer, made(*way)):
                    return "; and ".join(diagnoses)
    return None


def same(one: Tensor, other: Tensor) -> bool:
    """Tell whether two answers are equal but for float32's rounding."""
    return torch.allclose(one.detach().double(), other.double(), rtol=1e-4, atol=1e-5)


def unreached(result: Tensor, inputs: Mapping[str, Tensor]) -> str | None:
    """Say to which inputs no gradient comes from a result, or none that one could use."""
    lost = "the numbers are right, but no gradient reaches the {}: leave out detach, item, no_grad"
    if not result.requires_grad:
        return lost.format(" or the ".join(inputs))
    gradients = torch.autograd.grad(result.sum(), list(inputs.values()), allow_unused=True)
    for name, gradient in zip(inputs, gradients, strict=True):
        if gradient is None or not gradient.any():
            return lost.format(name)
        if not gradient.isfinite().all():
            return f"the numbers are right, but the gradient to the {name} is not finite"
    return None

"""What is no answer yet: another type, another place, another kind of number."""

import torch
from torch import Tensor


def no_tensor(answer: object, device: torch.device) -> str | None:
    """Say why an answer is no tensor of fractions on the device of what was given.

    Args:
        answer: the learner's.
        device: of what was given.

    Returns:
        A complaint, or None.

    Example:
        >>> no_tensor(torch.ones(2), torch.device("cpu"))
        >>> no_tensor([1.0], torch.device("cpu"))
        'you return a list: stay in torch and return a tensor, so that gradients pass'
    """
    if not isinstance(answer, Tensor):
        kind = type(answer).__name__
        return f"you return a {kind}: stay in torch and return a tensor, so that gradients pass"
    if answer.device != device:
        return (
            f"your answer lies on {answer.device}, what you were given on {device}: make new "
            "tensors there, with device=..."
        )
    if not answer.is_floating_point():
        return f"you return {answer.dtype}: keep the type of what you were given"
    return None


def number_of(answer: object) -> float | str:
    """Return an answer as one number, or why it is none.

    Args:
        answer: the learner's: a number of Python's or numpy's, or a tensor of one.

    Returns:
        The number, perhaps NaN, or a complaint.

    Example:
        >>> number_of(torch.tensor(0.5))
        0.5
        >>> number_of(True)
        'you return a bool: return how far, one number'
    """
    kind = type(answer).__name__
    told = f"you return a {kind}: return how far, one number"
    if isinstance(answer, bool | str | bytes):
        return told
    if isinstance(answer, Tensor) and answer.device.type == "meta":
        return "your tensor lies on the meta device, where there are no numbers"
    shape = tuple(getattr(answer, "shape", ()))
    if shape:
        return f"you return shape {shape}: take the largest of all, one number"
    try:
        if "bool" in str(getattr(answer, "dtype", "")):
            return told
        return float(answer)
    except (TypeError, ValueError, RuntimeError):  # torch's complex numbers
        return told

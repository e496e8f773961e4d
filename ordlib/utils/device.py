"""Where torch computes: which device and precision, and what to call it on a card."""

import platform
from importlib.metadata import version
from typing import Literal

import torch


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """The device asked for, or the best there is.

    Args:
        device: "cuda", "cuda:1", "mps", "cpu", or any other accelerator that torch knows; "auto"
            or None takes the accelerator of this machine, else the CPU.

    Raises:
        ValueError: no such device, or torch sees none of its kind on this machine.

    Example:
        >>> pick_device("gpu")
        Traceback (most recent call last):
        ValueError: there is no device 'gpu'; there are 'auto', 'cuda', 'mps' and 'cpu'
    """
    counts = {"cpu": 1}
    if torch.accelerator.is_available():
        kind = torch.accelerator.current_accelerator().type
        counts = {kind: torch.accelerator.device_count()} | counts
    if device in (None, "auto"):
        return torch.device(next(iter(counts)))
    try:
        asked = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"there is no device {str(device)!r}; there are 'auto', 'cuda', 'mps' and 'cpu'"
        ) from error
    count = counts.get(asked.type, 0)
    if (asked.index or 0) >= count:
        raise ValueError(
            f"device {str(asked)!r} was asked for, but torch {torch.__version__} sees {count} "
            f"{asked.type.upper()} devices here. Leave the device out to take what there is; on "
            "Colab, choose Runtime > Change runtime type > T4 GPU"
        )
    return asked


LIBRARIES = ("torch", "transformers", "tokenizers", "accelerate", "peft", "numpy", "ordlib")

Precision = Literal["auto", "float32", "bfloat16"]


def pick_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Type of matrix products: ``torch.bfloat16`` or ``torch.float32``.

    "auto" takes bfloat16 where the hardware multiplies it: GPUs since Ampere, and CPUs with AMX,
    where it is about twice as fast as float32.

    Example:
        >>> pick_dtype("bfloat16", torch.device("cpu"))
        torch.bfloat16
    """
    if precision != "auto":
        return getattr(torch, precision)
    if device.type == "cuda":
        pays = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        pays = device.type == "cpu" and has_amx()
    return torch.bfloat16 if pays else torch.float32


def has_amx() -> bool:
    """Whether the CPU multiplies bfloat16 matrices in tiles."""
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())


def pick_attention(device: torch.device) -> str:
    """transformers' quickest attention for training on a device."""
    # On CPUs torch's fused kernel is many times slower backwards in bfloat16 than plain products.
    return "eager" if device.type == "cpu" else "sdpa"


def device_description(device: torch.device) -> str:
    """Name of a device as a card has it, such as 'cpu (AVX512 with AMX, 8 threads)'."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    if device.type != "cpu":
        return device.type
    kind = torch.backends.cpu.get_cpu_capability() + (" with AMX" if has_amx() else "")
    return f"cpu ({kind}, {torch.get_num_threads()} threads)"


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that matter to a result."""
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}

"""Device and precision selection, and their description in model cards."""

import os
import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from typing import Literal

import torch
from torch import nn

from .. import __version__

LIBRARIES = ("torch", "transformers", "tokenizers", "accelerate", "peft", "numpy")
Precision = Literal["auto", "float32", "bfloat16"]


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """Validate the requested device, or select the best available one.

    Args:
        device: "cuda", "cuda:1", "mps", "cpu", or any other accelerator that torch supports;
            "auto" or None selects the accelerator of this machine, else the CPU.

    Raises:
        ValueError: unknown device, or torch finds none of its type on this machine.

    Example:
        >>> pick_device("gpu")
        Traceback (most recent call last):
        ValueError: device = 'gpu': unknown device; choose 'auto', 'cuda', 'mps' or 'cpu'
    """
    counts = {"cpu": 1}
    if torch.accelerator.is_available():
        accelerator = torch.accelerator.current_accelerator().type
        counts = {accelerator: torch.accelerator.device_count()} | counts
    if device in (None, "auto"):
        return torch.device(next(iter(counts)))
    try:
        requested = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"device = {str(device)!r}: unknown device; choose 'auto', 'cuda', 'mps' or 'cpu'"
        ) from error
    count = counts.get(requested.type, 0)
    if (requested.index or 0) >= count:
        raise ValueError(
            f"device = {str(requested)!r}: torch {torch.__version__} finds {count} "
            f"{requested.type.upper()} devices on this machine. Omit the device to use the best "
            "one available; on Colab, choose Runtime > Change runtime type > T4 GPU"
        )
    return requested


def pick_local_device(device: str | torch.device | None = None) -> torch.device:
    """`pick_device` for one of several processes on a host: the accelerator of its LOCAL_RANK.

    As in accelerate, which starts the processes, the numbers start again where there are fewer
    accelerators. A device with an index is returned as it is.

    Example:
        >>> pick_local_device("cpu")
        device(type='cpu')
    """
    picked, rank = pick_device(device), os.environ.get("LOCAL_RANK")
    if rank is None or picked.type == "cpu" or picked.index is not None:
        return picked
    index = int(rank) % torch.accelerator.device_count()
    # Else every process would also take memory of the first one.
    torch.accelerator.set_device_index(index)
    return torch.device(picked.type, index)


@contextmanager
def preserve_rng(device: torch.device) -> Iterator[None]:
    """Run a block, then restore torch's random state on the CPU and on a CUDA device.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> with preserve_rng(torch.device("cpu")):
        ...     first = torch.rand(1)
        >>> torch.equal(first, torch.rand(1))
        True
    """
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Run a block in eval mode and restore the previous mode."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed parameter initialization without changing the state of the global RNG."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextmanager
def torch_defaults() -> Iterator[None]:
    """Run a block with torch's own defaults, whatever modes the caller is in.

    These are gradients, no inference mode, no autocast, and new tensors of float32 on the CPU.
    Else a method would be built in float64 and not train, or a cache keep rounded features.

    Example:
        >>> with torch.inference_mode(), torch_defaults():
        ...     torch.ones(1, requires_grad=True).exp().requires_grad
        True
    """
    with ExitStack() as stack:
        if (dtype := torch.get_default_dtype()) != torch.float32:
            stack.callback(torch.set_default_dtype, dtype)
            torch.set_default_dtype(torch.float32)
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        for device_type in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(device_type):
                stack.enter_context(torch.autocast(device_type, enabled=False))
        stack.enter_context(torch.enable_grad())
        yield


def pick_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Dtype of matrix products: ``torch.bfloat16`` or ``torch.float32``.

    "auto" selects bfloat16 where the hardware supports it natively: GPUs since Ampere, and CPUs
    with AMX, where it is about twice as fast as float32.

    Example:
        >>> pick_dtype("bfloat16", torch.device("cpu"))
        torch.bfloat16
    """
    if precision != "auto":
        return getattr(torch, precision)
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device.type == "cpu" and has_amx()
    return torch.bfloat16 if native else torch.float32


def pick_inference_dtype(device: torch.device) -> torch.dtype:
    """The fastest dtype of a frozen model that keeps about three digits.

    float16 on CUDA; bfloat16 on CPUs with AMX or AVX512-BF16, where it is about twice as fast as
    float32; else float32.

    Example:
        >>> pick_inference_dtype(torch.device("cuda"))
        torch.float16
    """
    if device.type == "cuda":
        return torch.float16
    native = has_amx() or getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return torch.bfloat16 if device.type == "cpu" and native else torch.float32


def has_amx() -> bool:
    """Whether the CPU has AMX tiles (native bfloat16 matrix products)."""
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())


def pick_attention(device: torch.device) -> str:
    """The fastest ``attn_implementation`` of transformers for training on a device."""
    # On CPUs, the backward pass of torch's fused kernel is many times slower in bfloat16.
    return "eager" if device.type == "cpu" else "sdpa"


def device_description(device: torch.device) -> str:
    """Description of a device for model cards, such as 'cpu (AVX512 with AMX, 8 threads)'."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    if device.type != "cpu":
        return device.type
    capability = torch.backends.cpu.get_cpu_capability() + (" with AMX" if has_amx() else "")
    return f"cpu ({capability}, {torch.get_num_threads()} threads)"


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that affect results."""
    found = {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}
    # Not from the metadata: the library also runs from its source, without installation.
    return found | {"ordlib": __version__}

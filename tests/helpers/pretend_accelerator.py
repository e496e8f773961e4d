"""A pretend accelerator: its tensors say "pretend", compute on the CPU, and refuse CPU tensors.

What a GPU would refuse (tensors of two devices in one operation) is refused here, and what makes
the host wait for a GPU (copies to it, reads of a number, results whose size only the device knows)
is counted. torch calls the backend of such a device "PrivateUse1"; all of its operations fall back
to one function here, whatever thread they come from.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

NAME = "pretend"
# Their result has as many elements as the device finds, so that the host waits to hear how many.
SIZE_FROM_DATA = {"nonzero", "masked_select", "_unique2", "unique_dim", "bincount"}
# Made by torch as an empty tensor that then grows, which these tensors cannot.
GROWING = ("arange", "arange.start", "arange.start_step", "linspace", "randperm", "eye", "eye.m")
ANSWERS_HOST = {"_local_scalar_dense", "equal", "is_nonzero"}
copies: Counter[str] = Counter()
# Gone, they would take back what they registered.
_libraries: list[torch.library.Library] = []


class PretendTensor(torch.Tensor):
    """A tensor of the device; ``held`` is the CPU tensor that has its numbers."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "PretendTensor":
        layout = {"strides": held.stride(), "storage_offset": held.storage_offset()}
        tensor = torch.Tensor._make_wrapper_subclass(
            cls, held.shape, **layout, dtype=held.dtype, device=torch.device(NAME, 0)
        )
        tensor.held = held
        return tensor

    def __repr__(self) -> str:
        return f"PretendTensor({self.held!r})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, *args, **(kwargs or {}))

    def tolist(self):
        copies["tolist"] += 1
        return self.held.tolist()

    def untyped_storage(self):
        """Where the numbers are; who saves tensors asks whether two share them."""
        return self.held.untyped_storage()


def _run(func, *args, **kwargs):
    """Compute on the CPU, and return what is of the device wrapped again."""
    name = func._schema.name.removeprefix("aten::")
    ours = [t for t in tree_leaves((args, kwargs)) if isinstance(t, PretendTensor)]
    _refuse_mixtures(name, args, kwargs, bool(ours))
    target = torch.device(kwargs["device"]).type if kwargs.get("device") is not None else None
    if name == "copy_":
        target = args[0].device.type
    _count(name, args, ours, target)
    held, named = tree_map(_held, args), tree_map(_held, kwargs)
    if kwargs.get("device") is not None:
        named["device"] = torch.device("cpu")
    result = func(*held, **named)
    if target != NAME and not (target is None and ours):
        return args[0] if name == "copy_" else result
    if name.endswith("_"):
        return args[0]
    if "out" in kwargs:
        assert kwargs["out"].shape == result.shape, f"{func} resizes its output"
        return kwargs["out"]
    return tree_map(_wrapped, result)


def _held(value):
    return value.held if isinstance(value, PretendTensor) else value


def _wrapped(value):
    plain = isinstance(value, Tensor) and not isinstance(value, PretendTensor)
    return PretendTensor(value) if plain else value


def _refuse_mixtures(name: str, args, kwargs, ours: bool) -> None:
    """As CUDA does: single numbers, copies, and indices may come from the CPU, all else may not."""
    if not ours or name in ("copy_", "_to_copy"):
        return
    if name in ("index", "index_put_", "index_put") and isinstance(args[0], PretendTensor):
        args = (args[0], *args[2:])
    elsewhere = [
        tuple(t.shape)
        for t in tree_leaves((args, kwargs))
        if isinstance(t, Tensor) and not isinstance(t, PretendTensor) and t.dim() > 0
    ]
    if elsewhere:
        raise RuntimeError(
            f"{name}: expected all tensors to be on {NAME}:0, but tensors of {elsewhere} are on cpu"
        )


def _count(name: str, args, ours: list, target: str | None) -> None:
    if not ours:
        return
    by_mask = name.startswith("index") and any(
        isinstance(t, PretendTensor) and t.dtype == torch.bool for t in tree_leaves(args[1])
    )
    if name in SIZE_FROM_DATA | ANSWERS_HOST or target == "cpu" or by_mask:
        copies[f"{name} by mask" if by_mask else name] += 1


class _Module:
    """What torch asks of the module that stands for a device."""

    in_use = False

    def is_initialized(self) -> bool:
        return True

    def is_available(self) -> bool:
        return self.in_use

    def device_count(self) -> int:
        return int(self.in_use)

    def current_device(self) -> int:
        return 0

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]

    def get_rng_state(self, device: object = 0) -> Tensor:
        return torch.zeros(8, dtype=torch.uint8)

    def set_rng_state(self, state: Tensor, device: object = 0) -> None:
        pass

    def manual_seed(self, seed: int) -> None:
        """Random numbers come from the CPU, whose seed torch has set already."""

    manual_seed_all = manual_seed

    def _is_in_bad_fork(self) -> bool:
        return False


MODULE = _Module()


def missing() -> str | None:
    """Say what this torch lacks to play a device; None if nothing."""
    try:
        from torch.utils import backend_registration

        backend_registration._setup_privateuseone_for_python_backend  # noqa: B018
        torch._C._set_only_lift_cpu_tensors  # noqa: B018
    except (ImportError, AttributeError) as error:
        return f"torch {torch.__version__} takes no device written in Python: {error}"
    return None


def _install() -> None:
    """Tell torch of the device; that cannot be taken back, but until it is in use it has none."""
    if _libraries:
        return
    from torch.utils import backend_registration as registration

    class Hook(registration._DummyPrivateUse1Hook):
        def is_available(self) -> bool:
            return MODULE.in_use

        def has_primary_context(self, index: int) -> bool:
            return MODULE.in_use

    registration._setup_privateuseone_for_python_backend(NAME, backend_module=MODULE, hook=Hook())
    for scope, register in (("_", _fall_back), ("aten", _replace_growing)):
        _libraries.append(library := torch.library.Library(scope, "IMPL"))
        register(library)


def _fall_back(library: torch.library.Library) -> None:
    library.fallback(_run, "PrivateUse1")


def _replace_growing(library: torch.library.Library) -> None:
    for name in GROWING:
        packet, _, overload = name.partition(".")
        operation = getattr(getattr(torch.ops.aten, packet), overload or "default")
        library.impl(name, partial(_run, operation), "PrivateUse1")


@contextmanager
def pretend_accelerator() -> Iterator[torch.device]:
    """Have a device, for as long as the block lasts."""
    _install()
    overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    # Numbers of Python are put together on the CPU and copied then, as for every device in C++.
    torch._C._set_only_lift_cpu_tensors(True)
    MODULE.in_use = True
    try:
        yield torch.device(NAME, 0)
    finally:
        MODULE.in_use = False
        torch._C._set_only_lift_cpu_tensors(False)
        torch.__future__.set_overwrite_module_params_on_conversion(overwrite)

"""A pretend accelerator, which computes on the CPU but behaves like a GPU towards tensors.

As on a GPU, operations with tensors of two devices raise an error. Operations that make the host
wait for a GPU are counted: copies to the host, reads of a number, and results whose size depends on
data. torch calls the backend of such a device "PrivateUse1"; all its operations fall back to
:func:`_run`, in any thread.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

NAME = "pretend"
# The size of their results depends on data, so the host waits for it.
SIZE_FROM_DATA = {"nonzero", "masked_select", "_unique2", "unique_dim", "bincount"}
# torch resizes an empty tensor for them, which these tensors do not support.
GROWING = ("arange", "arange.start", "arange.start_step", "linspace", "randperm", "eye", "eye.m")
READ_BY_HOST = {"_local_scalar_dense", "equal", "is_nonzero"}
copies: Counter[str] = Counter()
# Deleting a library would unregister its operations.
_libraries: list[torch.library.Library] = []


class PretendTensor(torch.Tensor):
    """A tensor of the device, stored in the CPU tensor ``data_on_cpu``."""

    data_on_cpu: Tensor

    @staticmethod
    def __new__(cls, data: Tensor) -> "PretendTensor":
        layout = {"strides": data.stride(), "storage_offset": data.storage_offset()}
        tensor = torch.Tensor._make_wrapper_subclass(
            cls, data.shape, **layout, dtype=data.dtype, device=torch.device(NAME, 0)
        )
        tensor.data_on_cpu = data
        return tensor

    def __repr__(self) -> str:
        return f"PretendTensor({self.data_on_cpu!r})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, *args, **(kwargs or {}))

    def tolist(self):
        copies["tolist"] += 1
        return self.data_on_cpu.tolist()

    def untyped_storage(self):
        """Return the CPU storage; safetensors compares storages to find shared tensors."""
        return self.data_on_cpu.untyped_storage()


def _run(func, *args, **kwargs):
    """Compute on the CPU, and wrap the result if it is on the device."""
    name = func._schema.name.removeprefix("aten::")
    on_device = [t for t in tree_leaves((args, kwargs)) if isinstance(t, PretendTensor)]
    _check_devices(name, args, kwargs, bool(on_device))
    target = torch.device(kwargs["device"]).type if kwargs.get("device") is not None else None
    if name == "copy_":
        target = args[0].device.type
    _count(name, args, on_device, target)
    cpu_args, cpu_kwargs = tree_map(_to_cpu, args), tree_map(_to_cpu, kwargs)
    if kwargs.get("device") is not None:
        cpu_kwargs["device"] = torch.device("cpu")
    result = func(*cpu_args, **cpu_kwargs)
    if target != NAME and not (target is None and on_device):
        return args[0] if name == "copy_" else result
    if name.endswith("_"):
        return args[0]
    if "out" in kwargs:
        assert kwargs["out"].shape == result.shape, f"{func} resizes its output"
        return kwargs["out"]
    return tree_map(_to_pretend, result)


def _to_cpu(value):
    return value.data_on_cpu if isinstance(value, PretendTensor) else value


def _to_pretend(value):
    plain = isinstance(value, Tensor) and not isinstance(value, PretendTensor)
    return PretendTensor(value) if plain else value


def _check_devices(name: str, args, kwargs, on_device: bool) -> None:
    """As in CUDA, only 0-d tensors, copies and indices may be on the CPU."""
    if not on_device or name in ("copy_", "_to_copy"):
        return
    if name in ("index", "index_put_", "index_put") and isinstance(args[0], PretendTensor):
        args = (args[0], *args[2:])
    on_cpu = [
        tuple(t.shape)
        for t in tree_leaves((args, kwargs))
        if isinstance(t, Tensor) and not isinstance(t, PretendTensor) and t.dim() > 0
    ]
    if on_cpu:
        raise RuntimeError(
            f"{name}: expected all tensors to be on {NAME}:0, but tensors of {on_cpu} are on cpu"
        )


def _count(name: str, args, on_device: list, target: str | None) -> None:
    if not on_device:
        return
    by_mask = name.startswith("index") and any(
        isinstance(t, PretendTensor) and t.dtype == torch.bool for t in tree_leaves(args[1])
    )
    if name in SIZE_FROM_DATA | READ_BY_HOST or target == "cpu" or by_mask:
        copies[f"{name} by mask" if by_mask else name] += 1


class _Module:
    """The interface of ``torch.cuda``, as far as torch needs it."""

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
        """Random numbers come from the CPU generator, which torch seeds as well."""

    manual_seed_all = manual_seed

    def _is_in_bad_fork(self) -> bool:
        return False


MODULE = _Module()


def missing() -> str | None:
    """Return what this version of torch lacks for a device in Python, or None."""
    try:
        from torch.utils import backend_registration

        backend_registration._setup_privateuseone_for_python_backend  # noqa: B018
        torch._C._set_only_lift_cpu_tensors  # noqa: B018
    except (ImportError, AttributeError) as error:
        return f"torch {torch.__version__} does not support a device written in Python: {error}"
    return None


def _install() -> None:
    """Register the device with torch, once per process; it counts 0 devices while not in use."""
    if _libraries:
        return
    from torch.utils import backend_registration as registration

    class Hook(registration._DummyPrivateUse1Hook):
        def is_available(self) -> bool:
            return MODULE.in_use

        def has_primary_context(self, index: int) -> bool:
            return MODULE.in_use

    registration._setup_privateuseone_for_python_backend(NAME, backend_module=MODULE, hook=Hook())
    _libraries.extend(torch.library.Library(scope, "IMPL") for scope in ("_", "aten"))
    _libraries[0].fallback(_run, "PrivateUse1")
    for name in GROWING:
        packet, _, overload = name.partition(".")
        operation = getattr(getattr(torch.ops.aten, packet), overload or "default")
        _libraries[1].impl(name, partial(_run, operation), "PrivateUse1")


@contextmanager
def pretend_accelerator() -> Iterator[torch.device]:
    """Make the device available within the block."""
    _install()
    overwrite = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    # Tensors of Python numbers are built on the CPU and then copied, as for devices in C++.
    torch._C._set_only_lift_cpu_tensors(True)
    MODULE.in_use = True
    try:
        yield torch.device(NAME, 0)
    finally:
        MODULE.in_use = False
        torch._C._set_only_lift_cpu_tensors(False)
        torch.__future__.set_overwrite_module_params_on_conversion(overwrite)

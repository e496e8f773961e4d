"""How much memory a run takes at its peak, above what was there before."""

import ctypes
import gc
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

Result = TypeVar("Result")
OWN = Path("/proc/self")


def peak(run: Callable[[], Result]) -> tuple[float, Result]:
    """Run something that has run before, so that what is loaded but once does not count.

    Returns:
        MiB that torch held on a GPU, or else of the process; NaN where neither is told, which is
        without CUDA and Linux. And what the run returned.
    """
    gc.collect()
    if torch.cuda.is_available():
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        result = run()
        return (torch.cuda.max_memory_allocated() - before) / 2**20, result
    if sys.platform != "linux":
        return math.nan, run()
    # What earlier runs freed goes back to the system, or else this one takes it unseen. And the
    # peak starts anew: it would still be that of loading the model.
    ctypes.CDLL(None).malloc_trim(0)
    (OWN / "clear_refs").write_text("5")
    before = _mib("VmRSS")
    result = run()
    return _mib("VmHWM") - before, result


def _mib(field: str) -> float:
    lines = (OWN / "status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024

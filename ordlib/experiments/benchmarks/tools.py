"""Shared by the benchmarks: timing, peak memory, an empty cache, padded prompts, a ViT-B/32."""

import ctypes
import gc
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from ordlib.clip import ClipBackbone, load_clip
from ordlib.methods.prompt_learner import EOS_ROW, PromptLearner

Result = TypeVar("Result")
PROCESS = Path("/proc/self")


def median_seconds(
    functions: dict[str, Callable[[], object]], repeats: int, warmup: bool = True
) -> dict[str, float]:
    """Return the median seconds of each function, run alternately so that none is favored.

    With ``warmup``, each function first runs once untimed.
    """
    for function in functions.values() if warmup else ():
        function()
    seconds = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = perf_counter()
            function()
            seconds[name].append(perf_counter() - start)
    return {name: median(times) for name, times in seconds.items()}


def speedup_row(name: str, seconds: dict[str, float], reference: str = "s reference") -> dict:
    """Return a table row for the seconds of a "reference" and of "ordlib"."""
    return {
        "benchmark": name,
        reference: round(seconds["reference"], 4),
        "s ordlib": round(seconds["ordlib"], 4),
        "times faster": round(seconds["reference"] / seconds["ordlib"], 1),
    }


def max_relative_difference(result: Tensor, reference: Tensor) -> float:
    """Return the largest difference divided by the largest reference value."""
    return ((result - reference).abs().max() / reference.abs().max()).item()


def peak_memory(function: Callable[[], Result]) -> tuple[float, Result]:
    """Run a function and measure its peak memory; run it once before to exclude one-time loading.

    Returns:
        MiB on the GPU, or of the process without one (NaN if not on Linux), and the result.
    """
    gc.collect()
    if torch.cuda.is_available():
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        result = function()
        return (torch.cuda.max_memory_allocated() - before) / 2**20, result
    if sys.platform != "linux":
        return math.nan, function()
    # Return freed memory to the system, or reusing it would not count; then reset the peak.
    ctypes.CDLL(None).malloc_trim(0)
    (PROCESS / "clear_refs").write_text("5")
    before = _process_mib("VmRSS")
    result = function()
    return _process_mib("VmHWM") - before, result


def _process_mib(field: str) -> float:
    lines = (PROCESS / "status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024


@contextmanager
def empty_cache() -> Iterator[Path]:
    """Yield a temporary folder that also holds ordlib's cache."""
    before = os.environ.get("ORDLIB_CACHE")
    with TemporaryDirectory() as folder:
        os.environ["ORDLIB_CACHE"] = f"{folder}/cache"
        try:
            yield Path(folder)
        finally:
            os.environ.pop("ORDLIB_CACHE")
            if before is not None:
                os.environ["ORDLIB_CACHE"] = before


@contextmanager
def padded(prompt_learner: PromptLearner) -> Iterator[None]:
    """Pad the prompts to CLIP's full context, as most implementations do."""
    layout = prompt_learner.layout
    missing = prompt_learner.clip.context_length - layout.shape[1]
    prompt_learner.layout = pad(layout, (0, missing), value=EOS_ROW)
    try:
        yield
    finally:
        prompt_learner.layout = layout


def vit_b_32(texts: Iterable[str]) -> ClipBackbone:
    """Build a random backbone of ViT-B/32 size, without a download.

    Every word of the texts is one token, as in OpenAI's vocabulary.
    """
    from tests.helpers.clips import build_vit_b_32  # `make` of rank_attention needs no tests.

    words = sorted({word for text in texts for word in re.findall("[a-z]+", text)})
    with TemporaryDirectory() as folder:
        return load_clip(build_vit_b_32(Path(folder) / "vit-b-32", words))

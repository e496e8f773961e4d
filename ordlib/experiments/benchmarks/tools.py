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
from timeit import timeit
from typing import TypeVar
from unittest.mock import patch

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
            seconds[name].append(timeit(function, number=1))
    return {name: median(times) for name, times in seconds.items()}


def speedup_row(
    name: str, reference: Callable[[], object], ordlib: Callable[[], object], repeats: int,
    *, warmup: bool = True, column: str = "s reference",
) -> dict:  # fmt: skip
    """Time a function against its reference, and return the table row."""
    functions = {column: reference, "s ordlib": ordlib}
    seconds = median_seconds(functions, repeats, warmup)
    rounded = {name: round(value, 4) for name, value in seconds.items()}
    ratio = seconds[column] / seconds["s ordlib"]
    return {"benchmark": name, **rounded, "times faster": round(ratio, 1)}


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
    before = process_mib("VmRSS")
    result = function()
    return process_mib("VmHWM") - before, result


def process_mib(field: str) -> float:
    """Return a field of the process's status in MiB, such as VmRSS or RssAnon (Linux)."""
    lines = (PROCESS / "status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024


@contextmanager
def empty_cache() -> Iterator[Path]:
    """Yield a temporary folder that also holds ordlib's cache."""
    with TemporaryDirectory() as folder, patch.dict(os.environ, ORDLIB_CACHE=f"{folder}/cache"):
        yield Path(folder)


@contextmanager
def padded(prompt_learner: PromptLearner) -> Iterator[None]:
    """Pad the prompts to CLIP's full context, as most implementations do."""
    token_rows = prompt_learner.token_rows
    missing = prompt_learner.clip.context_length - token_rows.shape[1]
    prompt_learner.token_rows = pad(token_rows, (0, missing), value=EOS_ROW)
    try:
        yield
    finally:
        prompt_learner.token_rows = token_rows


def random_features(clip: ClipBackbone, count: int) -> Tensor:
    """Return ``(count, D)`` features in place of cached ones."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, clip.embed_dim, generator=generator).to(clip.device)


def vit_b_32(texts: Iterable[str]) -> ClipBackbone:
    """Build a random backbone of ViT-B/32 size, without a download.

    Every word of the texts is one token, as in OpenAI's vocabulary.
    """
    from tests.helpers.clips import build_vit_b_32  # `make` of rank_attention needs no tests.

    words = sorted({word for text in texts for word in re.findall("[a-z]+", text)})
    with TemporaryDirectory() as folder:
        return load_clip(build_vit_b_32(Path(folder) / "vit-b-32", words))

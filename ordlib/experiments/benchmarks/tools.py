"""What the benchmarks share: races, peaks of memory, an empty cache, padding, a large backbone."""

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
from torch.nn.functional import pad

from ordlib.clip import ClipBackbone, load_clip
from ordlib.methods.prompt_learner import PromptLearner

Result = TypeVar("Result")
OWN = Path("/proc/self")


def race(
    contestants: dict[str, Callable[[], object]], repeats: int, warm: bool = True
) -> dict[str, float]:
    """The median seconds of each, run in turns, so that none is favoured.

    Each runs once before, uncounted; but not where ``warm`` is False, all having run already.
    """
    for run in contestants.values() if warm else ():
        run()
    seconds = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, run in contestants.items():
            start = perf_counter()
            run()
            seconds[name].append(perf_counter() - start)
    return {name: median(times) for name, times in seconds.items()}


def contest(name: str, seconds: dict[str, float], slow: str = "s slow") -> dict:
    """A row for a race of "slow" and "quick"."""
    return {
        "contest": name,
        slow: round(seconds["slow"], 4),
        "s ours": round(seconds["quick"], 4),
        "times faster": round(seconds["slow"] / seconds["quick"], 1),
    }


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


@contextmanager
def empty_cache() -> Iterator[Path]:
    """A temporary folder, and ordlib's cache within it."""
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
def padded(prompts: PromptLearner) -> Iterator[None]:
    """Prompts laid out over the whole context, as most code has them: the tower reads it all."""
    layout = prompts.layout
    missing = prompts.clip.context_length - layout.shape[1]
    # Row 1 is the end token, which stands behind short prompts anyway.
    prompts.layout = pad(layout, (0, missing), value=1)
    try:
        yield
    finally:
        prompts.layout = layout


def vit_b_32(texts: Iterable[str]) -> ClipBackbone:
    """A backbone of ViT-B/32's geometry with random weights, for nothing is downloaded here.

    It spends a token on each word of the texts, as OpenAI's vocabulary does.
    """
    from tests.clips import build_vit_b_32  # Only here: the evidence table needs no tests.

    words = sorted({word for text in texts for word in re.findall("[a-z]+", text)})
    with TemporaryDirectory() as folder:
        return load_clip(build_vit_b_32(Path(folder) / "vit-b-32", words))

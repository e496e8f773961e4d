"""Rank attention over all pairs of images: pairwise as defined, and factorized ("shortcut").

The results are equal. The pairwise form needs about 3 GB for 64 images and four times that for 128.
``ordlib results make rank_attention`` writes the results table that notebook 04 plots.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from math import isnan

import pandas as pd
import torch
from torch import Tensor
from torch.utils.benchmark import set_torch_threads

from ordlib.methods.ranking_adapter.rank_attention import pairwise_rank_attention, rank_attention
from ordlib.utils.device import device_description

from .tools import max_relative_difference, median_seconds, peak_memory

NUM_PATCHES, NUM_QUERIES, NUM_HEADS = 100, 16, 8
NUM_IMAGES, MAX_IMAGES_PAIRWISE = (16, 32, 64, 128, 256), 64
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
FORMS = {"pairwise": pairwise_rank_attention, "shortcut": rank_attention}
PASSES = ("forward", "forward+backward")
SETTING = ["num_images", "width", "pass", "dtype", "threads"]


@dataclass(frozen=True)
class Setting:
    """Input size and precision; bfloat16 by autocast, as in training."""

    num_images: int
    # CPU threads: on a busy machine, several threads spend the few milliseconds of the shortcut
    # waiting for each other.
    threads: int = 1
    width: int = 256
    dtype: torch.dtype = torch.float32


def make(table: str) -> dict:
    """Compute the results table, on one thread in float32; also record the load of the machine."""
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    return {
        "description": "Seconds (median) and MiB (peak) of the rank attention, attention alone: P "
        f"{NUM_PATCHES}, M {NUM_QUERIES}, H {NUM_HEADS}. The differences are relative to the "
        "largest number of the pairwise form.",
        "load_average": load,
        "records": records(map(Setting, NUM_IMAGES)),
    }


def measure(repeats: int = 3) -> pd.DataFrame:
    """Rank attention: factorized against pairwise, seconds and peak memory."""
    table = records(map(Setting, NUM_IMAGES), repeats)
    if DEVICE.type == "cuda":
        more = [Setting(64, width=768, dtype=dtype) for dtype in (torch.float32, torch.bfloat16)]
    else:
        more = [Setting(64, threads=torch.get_num_threads())]
    return side_by_side(pd.DataFrame(table + records(more, repeats)))


def records(settings: Iterable[Setting], repeats: int = 3) -> list[dict]:
    """Return one record per setting, pass and form."""
    return [r for setting in settings for p in PASSES for r in _records(setting, p, repeats)]


def side_by_side(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per setting and pass, with both forms and their ratios."""
    table = table.drop(columns="device").set_index("form")
    pairwise = table.loc[["pairwise"]].drop(columns=["max_output_diff", "max_grad_diff"])
    both = table.loc[["shortcut"]].merge(
        pairwise, "left", SETTING, suffixes=(" shortcut", " pairwise")
    )
    both["times faster"] = (both["seconds pairwise"] / both["seconds shortcut"]).round(1)
    both["times less"] = (both["peak_mib pairwise"] / both["peak_mib shortcut"]).round(1)
    return both.astype(object).where(both.notna(), "")


def _records(setting: Setting, pass_: str, repeats: int) -> list[dict]:
    """Measure time and memory of every form that fits into memory."""
    inputs = _random_inputs(setting)
    large = setting.num_images >= MAX_IMAGES_PAIRWISE
    repeats_of = {"pairwise": 1 if large else repeats, "shortcut": 5 * repeats}
    rows, results = [], {}
    with set_torch_threads(setting.threads):
        for form in FORMS if setting.num_images <= MAX_IMAGES_PAIRWISE else ("shortcut",):
            run = partial(_run, form, setting, pass_, *inputs)
            if repeats_of[form] > 1:
                run()  # warm-up
            mib, results[form] = peak_memory(run)
            seconds = median_seconds({form: run}, repeats_of[form], warmup=False)[form]
            rows.append({
                "form": form, "pass": pass_, "num_images": setting.num_images,
                "width": setting.width, "seconds": round(seconds, 5),
                "peak_mib": None if isnan(mib) else round(mib, 2),
                "dtype": str(setting.dtype).removeprefix("torch."),
                "device": device_description(DEVICE),
                "threads": setting.threads if DEVICE.type == "cpu" else None,
                "max_output_diff": None, "max_grad_diff": None,
            })  # fmt: skip
    if len(results) > 1:
        rows[-1] |= _differences(**results)
    return rows


def _random_inputs(setting: Setting) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries ``(M, H, W)``, tokens ``(N, P, H, W)``, output gradient ``(N, N, H, W)``."""
    generator = torch.Generator().manual_seed(0)
    n, heads = setting.num_images, (NUM_HEADS, setting.width // NUM_HEADS)
    queries, tokens, output_grad = (
        torch.randn(*shape, *heads, generator=generator).to(DEVICE)
        for shape in ((NUM_QUERIES,), (n, NUM_PATCHES), (n, n))
    )
    return queries.requires_grad_(), tokens.requires_grad_(), output_grad


def _run(
    form: str, setting: Setting, pass_: str, queries: Tensor, tokens: Tensor, output_grad: Tensor
) -> list[Tensor]:
    """Return the output and, with the backward pass, the gradients of queries and tokens."""
    backward = pass_ != "forward"
    autocast = setting.dtype == torch.bfloat16
    with torch.set_grad_enabled(backward), torch.autocast(DEVICE.type, torch.bfloat16, autocast):
        output = FORMS[form](queries, tokens)
    results = [output.detach()]
    if backward:
        results += torch.autograd.grad(output, (queries, tokens), output_grad.to(output.dtype))
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return results


def _differences(pairwise: list[Tensor], shortcut: list[Tensor]) -> dict[str, float | None]:
    """Return the largest differences, relative to the largest number of the pairwise form."""
    output, *gradients = (
        float(f"{max_relative_difference(a.float(), b.float()):.1e}")
        for a, b in zip(shortcut, pairwise, strict=True)
    )
    return {"max_output_diff": output, "max_grad_diff": max(gradients, default=None)}

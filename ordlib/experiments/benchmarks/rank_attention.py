"""The rank attention: every pair of pictures as it is written down, or by the shortcut.

Both give the same. Pair by pair 64 pictures take about 3 GB, and 128 would take four times that.
``ordlib results make rank_attention`` writes the evidence table that notebook 04 draws.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import isnan

import pandas as pd
import torch
from torch import Tensor

from ordlib.methods.ranking_adapter.rank_attention import pairwise_rank_attention, rank_attention
from ordlib.utils.device import device_description

from .tools import peak, race

PATCHES, RELATIONAL, HEADS = 100, 16, 8
PICTURES, LARGEST_PAIRWISE = (16, 32, 64, 128, 256), 64
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
FORMS = {"pairwise": pairwise_rank_attention, "shortcut": rank_attention}
PASSES = ("forward", "forward+backward")
SETTING = ["num_images", "width", "pass", "dtype", "threads"]


@dataclass(frozen=True)
class Setting:
    """What is attended to, and how: bfloat16 is autocast's, as in training."""

    pictures: int
    # On a CPU. One, because of more than one the shortcut's milliseconds are mostly waiting for
    # one another where the machine has other work.
    threads: int = 1
    width: int = 256
    dtype: torch.dtype = torch.float32


def make(table: str) -> dict:
    """Measure on one thread in float32; say, too, what else the machine did."""
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    return {
        "description": "Seconds (median) and MiB (peak) of the rank attention, attention alone: P "
        f"{PATCHES}, M {RELATIONAL}, H {HEADS}. The differences are shares of the pairwise form's "
        "largest number.",
        "load_average": load,
        "records": records(map(Setting, PICTURES)),
    }


def measure(repeats: int = 3) -> pd.DataFrame:
    """One row a setting and pass: seconds and MiB both ways, and how far the results differ."""
    sweep = records(map(Setting, PICTURES), repeats)
    if DEVICE.type == "cuda":
        more = [Setting(64, width=768, dtype=kind) for kind in (torch.float32, torch.bfloat16)]
    else:
        more = [Setting(64, threads=torch.get_num_threads())]
    return side_by_side(pd.DataFrame(sweep + records(more, repeats)))


def records(settings: Iterable[Setting], repeats: int = 3) -> list[dict]:
    """Return a record for each form of each setting and pass."""
    return [one for s in settings for way in PASSES for one in _records(s, way, repeats)]


def side_by_side(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each setting and pass, both forms in it, for reading."""
    table = table.drop(columns="device")
    forms = [table[table["form"] == form].drop(columns="form") for form in FORMS]
    pairwise = forms[0].drop(columns=["max_output_diff", "max_grad_diff"])
    both = forms[1].merge(pairwise, "left", SETTING, suffixes=(" shortcut", " pairwise"))
    both["times faster"] = (both["seconds pairwise"] / both["seconds shortcut"]).round(1)
    both["times less"] = (both["peak_mib pairwise"] / both["peak_mib shortcut"]).round(1)
    return both.astype(object).where(both.notna(), "")


def _records(setting: Setting, way: str, repeats: int) -> list[dict]:
    """Time the forms, and watch their memory."""
    large = setting.pictures >= LARGEST_PAIRWISE
    tensors = _made(setting)
    # The quick one is run more often, being quick; the large slow one takes many seconds.
    times = {"pairwise": 1 if large else repeats, "shortcut": 5 * repeats}
    made, results = [], {}
    with _threads(setting.threads):
        for name in FORMS if setting.pictures <= LARGEST_PAIRWISE else ("shortcut",):
            run = partial(_run, FORMS[name], setting, way, *tensors)
            if times[name] > 1:
                run()
            mib, results[name] = peak(run)
            seconds = race({name: run}, times[name], warm=False)[name]
            made.append(
                {
                    "form": name,
                    "pass": way,
                    "num_images": setting.pictures,
                    "width": setting.width,
                    "seconds": round(seconds, 5),
                    "peak_mib": None if isnan(mib) else round(mib, 2),
                    "dtype": str(setting.dtype).removeprefix("torch."),
                    "device": device_description(DEVICE),
                    "threads": setting.threads if DEVICE.type == "cpu" else None,
                    "max_output_diff": None,
                    "max_grad_diff": None,
                }
            )
    if len(results) > 1:
        made[-1] |= _differences(**results)
    return made


def _made(setting: Setting) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, tokens, and the gradient that comes back to the output."""
    generator = torch.Generator().manual_seed(0)
    heads = (HEADS, setting.width // HEADS)
    shapes = ((RELATIONAL,), (setting.pictures, PATCHES), (setting.pictures, setting.pictures))
    queries, tokens, weights = (
        torch.randn(*shape, *heads, generator=generator).to(DEVICE) for shape in shapes
    )
    return queries.requires_grad_(), tokens.requires_grad_(), weights


def _run(
    attend: Callable[[Tensor, Tensor], Tensor],
    setting: Setting,
    way: str,
    queries: Tensor,
    tokens: Tensor,
    weights: Tensor,
) -> list[Tensor]:
    """Return the output, or what a step needs: output and gradients."""
    backward = way != "forward"
    half = setting.dtype == torch.bfloat16
    with torch.set_grad_enabled(backward), torch.autocast(DEVICE.type, torch.bfloat16, half):
        found = attend(queries, tokens)
    results = [found.detach()]
    if backward:
        results += torch.autograd.grad(found, (queries, tokens), weights.to(found.dtype))
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return results


def _differences(pairwise: list[Tensor], shortcut: list[Tensor]) -> dict[str, float | None]:
    """Return the largest differences, as shares of the largest number of the pairwise form."""
    far = [
        ((one.float() - other.float()).abs().max() / other.float().abs().max()).item()
        for one, other in zip(shortcut, pairwise, strict=True)
    ]
    output, *gradients = (float(f"{share:.1e}") for share in far)
    return {"max_output_diff": output, "max_grad_diff": max(gradients, default=None)}


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)

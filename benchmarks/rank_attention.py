"""The rank attention: every pair of pictures as it is written down, or by the shortcut.

Both give the same. Pair by pair 64 pictures take about 3 GB, and 128 would take four times that.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import pandas as pd
import torch
from torch import Tensor

from ordlib.attention import pairwise_rank_attention, rank_attention
from ordlib.hardware import describe

from .memory import peak
from .rank_attention_plot import draw
from .timing import race

PATCHES, RELATIONAL, HEADS = 100, 16, 8
PICTURES, LARGEST_PAIRWISE = (16, 32, 64, 128, 256), 64
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
FORMS = {"pairwise": pairwise_rank_attention, "shortcut": rank_attention}


@dataclass(frozen=True)
class Setting:
    """What is attended to, and how: bfloat16 is autocast's, as in training."""

    pictures: int
    # On a CPU. One, because of more than one the shortcut's milliseconds are mostly waiting for
    # one another where the machine has other work.
    threads: int = 1
    width: int = 256
    dtype: torch.dtype = torch.float32


def measure(repeats: int = 3) -> pd.DataFrame:
    """One row a setting and pass: seconds and MiB both ways, and how far the results differ."""
    sweep = _rows(map(Setting, PICTURES), repeats)
    print(f"plot: {draw(sweep, describe(DEVICE))}", flush=True)
    if DEVICE.type == "cuda":
        more = [Setting(64, width=768, dtype=kind) for kind in (torch.float32, torch.bfloat16)]
    else:
        more = [Setting(64, threads=torch.get_num_threads())]
    return pd.concat([sweep, _rows(more, repeats)]).astype(object).fillna("")


def _rows(settings: Iterable[Setting], repeats: int) -> pd.DataFrame:
    return pd.DataFrame(
        _row(setting, way, repeats)
        for setting in settings
        for way in ("forward", "forward + backward")
    )


def _row(setting: Setting, way: str, repeats: int) -> dict:
    """Time both forms, and watch their memory."""
    large = setting.pictures >= LARGEST_PAIRWISE
    tensors = _made(setting)
    # The quick one is run more often, being quick; the large slow one takes many seconds.
    times = {"pairwise": 1 if large else repeats, "shortcut": 5 * repeats}
    seconds, mib, results = {}, {}, {}
    with _threads(setting.threads):
        for name in FORMS if setting.pictures <= LARGEST_PAIRWISE else ("shortcut",):
            run = partial(_run, FORMS[name], setting, way, *tensors)
            if times[name] > 1:
                run()
            mib[name], results[name] = peak(run)
            seconds |= race({name: run}, times[name], warm=False)
    row = {
        "pictures": setting.pictures,
        "width": setting.width,
        "pass": way,
        "type": str(setting.dtype).removeprefix("torch."),
        "threads": setting.threads if DEVICE.type == "cpu" else None,
    }
    row |= {f"s {name}": round(seconds.get(name, float("nan")), 4) for name in FORMS}
    row |= {f"MiB {name}": round(mib.get(name, float("nan")), 1) for name in FORMS}
    if len(results) == 1:
        return row
    return {
        **row,
        "times faster": round(seconds["pairwise"] / seconds["shortcut"], 1),
        "times less": round(mib["pairwise"] / mib["shortcut"], 1),
        **_differences(**results),
    }


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


def _differences(pairwise: list[Tensor], shortcut: list[Tensor]) -> dict[str, str]:
    """Return the largest differences, as shares of the largest number of the pairwise form."""
    far = [
        ((one.float() - other.float()).abs().max() / other.float().abs().max()).item()
        for one, other in zip(shortcut, pairwise, strict=True)
    ]
    shares = {"outputs differ": f"{far[0]:.0e}"}
    return {**shares, "gradients differ": f"{max(far[1:]):.0e}"} if far[1:] else shares


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)

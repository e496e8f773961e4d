"""RankFormers that do not commute, each told only by whoever compares everything."""

from collections.abc import Callable

import torch
from torch import Tensor

from ....methods.l2rclip import RankFormer

Disturb = Callable[[Tensor, Tensor], Tensor]
# Position 2 is alive in all ranks.
FEATURE, PLACE = 7, 2
# Of numbers about 1 in single precision: what sums in another order differ by.
ROUNDING = 4e-7


class Watched(RankFormer):
    """Keep what it is called with, round as single precision does, and disturb what comes out.

    How a CPU rounds is its own affair, and whether an answer passes must not depend on it. So the
    former, a double-precision one, computes without rounding to speak of, and then every place in
    the batch is rounded its own way: the same on all machines, and another one for a rank that
    was moved.
    """

    def __init__(self, *given: object, disturb: Disturb | None = None, **choices: object) -> None:
        super().__init__(*given, **choices)
        self.disturb, self.seen = disturb, []

    def forward(self, prompts: Tensor, live: Tensor, alpha: float | None = None) -> Tensor:
        """Return blended prompts, disturbed."""
        self.seen.append(prompts.detach().clone())
        exact = super().forward(prompts.double(), live, alpha)
        blended = torch.where(exact == prompts, exact, exact + _rounding(prompts)).float()
        return blended if self.disturb is None else self.disturb(blended, prompts)


def _rounding(prompts: Tensor) -> Tensor:
    signs = torch.randint(2, prompts.shape, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return ROUNDING * prompts.abs().mean().double() * signs


def _added(blended: Tensor, **by_rank: float) -> Tensor:
    shifts = torch.zeros(len(blended))
    for name, shift in by_rank.items():
        shifts[int(name[1:])] = shift
    return blended + shifts[:, None, None]


def _rolled(blended: Tensor, *part: object) -> Tensor:
    """Move some numbers of every rank on to the next."""
    result = blended.clone()
    result[(slice(None), *part)] = blended[(slice(None), *part)].roll(1, 0)
    return result


def _balanced(blended: Tensor) -> Tensor:
    """Move one feature on to the next rank; another makes up for it, for whoever takes means."""
    change = _rolled(blended, slice(None), FEATURE) - blended
    return blended + change - change.roll(1, 2)


def _first(prompts: Tensor) -> Tensor:
    return 10 * prompts[0, 1:3].mean()


ROLLED, BALANCED = "ranks rolled on", "one rank raised as much as another is lowered"
FIRST, MIDDLE, LAST = "the first rank raised", "the middle rank raised", "the last rank raised"
ONE_FEATURE, ONE_PLACE = "one feature rolled on", "one position rolled on"
RAISED, LOWERED = "all raised by the first prompt", "all lowered by the first prompt"
DISTURBED: dict[str, Disturb] = {
    ROLLED: lambda blended, prompts: _rolled(blended),
    BALANCED: lambda blended, prompts: _added(blended, r0=1.0, r1=-1.0),
    FIRST: lambda blended, prompts: _added(blended, r0=1.0),
    MIDDLE: lambda blended, prompts: _added(blended, r2=1.0),
    LAST: lambda blended, prompts: _added(blended, r4=1.0),
    ONE_FEATURE: lambda blended, prompts: _balanced(blended),
    ONE_PLACE: lambda blended, prompts: _rolled(blended, PLACE),
    # A shift of all numbers alike is a difference of one sign only.
    RAISED: lambda blended, prompts: blended + _first(prompts),
    LOWERED: lambda blended, prompts: blended - _first(prompts),
}


def partly(blind: set[str]) -> str:
    """Say what an answer does not look at, from the formers that it takes to commute."""
    if {ROLLED, BALANCED} <= blind:
        return "a sum or a mean over the ranks does not know their order: compare rank by rank"
    if ROLLED in blind:
        return "sorted numbers do not know which rank they came from: compare them where they stand"
    parts = {
        "ranks": blind & {FIRST, MIDDLE, LAST, BALANCED},
        "positions": blind & {ONE_PLACE},
        "features": blind & {ONE_FEATURE},
    }
    missed = " and ".join(name for name, found in parts.items() if found)
    if missed:
        return f"you compare some of the {missed} and not all: compare every number, and no mean"
    return "differences below 0 escape you: take their absolute values, or torch.allclose"

"""What the exercise of shuffled ranks asks about: formers, and orders of their ranks."""

from typing import NamedTuple

import torch
from torch import Tensor

from .shuffled_formers import DISTURBED, MIDDLE, ONE_FEATURE, ONE_PLACE, ROLLED, Watched

RANKS, LENGTH, WIDTH = 5, 6, 16
# Three go round, two change places: undoing it is not doing it again. Then swaps, where it is.
CYCLE, SWAPS, INNER = (2, 0, 1, 4, 3), (1, 0, 3, 2, 4), (0, 2, 1, 3, 4)
WORDS = (2, 1, 3, 1, 2)
# Word embeddings of real CLIPs and trained marks are about so large.
SMALL, TRAINED = 0.08, 50


class Case(NamedTuple):
    """A former, an order, and prompts."""

    former: dict
    order: tuple[int, ...] = CYCLE
    even: bool = False  # as many words for each rank
    size: float = 1.0  # of prompts
    trained: float = 1.0  # factor on learned marks


TOKENS, EVEN, SWAPPED = 'attend="tokens"', "as many words for each rank", "ranks in swapped pairs"
FAINT, FRESH = "positions at a small alpha", "small embeddings at a small alpha"
STILL, UNTOUCHED = "positions at alpha = 0", "positions, all ranks in their place"
# In these orders no rank, and neither end, comes out alike by accident.
_ORDERS = {ROLLED: SWAPS, ONE_FEATURE: SWAPS, ONE_PLACE: SWAPS, MIDDLE: INNER}
_SINES = {"positions": "sinusoidal"}
CASES = {
    'attend="ranks"': (Case({}), True),
    TOKENS: (Case({"attend": "tokens"}), True),
    'attend="both"': (Case({"attend": "both"}), True),
    EVEN: (Case({}, even=True), True),
    SWAPPED: (Case({}, SWAPS), True),
    "learned positions": (Case({"positions": "learned"}, trained=TRAINED), False),
    "sinusoidal positions": (Case(_SINES), False),
    'sinusoidal positions, attend="both"': (Case(_SINES | {"attend": "both"}), False),
    FAINT: (Case(_SINES | {"alpha": 0.001}), False),
    FRESH: (Case({"positions": "learned", "alpha": 0.002}, size=SMALL), False),
    STILL: (Case(_SINES | {"alpha": 0.0}), True),
    UNTOUCHED: (Case(_SINES, tuple(range(RANKS))), True),
} | {
    name: (Case({"disturb": disturb}, _ORDERS.get(name, CYCLE)), False)
    for name, disturb in DISTURBED.items()
}
STUBS = set(DISTURBED)
PLAIN = {name for name, (case, _) in CASES.items() if "positions" not in case.former} - STUBS


def given(case: Case) -> tuple[Watched, Tensor, Tensor, Tensor]:
    """Return what a case hands over, made anew: an answer cannot spoil it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        former = Watched(RANKS, WIDTH, **({"alpha": 0.5} | case.former)).requires_grad_(False)
        if case.former.get("positions") == "learned":
            former.positions.mul_(case.trained)
        former.double()
        prompts = case.size * torch.randn(RANKS, LENGTH, WIDTH)
    words = torch.tensor([2] * RANKS if case.even else WORDS)
    places = torch.arange(LENGTH)
    live = (places > 0) & (places <= 1 + words[:, None])
    return former, prompts, live, torch.tensor(case.order)

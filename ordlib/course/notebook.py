"""What every notebook starts with and ends with: a quiet, seeded session and its results."""

import json
import math
import os
import random
from pathlib import Path

import numpy as np

from ..utils.cache import atomic_write, cache_dir
from .plots import theme

BUDGETS = ("quick", "full")


def start(seed: int = 0, budget: str = "quick") -> None:
    """Seed every generator, set the look of figures, and keep libraries from chattering.

    Args:
        seed: for ``random``, numpy and torch.
        budget: "quick" or "full"; checked here so that a typing mistake fails at the top.

    Raises:
        ValueError: unknown budget.

    Example:
        >>> start(seed=1)
        >>> start(budget="huge")
        Traceback (most recent call last):
        ValueError: budget 'huge' is unknown: choose "quick" or "full"
    """
    if budget not in BUDGETS:
        raise ValueError(f'budget {budget!r} is unknown: choose "quick" or "full"')
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    theme()
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    _sharp_figures()


class Results(dict):
    """The numbers that a notebook, named such as "00_start_here", computes and its prose quotes.

    Use it like a dictionary; :meth:`save` writes it as JSON.

    Example:
        >>> results = Results("demo")
        >>> results["ridge.mae"] = np.float64(1.23456789)
        >>> results
        {'ridge.mae': 1.234568}
    """

    def __init__(self, name: str):
        super().__init__()
        self.name = name

    def __setitem__(self, key: str, value: float | str) -> None:
        if isinstance(value, np.generic):
            value = value.item()
        if not isinstance(value, int | float | str):
            raise TypeError(f"result {key!r} is a {type(value).__name__}: give a number or text")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"result {key!r} is {value}: save only what has a value")
        # Six digits: more than any text quotes, few enough to be the same on every machine.
        super().__setitem__(key, round(value, 6) if isinstance(value, float) else value)

    def save(self) -> None:
        """Write ``NAME.json`` where the course runner asks for it, else into the cache."""
        folder = Path(os.environ.get("ORDLIB_RESULTS") or cache_dir() / "results")
        with atomic_write(folder / f"{self.name}.json") as temporary:
            temporary.write_text(json.dumps(dict(self), indent=2, sort_keys=True) + "\n")


def _sharp_figures() -> None:
    """Ask for figures in double resolution, where there is a notebook to show them."""
    from IPython import get_ipython

    shell = get_ipython()
    if shell is not None and "InlineBackend" in {c.__class__.__name__ for c in shell.configurables}:
        shell.run_line_magic("config", 'InlineBackend.figure_format = "retina"')

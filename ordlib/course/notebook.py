"""Notebook setup (seeding, plot theme) and the results log."""

import json
import math
import os
import random
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..utils.cache import atomic_write, cache_dir
from .plots import set_theme

BUDGETS = ("quick", "full")


def setup(seed: int = 0, budget: str = "quick") -> None:
    """Seed ``random``, numpy and torch, set the plot theme, and silence what distracts.

    Raises:
        ValueError: an unknown budget; validated here so that a typo fails in the first cells.

    Example:
        >>> setup(seed=1)
        >>> setup(budget="huge")
        Traceback (most recent call last):
        ValueError: budget = 'huge': must be "quick" or "full"
    """
    if budget not in BUDGETS:
        raise ValueError(f'budget = {budget!r}: must be "quick" or "full"')
    import torch
    from IPython import get_ipython

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    set_theme()
    # The trainings in notebooks are short on purpose.
    warnings.filterwarnings("ignore", message="the best epoch is the last")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Double the figure resolution in Jupyter.
    shell = get_ipython()
    if shell is not None and "InlineBackend" in {c.__class__.__name__ for c in shell.configurables}:
        shell.run_line_magic("config", 'InlineBackend.figure_format = "retina"')


class ResultsLog(dict):
    """Results of a notebook, such as "00_start_here", that its Markdown cells quote.

    A dictionary of finite numbers (else ValueError) and text (else TypeError), saved as JSON.

    Example:
        >>> results = ResultsLog("demo")
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
            raise TypeError(f"{key} = {value!r}: is a {type(value).__name__}; set a number or text")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{key} = {value}: must be finite")
        # Six decimals: more than any text quotes, few enough to be equal on every machine.
        super().__setitem__(key, round(value, 6) if isinstance(value, float) else value)

    def record(self, name: str, values: Mapping) -> None:
        """Set ``NAME.KEY`` for every value of a mapping or Series; tuple keys are joined by dots.

        Example:
            >>> results = ResultsLog("demo")
            >>> results.record("mae", {("counting", "NumCLIP"): 1.5})
            >>> results
            {'mae.counting.NumCLIP': 1.5}
        """
        for key, value in values.items():
            parts = key if isinstance(key, tuple) else (key,)
            self[".".join([name, *map(str, parts)])] = value

    def save(self) -> None:
        """Write ``NAME.json`` to the folder ``$ORDLIB_RESULTS``, by default in the cache."""
        folder = Path(os.environ.get("ORDLIB_RESULTS") or cache_dir() / "results")
        with atomic_write(folder / f"{self.name}.json") as temporary:
            temporary.write_text(json.dumps(dict(self), indent=2, sort_keys=True) + "\n")

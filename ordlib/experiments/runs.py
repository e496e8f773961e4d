"""Helpers shared by all experiments: shell commands, cached results, numbers for JSON."""

import json
import math
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from ..utils.cache import atomic_write

Result = TypeVar("Result", dict, list)


def command_line(*arguments: str, options: Iterable[tuple[str, object]]) -> str:
    """Format an ``ordlib`` shell command; options whose value is None are omitted.

    Example:
        >>> options = [("batch_size", 3), ("data", None), ("output", "a b")]
        >>> command_line("train", "coop", options=options)
        "ordlib train coop --batch-size 3 --output 'a b'"
    """
    parts = ["ordlib", *arguments]
    for name, value in options:
        if value is not None:
            parts += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(parts)


def cached_json(path: Path, compute: Callable[[], Result]) -> Result:
    """Return the result stored in a JSON file; compute and store it if there is none."""
    if not path.is_file():
        result = compute()
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(result), "utf-8")
    return json.loads(path.read_text("utf-8"))


def round_or_none(value: float) -> float | None:
    """Round a metric to six digits; None for NaN, which JSON cannot represent."""
    return None if math.isnan(value) else round(value, 6)

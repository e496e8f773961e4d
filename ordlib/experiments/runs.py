"""What runs share: the command that repeats one, rows that are computed once, their numbers."""

import json
import math
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from ..utils.cache import atomic_write

Row = TypeVar("Row", dict, list)


def command_line(*words: str, options: Iterable[tuple[str, object]]) -> str:
    """A command of ordlib with options by name; those of None are left out.

    Example:
        >>> command_line("train", "coop", options=[("batch_size", 3), ("data", None), ("output", "a b")])
        "ordlib train coop --batch-size 3 --output 'a b'"
    """
    line = ["ordlib", *words]
    for name, value in options:
        if value is not None:
            line += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(line)


def once(path: Path, run: Callable[[], Row]) -> Row:
    """The result of a run, read from its JSON file where it was done before."""
    if not path.is_file():
        found = run()
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(found), "utf-8")
    return json.loads(path.read_text("utf-8"))


def number(value: float) -> float | None:
    """What a table can hold: the correlation with a constant is undefined, and JSON has no NaN."""
    return None if math.isnan(value) else round(value, 6)

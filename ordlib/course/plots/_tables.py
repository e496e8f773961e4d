"""Tables of results, a row for each trained model: what figures need of them."""

from itertools import cycle

import pandas as pd

from ...tasks import OrdinalTask
from .style import METHOD_COLOURS, PALETTE


def records_of(
    table: pd.DataFrame, task: OrdinalTask, keys: list[str], metric: str
) -> pd.DataFrame:
    """Return the rows of a task, each model in them once.

    Args:
        table: with columns task, ``metric`` and ``keys``.
        task: whose rows are kept, by its name.
        keys: columns that together name a model.
        metric: column of numbers.

    Returns:
        The rows, in the table's order.

    Raises:
        ValueError: a column is missing, no row is of the task, or a model occurs twice.
    """
    for name in ("task", metric, *keys):
        if name not in table:
            raise ValueError(f"the table has no column {name!r}; it has {', '.join(table)}")
    rows = table[table["task"] == task.name]
    if rows.empty:
        known = ", ".join(map(str, table["task"].unique())) or "no task"
        raise ValueError(f"the table has no row of task {task.name!r}; it has {known}")
    twice = rows[rows.duplicated(keys)]
    if len(twice):
        model = ", ".join(f"{key} {twice.iloc[0][key]}" for key in keys)
        raise ValueError(f"{task.name}: {model} is there twice; keep the rows of one block")
    return rows


def method_colours(methods: list[str]) -> dict[str, str]:
    """Return a colour for each method: its own, or, for one that has none, a spare one.

    Example:
        >>> method_colours(["NumCLIP", "mine"])
        {'NumCLIP': '#009E73', 'mine': '#AA0011'}
    """
    spare = cycle(c for c in PALETTE.values() if c not in METHOD_COLOURS.values())
    return {name: METHOD_COLOURS.get(name) or next(spare) for name in methods}

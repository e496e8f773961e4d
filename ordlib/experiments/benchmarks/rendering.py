"""The rendered world at 96 pixels: pictures per second on one core and on all."""

import pandas as pd

from ordlib.synthetic import TASKS, render_many

from .timing import race


def measure(pictures: int = 400, repeats: int = 3) -> pd.DataFrame:
    """One row a task: pictures per second both ways, and the ratio."""
    rows = []
    for task in TASKS:
        ways = {
            "one": lambda task=task: render_many(task, "train", range(pictures), 96, workers=1),
            "all": lambda task=task: render_many(task, "train", range(pictures), 96),
        }
        seconds = race(ways, repeats)
        row = {"task": task, "one core": round(pictures / seconds["one"])}
        row["all cores"] = round(pictures / seconds["all"])
        rows.append(row | {"times faster": round(seconds["one"] / seconds["all"], 2)})
    return pd.DataFrame(rows)

"""Result tables: what took longer to compute than a notebook may, kept beside the library."""

import inspect
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path

import pandas as pd

from ..utils.cache import atomic_write
from .runs import command_line

RESULTS = Path(__file__).with_name("results")
# Which module makes which table; each is imported when its table is asked for.
MAKERS = {
    **dict.fromkeys(("methods", "few_shot", "numclip_ablation", "rankformer_ablation"), "tables"),
    "ranking_adapter": "ranking_table",
    "dose_response": "pretrain_clip.dose_response",
    "rank_attention": "benchmarks.rank_attention",
}


def load_results(name: str) -> pd.DataFrame:
    """An evidence table by name, a row for each trained and tested model.

    Its ``attrs`` hold what else is known: ``what`` it is and the ``command`` that makes it.

    Raises:
        ValueError: no such table (lists those there are).

    Example:
        >>> table = load_results("dose_response")
        >>> table.attrs["command"]
        'ordlib results make dose_response ...'
    """
    path = RESULTS / f"{name}.json"
    known = sorted(file.stem for file in RESULTS.glob("*.json"))
    if name not in known:
        raise ValueError(f"no table of results {name!r}; there are {', '.join(known) or 'none'}")
    stored = json.loads(path.read_text("utf-8"))
    table = pd.DataFrame(stored.pop("records"))
    table.attrs.update(stored)
    return table


def save_results(
    path: str | os.PathLike, what: str, command: str, records: Sequence[dict], **more: object
) -> None:
    """Write an evidence table, to a temporary name first.

    Args:
        path: the file, ``NAME.json``.
        what: a sentence that says what the rows are.
        command: makes the table again.
        records: a dict for each row, of finite numbers, words and None.
        more: whatever else a reader should know.

    Raises:
        ValueError: a number that is not finite (says which).
    """
    for row, record in enumerate(records):
        for name, value in record.items():
            if isinstance(value, float) and not math.isfinite(value):
                where = f"records[{row}][{name!r}] = {value}"
                raise ValueError(f"{where}: must be finite; give None for what is undefined")
    head = json.dumps({"description": what, "command": command, **more}, indent=1, allow_nan=False)
    rows = ",\n  ".join(json.dumps(record, allow_nan=False) for record in records)
    with atomic_write(path) as temporary:
        # A row a line, so that a change shows as the rows it touches.
        temporary.write_text(f'{head[:-2]},\n "records": [\n  {rows}\n ]\n}}\n', "utf-8")


def make_results(name: str, output: str | os.PathLike | None = None, **settings: object) -> Path:
    """Compute a result table and write it; interrupted, the same call resumes.

    Args:
        name: one of ``MAKERS``.
        output: the file, which is returned; None stands for ``build/results/NAME.json``.
        settings: what the maker of that table takes; None stands for its default.

    Raises:
        ValueError: an unknown table, a setting that its maker does not have (lists those it
            has), or a number that a setting cannot be.
    """
    if name not in MAKERS:
        raise ValueError(f"no table of results {name!r}; there are {', '.join(MAKERS)}")
    make: Callable[..., dict] = import_module(f"{__package__}.{MAKERS[name]}").make
    parameters = inspect.signature(make).parameters
    known = {key: each.default for key, each in parameters.items() if key != "table"}
    chosen = {setting: value for setting, value in settings.items() if value is not None}
    for setting, value in chosen.items():
        if setting not in known:
            has = ", ".join(known) or "none"
            raise ValueError(f"{setting}: {name} has no such setting; it has {has}")
        # Told now, or else after hours of training.
        if type(known[setting]) is int and (type(value) is not int or value < 0):
            raise ValueError(f"{setting} = {value!r}: must be a whole number, not negative")
    path = Path(output or f"build/results/{name}.json")
    found = make(name, **chosen)
    options = [
        ("seeds", value) if setting == "seeds" else ("set", f"{setting}={value}")
        for setting, value in chosen.items()
        if setting not in ("num_jobs", "work_dir")
    ]
    command = command_line("results", "make", name, options=options)
    save_results(path, found.pop("description"), command, found.pop("records"), **found)
    return path


def format_ci(row: Mapping[str, float], name: str) -> str:
    """An estimate and its interval to two decimals, as tables in notebooks show them.

    Args:
        row: with ``name``, ``name_low`` and ``name_high``; what is NaN is left out.
        name: of the estimate.

    Example:
        >>> format_ci({"mae": 1.5, "mae_low": 1.4, "mae_high": 1.62}, "mae")
        '1.50 (1.40 to 1.62)'
    """
    if pd.isna(row[name]):
        return ""
    if pd.isna(row[f"{name}_low"]):
        return f"{row[name]:.2f}"
    return f"{row[name]:.2f} ({row[f'{name}_low']:.2f} to {row[f'{name}_high']:.2f})"

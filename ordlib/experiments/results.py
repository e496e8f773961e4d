"""Precomputed results tables that ship with the library; shell commands and cached results."""

import inspect
import json
import math
import os
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from numbers import Real
from pathlib import Path
from typing import TypeVar

import pandas as pd
from joblib import Parallel

from ..utils.cache import atomic_write
from ..utils.processes import worker_processes

Result = TypeVar("Result", dict, list)
RESULTS = Path(__file__).with_name("results")
PUBLISHED = Path(__file__).with_name("published.json")
# The module whose ``make`` computes a table; imported on demand.
MAKERS = {
    **dict.fromkeys(
        (
            "methods",
            "few_shot",
            "numclip_ablation",
            "rankformer_ablation",
            "shift",
            "unseen_objects",
            "backbones",
        ),
        "tables",
    ),
    "ranking_adapter": "ranking_table",
    "adapter_ablation": "adapter_ablation",
    "dose_response": "pretrain_clip.dose_response",
    "rank_attention": "benchmarks.rank_attention",
    "releases": "benchmarks.releases",
    "cost": "benchmarks.cost",
    "release": "release",
}


def load_results(name: str) -> pd.DataFrame:
    """Load a precomputed results table, one row per trained and tested model.

    Its ``attrs`` hold a ``description``, the ``command`` that recomputes it, and more.

    Raises:
        ValueError: unknown table.

    Example:
        >>> table = load_results("dose_response")
        >>> table.attrs["command"]
        'ordlib results make dose_response ...'
    """
    _check_table(name, sorted(file.stem for file in RESULTS.glob("*.json")))
    stored = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    table = pd.DataFrame(stored.pop("records"))
    table.attrs.update(stored)
    return table


def load_rows(name: str) -> pd.DataFrame:
    """Load the rows of a precomputed table alone; pandas copies attrs in every operation.

    Example:
        >>> load_rows("dose_response").attrs
        {}
    """
    table = load_results(name)
    table.attrs = {}
    return table


def load_published_results() -> pd.DataFrame:
    """Load results that others have published, one row per data set, method and metric.

    Each row has its source and its kind: "paper", "project page", or "third party" for what others
    report of a paper. None of these numbers is ours.

    Example:
        >>> published = load_published_results()
        >>> published.query("dataset == 'MORPH II' and method == 'NumCLIP'")["value"].item()
        2.08
    """
    return pd.read_json(PUBLISHED)


def paired_differences(table: pd.DataFrame) -> pd.DataFrame:
    """Paired differences "method" minus "baseline" of a table, for every pair in both directions.

    The columns difference, difference_low and difference_high are the estimate and its 95 %
    interval over images (or groups of images) and seeds.

    Example:
        >>> differences = paired_differences(load_results("numclip_ablation"))
        >>> both = ["NumCLIP", "plain form"]
        >>> len(differences.query("method in @both and baseline in @both and metric == 'mae'"))
        4
    """
    one = pd.DataFrame(table.attrs["differences"])
    names = {"method": "baseline", "baseline": "method"}
    names |= {"difference_low": "difference_high", "difference_high": "difference_low"}
    other = one.rename(columns=names)
    values = ["difference", "difference_low", "difference_high"]
    other[values] = -other[values]
    return pd.concat([one, other[one.columns]], ignore_index=True)


def save_results(
    path: str | os.PathLike, description: str, command: str, records: Sequence[dict],
    **attrs: object,
) -> None:  # fmt: skip
    """Write a results table atomically as JSON; ``records`` has one dictionary per row.

    Raises:
        ValueError: a number that is not finite; undefined values must be None.
    """
    for row, record in enumerate(records):
        for name, value in record.items():
            if isinstance(value, Real) and not math.isfinite(value):
                raise ValueError(
                    f"records[{row}][{name!r}] = {value}: must be finite; use None if undefined"
                )
    stored = {"description": description, "command": command, **attrs, "records": records}
    lines = ",\n".join(f" {json.dumps(key)}: {_to_json(value)}" for key, value in stored.items())
    with atomic_write(path) as temporary:
        temporary.write_text(f"{{\n{lines}\n}}\n", "utf-8")


def _to_json(value: object) -> str:
    """Format a value as JSON, rows of a table one per line: a diff then shows which changed."""
    if not isinstance(value, list | tuple):
        return json.dumps(value, allow_nan=False, default=_to_python)
    rows = ",\n  ".join(json.dumps(row, allow_nan=False, default=_to_python) for row in value)
    return f"[\n  {rows}\n ]"


def _to_python(value: object) -> object:
    """A number of numpy or torch, which was computed for hours, as JSON takes it."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{value!r:.80}: a {type(value).__name__} cannot be stored as JSON")


def make_results(name: str, output: str | os.PathLike | None = None, **settings: object) -> Path:
    """Compute a results table and write it; after an interruption the same call resumes.

    Args:
        name: one of ``MAKERS``.
        output: file to write, which is returned; None for ``build/results/NAME.json``.
        settings: of the table's ``make``; None for the default. Common ones are ``seeds``,
            ``num_jobs`` (models trained in parallel; on a CPU one per core, with
            ``OMP_NUM_THREADS=1``), ``work_dir`` (cache of finished models) and ``device``.

    Raises:
        ValueError: unknown table, unknown setting, or an invalid value of a setting.
    """
    _check_table(name, MAKERS)
    make: Callable[..., dict] = import_module(f"{__package__}.{MAKERS[name]}").make
    _, *parameters = inspect.signature(make).parameters.values()
    defaults = {parameter.name: parameter.default for parameter in parameters}
    chosen = {key: value for key, value in settings.items() if value is not None}
    for key, value in chosen.items():
        if key not in defaults:
            available = ", ".join(defaults) or "none"
            problem = f"unknown setting of {name}; available settings: {available}"
            raise ValueError(f"{key} = {value!r}: {problem}")
        # Would otherwise fail after hours of training.
        if type(defaults[key]) is int and (type(value) is not int or value < 0):
            raise ValueError(f"{key} = {value!r}: must be an integer >= 0")
    path = Path(output or f"build/results/{name}.json")
    result = make(name, **chosen)
    options = [
        ("seeds", value) if key == "seeds" else ("set", f"{key}={value}")
        for key, value in chosen.items()
        if key not in ("num_jobs", "work_dir", "device", "minutes")
    ]
    command = command_line("results", "make", name, options=options)
    save_results(path, result.pop("description"), command, result.pop("records"), **result)
    return path


def format_ci(row: Mapping[str, float], name: str) -> str:
    """Format a point estimate and its confidence interval to two decimals.

    The row has the keys ``name``, ``name_low`` and ``name_high``; NaN values are left out.

    Example:
        >>> format_ci({"mae": -0.001, "mae_low": -0.2, "mae_high": 0.2}, "mae")
        '0.00 (-0.20 to 0.20)'
    """
    if pd.isna(row[name]):
        return ""
    # Adding 0.0 turns -0.0 into 0.0.
    estimate, *ends = (f"{round(row[name + end], 2) + 0.0:.2f}" for end in ("", "_low", "_high"))
    return estimate if pd.isna(row[f"{name}_low"]) else f"{estimate} ({' to '.join(ends)})"


def ci_table(
    rows: pd.DataFrame, name: str, index: str | list[str] = "method", columns: str = "task"
) -> pd.DataFrame:
    """Pivot table of :func:`format_ci` cells.

    Args:
        rows: one row per cell, with the columns ``name``, ``name_low`` and ``name_high``.
        name: the metric, or "difference".
        index, columns: names of the columns to pivot; together they identify a row.

    Raises:
        ValueError: two rows for one cell.

    Example:
        >>> rows = {"method": ["CORN"], "task": ["ageing"], "mae": 5, "mae_low": 4, "mae_high": 7}
        >>> ci_table(pd.DataFrame(rows), "mae").loc["CORN", "ageing"]
        '5.00 (4.00 to 7.00)'
    """
    cells = rows.assign(cell=rows.apply(format_ci, axis=1, name=name))
    return cells.pivot(index=index, columns=columns, values="cell").fillna("")


def _check_table(name: str, available: Iterable[str]) -> None:
    if name not in tuple(available):
        tables = ", ".join(available) or "none"
        raise ValueError(f"table = {name!r}: no such results table; available tables: {tables}")


def command_line(*arguments: str, options: Iterable[tuple[str, object]]) -> str:
    """Format an ``ordlib`` shell command; options whose value is None or False are omitted.

    Example:
        >>> options = [("batch_size", 3), ("data", None), ("output", "a b")]
        >>> command_line("train", "coop", options=options)
        "ordlib train coop --batch-size 3 --output 'a b'"
    """
    parts = ["ordlib", *arguments]
    for name, value in options:
        if value is not None and value is not False:
            flag = f"--{name.replace('_', '-')}"
            parts += [flag] if value is True else [flag, str(value)]
    return shlex.join(parts)


def cached_json(path: Path, compute: Callable[[], Result]) -> Result:
    """Return the result stored in a JSON file; compute and store it if there is none.

    Raises:
        ValueError: the file is damaged; the message names it.
    """
    if not path.is_file():
        result = compute()
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(result, default=_to_python), "utf-8")
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: damaged ({error}); delete it to compute it again") from error


def run_parallel(jobs: Iterable[tuple], num_jobs: int) -> list:
    """Run joblib's delayed calls in parallel, and return their results in order.

    Progress is printed for several at a time only: for one, joblib 1.6 would then hide an error of
    the job behind one of its own.

    Example:
        >>> from joblib import delayed
        >>> run_parallel((delayed(pow)(2, n) for n in range(3)), num_jobs=1)
        [1, 2, 4]
    """
    with worker_processes():
        return Parallel(num_jobs, verbose=int(num_jobs > 1))(jobs)


def round_or_none(value: float) -> float | None:
    """Round a metric to six digits; None for NaN, which JSON cannot represent."""
    return None if math.isnan(value) else round(value, 6)

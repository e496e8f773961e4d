"""Claims of the notebooks' text about results, ``claims.json``, tested on these results."""

import json
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import pandas as pd
from pandas.errors import UndefinedVariableError

from ordlib.course.runner.inline_results import INLINE_RESULT, load_notebook_results
from ordlib.experiments.results import load_results, paired_differences

FIELDS = {"notebook", "statement", "table", "select", "condition"}


def check_claims(notebook: Path, text: str) -> Iterator[str]:
    """Yield a message for every claim of a notebook that its text or its results lack.

    A claim has five fields. "statement" is a part of the text without numbers. "table" is a
    results table, of which the :func:`~ordlib.experiments.results.paired_differences` are
    examined; or "notebook", the numbers that the notebook itself has computed. "condition" must
    hold in all rows that "select" leaves; both are expressions of ``pandas.DataFrame.query``.
    """
    path = notebook.parent / "source" / "claims.json"
    claims = json.loads(path.read_text("utf-8")) if path.is_file() else []
    plain = " ".join(INLINE_RESULT.sub("", text).split())
    rows_of = cache(partial(_rows, notebook))  # many claims are about one table
    for claim in claims:
        if set(claim) != FIELDS:
            yield f"{path.name}: {claim}: needs the fields {', '.join(sorted(FIELDS))}"
        elif claim["notebook"] == notebook.stem:
            name = f"{path.name}, {claim['statement']!r}"
            if " ".join(claim["statement"].split()) not in plain:
                yield f"{name}: is not in the text; change both together"
            yield from (f"{name}: {problem}" for problem in _problems(claim, rows_of))


def _problems(claim: dict[str, str], rows_of: Callable[[str], pd.DataFrame]) -> Iterator[str]:
    rows = rows_of(claim["table"])
    if claim["select"]:
        rows = rows.query(claim["select"])
    if rows.empty:
        yield f"no row of {claim['table']} has {claim['select']}"
        return
    try:
        failed = rows[~rows.eval(claim["condition"])]
    except UndefinedVariableError as error:
        yield f"{claim['condition']}: {error}; {claim['table']} has {', '.join(map(str, rows))}"
        return
    if len(failed):
        row = failed.iloc[0].to_dict()
        numbers = {name: value for name, value in row.items() if name in claim["condition"]}
        yield f"{claim['condition']} does not hold: {numbers}; rewrite the sentence"


def _rows(notebook: Path, table: str) -> pd.DataFrame:
    if table == "notebook":
        path = notebook.parent / "results" / f"{notebook.stem}.json"
        return pd.DataFrame([load_notebook_results(path)])
    return paired_differences(load_results(table))

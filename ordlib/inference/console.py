"""Print rankings and predictions of files with rich."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..data.image_io import SUFFIXES
from ..utils.command import STDOUT, stdout_errors
from ..utils.output import check_distinct, printable
from ..utils.validation import escape_nonprintable, listed
from .files import FileTable, is_ood
from .html import write_gallery
from .predict import FilePredictions
from .result import Ranking

MAX_ROWS = 40
MIN_WIDTH = 80  # In a narrower terminal columns would vanish; there, lines wrap.


def report(
    result: FileTable,
    *,
    top: int | None = None,
    csv: Path | None = None,
    json: Path | None = None,
    html: Path | None = None,
) -> None:
    """Write the requested files and print the table; the path ``-`` is standard output.

    Raises:
        OSError: files that could not be written; the others are, and the table is printed.
    """
    shown = result.top(top) if top else result
    page = partial(write_gallery, shown) if isinstance(shown, Ranking) else shown.to_html
    exports = [(csv, shown.to_csv), (json, shown.to_json), (html, page)]
    to_stdout = [export for path, export in exports if path == STDOUT]
    # Files first: a pipe such as `| head` may close standard output early.
    errors = []
    for path, export in exports:
        if path and path != STDOUT:
            try:
                export(path)
            except OSError as error:
                errors.append(f"{path} was not written: {error.strerror or error}")
    with stdout_errors():
        console = Console(stderr=bool(to_stdout))
        console.width = max(console.width, MIN_WIDTH)
        print_result(console, shown, top or MAX_ROWS, csv if csv != STDOUT else None)
        for export in to_stdout:
            typer.echo(export().encode("utf-8", "backslashreplace"), nl=False)
        if html and not errors:
            _print(console, f"Open {html.resolve()}", "none")
    if errors:
        raise OSError("\n".join(errors))


def check_outputs(**paths: Path | None) -> None:
    """Validate the paths for `report` by option, before the work.

    Raises:
        ValueError: two are the same, or one is an image.
    """
    check_distinct(**paths)
    for name, path in paths.items():
        if path and path.suffix.lower() in SUFFIXES and path.exists():
            raise ValueError(f"--{name} {path}: is an image, which would be overwritten")


def print_result(
    console: Console, result: FileTable, max_rows: int, csv: Path | None = None
) -> None:
    """Print the first rows as a table, then warnings and skipped files."""
    _print(console, result.title, "bold")
    make_table = _ranking_table if isinstance(result, Ranking) else _prediction_table
    console.print(make_table(console, result, max_rows))
    hidden = len(result) - max_rows
    if hidden > 0:
        option = ", or --top N" * isinstance(result, Ranking)
        rest = f"all are in {csv}" if csv else f"use --csv FILE for all{option}"
        _print(console, f"... and {hidden:,} more: {rest}.", "dim")
    for warning in result.warnings:
        _print(console, warning, "yellow")
    skipped = [" ".join(map(escape_nonprintable, item)) for item in result.skipped.items()]
    for line in listed(skipped).splitlines()[1:]:
        _print(console, line, "red")


def _ranking_table(console: Console, ranking: Ranking, max_rows: int) -> Table:
    value = [ranking.task if "label" in ranking.table else ranking.unit] if ranking.task else []
    table = _empty_table(console, "rank", "image", "score", *value)
    for row in ranking.table.head(max_rows).itertuples():
        cells = [str(row.rank), row.path, f"{row.score:.2f}"]
        cells += [ranking.format_value(row)] if ranking.task else []
        _add_row(console, table, cells, row)
    return table


def _prediction_table(console: Console, predictions: FilePredictions, max_rows: int) -> Table:
    filled = predictions.table.dropna(axis="columns", how="all").columns
    numbers = [name for name in ("probability", "low", "high", "ood_score") if name in filled]
    table = _empty_table(console, "image", "value", "label", *numbers)
    for row in predictions.table.head(max_rows).itertuples():
        values = [f"{getattr(row, name):.2f}" for name in numbers]
        _add_row(console, table, [row.path, f"{row.value:.2f}", row.label, *values], row)
    return table


def _empty_table(console: Console, *columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        if name == "image":
            table.add_column(name, overflow="fold")
        else:
            table.add_column(_text(console, name), justify="right", no_wrap=True)
    return table


def _add_row(console: Console, table: Table, cells: Sequence[str], row: object) -> None:
    table.add_row(*(_text(console, c) for c in cells), style="dim" if is_ood(row) else None)


def _text(console: Console, text: str) -> Text:
    """Text without markup: names of files, units and ranks may contain brackets."""
    return Text(_shown(console, text))


def _shown(console: Console, text: str) -> str:
    """Text with escapes for what is not printable or not in the terminal's encoding."""
    return printable(escape_nonprintable(text), console.encoding)


def _print(console: Console, text: str, style: str) -> None:
    """Print text without markup or highlighting; wrap lines only on a terminal."""
    soft_wrap = not console.is_terminal
    text = _shown(console, text)
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=soft_wrap)

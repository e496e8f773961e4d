"""Print rankings and predictions of files with rich."""

from pathlib import Path

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..utils.validation import escape_nonprintable, listed
from .files import FileTable, is_ood
from .html import write_gallery
from .predict import FilePredictions
from .result import Ranking

MAX_ROWS = 40


def report(
    result: FileTable,
    *,
    top: int | None = None,
    csv: Path | None = None,
    json: Path | None = None,
    html: Path | None = None,
) -> None:
    """Write the requested files and print the table; the path ``-`` is standard output."""
    shown = result.top(top) if top else result
    exports = ((csv, shown.to_csv), (json, shown.to_json))
    to_stdout = [export for path, export in exports if path == Path("-")]
    if len(to_stdout) > 1:
        raise ValueError("--csv - and --json -: only one of them can go to standard output")
    # Files first: a pipe such as `| head` may close standard output early.
    for path, export in exports:
        if path and path != Path("-"):
            export(path)
    if html and isinstance(shown, Ranking):
        write_gallery(shown, html)
    elif html:
        shown.to_html(html)
    console = Console(stderr=bool(to_stdout))
    print_result(console, shown, max_rows=top or MAX_ROWS)
    for export in to_stdout:
        typer.echo(export().encode("utf-8", "backslashreplace"), nl=False)
    if html:
        typer.echo(f"Open {_shown(console, str(html.resolve()))}", err=console.stderr)


def print_result(console: Console, result: FileTable, max_rows: int) -> None:
    """Print the first rows as a table, then warnings and skipped files."""
    _print(console, result.title, "bold")
    make_table = _ranking_table if isinstance(result, Ranking) else _prediction_table
    console.print(make_table(console, result, max_rows))
    hidden = len(result) - max_rows
    if hidden > 0:
        option = ", or --top N" * isinstance(result, Ranking)
        _print(console, f"... and {hidden:,} more: use --csv FILE for all{option}.", "dim")
    for warning in result.warnings:
        _print(console, warning, "yellow")
    skipped = [" ".join(map(escape_nonprintable, item)) for item in result.skipped.items()]
    if skipped:
        _print(console, listed(skipped).removeprefix("\n"), "red")


def _ranking_table(console: Console, ranking: Ranking, max_rows: int) -> Table:
    table = _empty_table("rank", "image", "score")
    if ranking.task:
        has_labels = "label" in ranking.table
        table.add_column(
            ranking.task if has_labels else ranking.unit, justify="right", no_wrap=True
        )
    for row in ranking.table.head(max_rows).itertuples():
        cells = [str(row.rank), _name(console, row.path), f"{row.score:.2f}"]
        cells += [_shown(console, ranking.format_value(row))] if ranking.task else []
        table.add_row(*cells, style="dim" if is_ood(row) else None)
    return table


def _prediction_table(console: Console, predictions: FilePredictions, max_rows: int) -> Table:
    filled = predictions.table.dropna(axis="columns", how="all").columns
    numbers = [name for name in ("probability", "low", "high", "ood_score") if name in filled]
    table = _empty_table("image", "value", "label", *numbers)
    for row in predictions.table.head(max_rows).itertuples():
        values = [f"{getattr(row, name):.2f}" for name in numbers]
        cells = [f"{row.value:.2f}", Text(_shown(console, row.label)), *values]
        table.add_row(_name(console, row.path), *cells, style="dim" if is_ood(row) else None)
    return table


def _empty_table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        if name == "image":
            table.add_column(name, overflow="fold")
        else:
            table.add_column(name, justify="right", no_wrap=True)
    return table


def _name(console: Console, path: str) -> Text:
    """A path, as Text since names may contain rich markup."""
    return Text(_shown(console, path))


def _shown(console: Console, text: str) -> str:
    """Text with escapes for what is not printable or not in the terminal's encoding."""
    encoding = console.encoding
    return escape_nonprintable(text).encode(encoding, "backslashreplace").decode(encoding)


def _print(console: Console, text: str, style: str) -> None:
    """Print text without markup or highlighting; wrap lines only on a terminal."""
    soft_wrap = not console.is_terminal
    text = text.encode(console.encoding, "backslashreplace").decode(console.encoding)
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=soft_wrap)

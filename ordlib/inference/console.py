"""Print a ranking with rich."""

from pathlib import Path

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..utils.validation import listed
from .files import escape_nonprintable, is_ood
from .html import write_gallery
from .result import Ranking

MAX_ROWS = 40


def report(
    ranking: Ranking,
    *,
    top: int | None = None,
    csv: Path | None = None,
    json: Path | None = None,
    html: Path | None = None,
) -> None:
    """Write the requested files and print the ranking; the path ``-`` is standard output."""
    shown = ranking.top(top) if top else ranking
    exports = ((csv, shown.to_csv), (json, shown.to_json))
    to_stdout = [export for path, export in exports if path == Path("-")]
    # Files first: a pipe such as `| head` may close standard output early.
    for path, export in exports:
        if path and path != Path("-"):
            export(path)
    if html:
        write_gallery(shown, html)
    console = Console(stderr=bool(to_stdout))
    print_ranking(console, shown, max_rows=top or MAX_ROWS)
    for export in to_stdout:
        typer.echo(export().encode("utf-8", "backslashreplace"), nl=False)
    if html:
        typer.echo(f"Open {html.resolve()}", err=console.stderr)


def print_ranking(console: Console, ranking: Ranking, max_rows: int) -> None:
    """Print the first rows as a table, then warnings and skipped files."""
    _print(console, ranking.title, "bold")
    console.print(_table(ranking, max_rows))
    hidden = len(ranking) - max_rows
    if hidden > 0:
        _print(console, f"... and {hidden:,} more: use --csv FILE for all, or --top N.", "dim")
    for warning in ranking.warnings:
        _print(console, warning, "yellow")
    skipped = [" ".join(map(escape_nonprintable, item)) for item in ranking.skipped.items()]
    if skipped:
        _print(console, listed(skipped).removeprefix("\n"), "red")


def _table(ranking: Ranking, max_rows: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("rank", justify="right")
    table.add_column("image", overflow="fold")
    table.add_column("score", justify="right", no_wrap=True)
    if ranking.task:
        has_labels = "label" in ranking.table
        table.add_column(
            ranking.task if has_labels else ranking.unit, justify="right", no_wrap=True
        )
    for row in ranking.table.head(max_rows).itertuples():
        # Text, since names may contain rich markup.
        cells = [str(row.rank), Text(escape_nonprintable(row.path)), f"{row.score:.2f}"]
        cells += [ranking.format_value(row)] if ranking.task else []
        table.add_row(*cells, style="dim" if is_ood(row) else None)
    return table


def _print(console: Console, text: str, style: str) -> None:
    """Print text without markup or highlighting; wrap lines only on a terminal."""
    console.print(
        text, style=style, markup=False, highlight=False, soft_wrap=not console.is_terminal
    )

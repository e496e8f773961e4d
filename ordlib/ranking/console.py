"""A ranking on the terminal."""

from pathlib import Path

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..utils.validation import listed
from .html import write_gallery
from .result import Ranking, escape_nonprintable, is_strange

ROWS = 40


def report(
    ranking: Ranking,
    *,
    top: int | None = None,
    csv: Path | None = None,
    json: Path | None = None,
    html: Path | None = None,
) -> None:
    """Write the files that are asked for, and print the order; ``-`` prints a file instead."""
    shown = ranking.top(top) if top else ranking
    # Files first: whoever reads the terminal may leave early.
    for path, write in ((csv, shown.to_csv), (json, shown.to_json)):
        if path and path != Path("-"):
            write(path)
    if html:
        write_gallery(shown, html)
    # What is printed for a program has standard output to itself.
    console = Console(stderr=Path("-") in (csv, json))
    show(console, shown, rows=top or ROWS)
    for path, write in ((csv, shown.to_csv), (json, shown.to_json)):
        if path == Path("-"):
            typer.echo(write().encode("utf-8", "backslashreplace"), nl=False)
    if html:
        typer.echo(f"Open {html.resolve()}", err=console.stderr)


def show(console: Console, ranking: Ranking, rows: int) -> None:
    """Print the first rows as a table, then what is to be known of the order."""
    _print(console, ranking.title, "bold")
    console.print(_table(ranking, rows))
    if len(ranking) > rows:
        _print(
            console,
            f"... and {len(ranking) - rows:,} more: --csv FILE has all, --top shows so many.",
            "dim",
        )
    for note in ranking.notes:
        _print(console, note, "yellow")
    told = listed(
        [
            f"{escape_nonprintable(path)} {escape_nonprintable(why)}"
            for path, why in ranking.skipped.items()
        ]
    )
    if told:
        _print(console, told.removeprefix("\n"), "red")


def _table(ranking: Ranking, rows: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("rank", justify="right")
    table.add_column("picture", overflow="fold")
    table.add_column("score", justify="right", no_wrap=True)
    if ranking.task:
        named = "label" in ranking.table
        table.add_column(ranking.task if named else ranking.unit, justify="right", no_wrap=True)
    for row in ranking.table.head(rows).itertuples():
        # Text, since names may hold what rich would take for markup.
        cells = [str(row.rank), Text(escape_nonprintable(row.path)), f"{row.score:.2f}"]
        cells += [ranking.format_value(row)] if ranking.task else []
        table.add_row(*cells, style="dim" if is_strange(row) else None)
    return table


def _print(console: Console, text: str, style: str) -> None:
    """Print text as it is: no markup, no colours guessed; only a terminal breaks its lines."""
    console.print(
        text, style=style, markup=False, highlight=False, soft_wrap=not console.is_terminal
    )

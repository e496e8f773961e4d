"""Console output of a course run: progress bars in a terminal, plain lines in a log."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ordlib.course.runner.index_page import write_index
from ordlib.course.runner.run import COURSE_BUDGET, NOTEBOOK_BUDGET, NotebookRun, run
from ordlib.utils.output import printable

OnNotebookCell = Callable[[str, int, int], None]
_STYLE = {"ok": "green", "failed": "bold red", "not run": "dim"}


@contextmanager
def progress(console: Console) -> Iterator[OnNotebookCell]:
    """Progress bars of the running notebooks; without a terminal one line per notebook.

    Yields a callback for (name, cell number, number of cells), see ``on_cell`` of ``run``.
    """
    bars = {}

    def print_start(name: str, cell: int, cells: int) -> None:
        if cell == 1 <= cells:
            _print(console, f"{name}: running {cells} cells")

    def update_bar(name: str, cell: int, cells: int) -> None:
        if cell > cells:  # The end, without a beginning of a notebook that cannot be read.
            if name in bars:
                progress_bars.remove_task(bars.pop(name))
            return
        if name not in bars:
            bars[name] = progress_bars.add_task(name)
        progress_bars.update(bars[name], completed=cell, total=cells)

    if not console.is_terminal:
        yield print_start
        return
    position = TextColumn("cell {task.completed} of {task.total}")
    name = TextColumn("{task.description}", markup=False)
    columns = name, BarColumn(bar_width=24), position, TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress_bars:
        yield update_bar


def show_run(
    notebooks: Sequence[Path], output: Path, options: Mapping[str, object]
) -> list[NotebookRun]:
    """Run notebooks with the options of ``run``, print the outcomes, and write the index page."""
    console, runs, start = Console(), [], time.perf_counter()
    with progress(console) as on_cell:
        outcomes = run(notebooks, output, on_cell=on_cell, **options)
        try:
            for outcome in outcomes:
                runs.append(outcome)
                print_outcome(console, outcome)
        finally:
            runs.sort(key=lambda outcome: notebooks.index(outcome.source))
            seconds = time.perf_counter() - start
            index = write_index(runs, seconds, output)
    print_summary(console, runs, seconds, index)
    return runs


def show_build(rebuild: Callable[..., list[Path]], source: Path, timeout: int) -> None:
    """Build a notebook from its source, and print the written files."""
    console = Console()
    with progress(console) as on_cell:
        paths = rebuild(source, timeout=timeout, on_cell=lambda *args: on_cell(source.stem, *args))
    for path in paths:
        _print(console, f"wrote {path}")


def print_outcome(console: Console, outcome: NotebookRun) -> None:
    """Print status and time of a notebook, and its failure."""
    seconds = "" if outcome.seconds is None else f"{outcome.seconds:6.1f} s"
    line = f"{outcome.name}: {outcome.status:8}{seconds}"
    _print(console, line.rstrip(), _STYLE[outcome.status])
    if outcome.failure:
        _print(console, f"  {outcome.failure}", "red")


def print_summary(
    console: Console, runs: Sequence[NotebookRun], seconds: float, index: Path
) -> None:
    """Print the table of a run, its time against the budgets, and the path of the index page."""
    width = max([len(outcome.name) for outcome in runs] + [len("notebook")])
    _print(console, f"\n{'notebook':{width}}  status    cells  seconds")
    for outcome in runs:
        seconds_ = "" if outcome.seconds is None else f"{outcome.seconds:.1f}"
        line = f"{outcome.name:{width}}  {outcome.status:8}  {outcome.cells:5}  {seconds_:>7}"
        _print(console, line, _STYLE[outcome.status])
    for line in budget_lines(runs, seconds):
        _print(console, line)
    _print(console, f"\nOpen {index.resolve()}")


def budget_lines(runs: Sequence[NotebookRun], seconds: float) -> list[str]:
    """Compare times with the budgets of the course; exceeding them never fails a run.

    Example:
        >>> runs = [NotebookRun(Path("00_start_here.ipynb"), 30, seconds=42.0)]
        >>> for line in budget_lines(runs, seconds=43.0):
        ...     print(line)
        Budget per notebook, 60 s: within it; the slowest is 00_start_here with 42 s.
        Budget of the course, 240 s: within it, with 43 s.
    """
    timed = [outcome for outcome in runs if outcome.seconds is not None]
    if not timed:
        return []
    slowest = max(timed, key=lambda outcome: outcome.seconds)
    if any(outcome.changed for outcome in timed):
        return ["The budgets hold for the committed parameters; these were others."]
    return [
        f"Budget per notebook, {NOTEBOOK_BUDGET} s: {_verdict(slowest.seconds, NOTEBOOK_BUDGET)}; "
        f"the slowest is {slowest.name} with {slowest.seconds:.0f} s.",
        f"Budget of the course, {COURSE_BUDGET} s: {_verdict(seconds, COURSE_BUDGET)}, "
        f"with {seconds:.0f} s.",
    ]


def _verdict(seconds: float, budget: float) -> str:
    return "within it" if seconds <= budget else "OVER IT"


def _print(console: Console, text: str, style: str | None = None) -> None:
    """Print text without markup, highlighting, line breaks or control characters."""
    text = printable(text, console.encoding)
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

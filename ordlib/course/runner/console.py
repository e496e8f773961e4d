"""What a run says on the terminal: a live line per notebook, or plain lines in a log."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ordlib.course.runner.index_page import write_index
from ordlib.course.runner.run import COURSE_BUDGET, NOTEBOOK_BUDGET, Outcome, run

Watch = Callable[[str, int, int], None]
_STYLE = {"ok": "green", "failed": "bold red", "not run": "dim"}


@contextmanager
def progress(console: Console) -> Iterator[Watch]:
    """Show where a run is: on a terminal by a line that ticks for each notebook that runs.

    Anything else gets one line as a notebook begins. The watcher is called with (name, number
    of the cell, number of cells); a number beyond the last says that the notebook has ended.
    """
    lines = {}

    def begin(name: str, cell: int, cells: int) -> None:
        if cell == 1:
            say(console, f"{name}: running {cells} cells")

    def tick(name: str, cell: int, cells: int) -> None:
        if cell > cells:
            shown.remove_task(lines.pop(name))
            return
        if name not in lines:
            lines[name] = shown.add_task(name)
        shown.update(lines[name], completed=cell, total=cells)

    if not console.is_terminal:
        yield begin
        return
    where = TextColumn("cell {task.completed} of {task.total}")
    columns = "{task.description}", BarColumn(bar_width=24), where, TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as shown:
        yield tick


def show_run(notebooks: Sequence[Path], output: Path, how: Mapping[str, object]) -> list[Outcome]:
    """Run notebooks (how: see ``run``), say what becomes of each, and write the index page."""
    console, outcomes, began = Console(), [], time.perf_counter()
    with progress(console) as watch:
        each = run(notebooks, output, watch=watch, **how)
        try:
            for outcome in each:
                outcomes.append(outcome)
                tell(console, outcome)
        finally:
            outcomes.sort(key=lambda outcome: notebooks.index(outcome.source))
            seconds = time.perf_counter() - began
            index = write_index(outcomes, seconds, output)
    summary(console, outcomes, seconds, index)
    return outcomes


def show_build(rebuild: Callable[..., list[Path]], source: Path, timeout: int) -> None:
    """Build a notebook from its source, and say what was written."""
    console = Console()
    with progress(console) as watch:
        written = rebuild(source, timeout=timeout, watch=lambda *at: watch(source.stem, *at))
    for path in written:
        say(console, f"wrote {path}")


def tell(console: Console, outcome: Outcome) -> None:
    """Say what became of a notebook, and if it failed, where and why."""
    seconds = "" if outcome.seconds is None else f"{outcome.seconds:6.1f} s"
    line = f"{outcome.name}: {outcome.status:8}{seconds}"
    say(console, line.rstrip(), _STYLE[outcome.status])
    if outcome.failure:
        say(console, f"  {outcome.failure}", "red")


def summary(console: Console, outcomes: Sequence[Outcome], seconds: float, index: Path) -> None:
    """Print the table of a run, what it cost against the budgets, and where to look."""
    width = max([len(outcome.name) for outcome in outcomes] + [len("notebook")])
    say(console, f"\n{'notebook':{width}}  status    cells  seconds")
    for outcome in outcomes:
        took = "" if outcome.seconds is None else f"{outcome.seconds:.1f}"
        line = f"{outcome.name:{width}}  {outcome.status:8}  {outcome.cells:5}  {took:>7}"
        say(console, line, _STYLE[outcome.status])
    for line in budget_lines(outcomes, seconds):
        say(console, line)
    say(console, f"\nOpen {index.resolve()}")


def budget_lines(outcomes: Sequence[Outcome], seconds: float) -> list[str]:
    """Compare the times with the course's budgets; this informs and never fails a run.

    Example:
        >>> done = [Outcome(Path("00_start_here.ipynb"), 30, seconds=42.0)]
        >>> for line in budget_lines(done, seconds=43.0):
        ...     print(line)
        Budget per notebook, 60 s: within it; the slowest is 00_start_here with 42 s.
        Budget of the course, 240 s: within it, with 43 s.
    """
    timed = [outcome for outcome in outcomes if outcome.seconds is not None]
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


def say(console: Console, text: str, style: str | None = None) -> None:
    """Print text as it is: no markup, no colours guessed, no lines broken."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

"""Running the notebooks, one or several at a time, whatever becomes of each."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import nbformat
import psutil

from ordlib.course.runner import inline_results as numbers
from ordlib.course.runner import parameters
from ordlib.course.runner.execute import Failure, execute
from ordlib.course.runner.worker_processes import side_by_side

NOTEBOOK_BUDGET, COURSE_BUDGET = 60, 4 * 60  # seconds on two CPU cores
CELL_LIMIT = 300  # seconds
# Two notebooks at a time want a core and, with what else runs on a machine, four gigabytes each.
CORES, MEMORY = 2, 8e9


@dataclass(frozen=True)
class Outcome:
    """What became of one notebook.

    Args:
        source: the notebook as it stands in the project.
        cells: how many cells it has, as written.
        seconds: how long it took; None if it was not run.
        failure: where and why it stopped, or None.
        executed: the executed notebook; None if it was not run.
        results: the numbers it saved, by name.
        changed: whether it ran with other parameters than the committed ones.
    """

    source: Path
    cells: int
    seconds: float | None = None
    failure: Failure | None = None
    executed: Path | None = None
    results: Mapping[str, float] = field(default_factory=dict)
    changed: bool = False

    @property
    def name(self) -> str:
        """The notebook's file name without suffix."""
        return self.source.stem

    @property
    def status(self) -> str:
        """``"ok"``, ``"failed"`` or ``"not run"``."""
        if self.seconds is None:
            return "not run"
        return "failed" if self.failure else "ok"


def run(
    notebooks: Sequence[Path],
    output: Path,
    *,
    values: Mapping[str, str] | None = None,
    keep_going: bool = False,
    timeout: int = CELL_LIMIT,
    jobs: int | None = None,
    watch: Callable[[str, int, int], None] = lambda name, cell, cells: None,
) -> Iterator[Outcome]:
    """Execute notebooks with papermill, each in a kernel and a folder of its own.

    Args:
        notebooks: what to run; they are begun in this order.
        output: gets NAME.ipynb, results/NAME.json, and files/NAME/, the folder in which
            the notebook runs and where whatever it writes stays.
        values: parameters for all of them, as typed on the command line.
        keep_going: go on after a failure; else those not begun are reported as not run.
        timeout: seconds that one cell may take.
        jobs: how many run at a time, on a share of the cores each; None takes
            :func:`default_jobs`.
        watch: called with (name, number of the cell, number of cells) before each cell, and, with
            a number beyond the last, at the end.

    Returns:
        An iterator that runs notebooks and yields what became of each, as they end.

    Raises:
        ValueError: unknown or ill-typed parameter, or an output folder that holds the
            notebooks themselves or is a file; before anything runs.
    """
    output = Path(output)
    _refuse_output(output, notebooks)
    given = parameters.checked(notebooks, values or {})
    jobs = min(jobs or default_jobs(), max(len(notebooks), 1))
    runs = {
        path: partial(_run_one, path, output=output, given=given[path], timeout=timeout)
        for path in notebooks
    }
    return _each(runs, jobs, keep_going, watch)


def default_jobs() -> int:
    """Return 2 on a machine with two cores and 8 GB of memory, else 1."""
    return 2 if _cores() >= CORES and psutil.virtual_memory().total >= MEMORY else 1


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _refuse_output(output: Path, notebooks: Sequence[Path]) -> None:
    if output.exists() and not output.is_dir():
        raise ValueError(f"--output {output} is a file; give a folder, such as build/course.")
    if any(path.resolve().parent == output.resolve() for path in notebooks):
        raise ValueError(
            f"--output {output} holds the notebooks themselves, which a run would overwrite; "
            "give another folder, such as build/course."
        )


def _each(runs, jobs, keep_going, watch) -> Iterator[Outcome]:
    """Yield the outcomes of runs; after a failure those that are left are not begun."""
    left, given_up = deque(runs), []
    for outcome in _in_turn(runs, left, watch) if jobs == 1 else _at_once(runs, left, jobs, watch):
        yield outcome
        if outcome.failure and not keep_going:
            given_up += left
            left.clear()
    for path in given_up:
        yield Outcome(path, _count_cells(path))


def _in_turn(runs, left, watch) -> Iterator[Outcome]:
    while left:
        yield runs[left.popleft()](watch=watch)


def _at_once(runs, left, jobs, watch) -> Iterator[Outcome]:
    # Threads of two notebooks that share the cores would wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(_cores() // jobs, 1)))
    for path, outcome in side_by_side(runs, left, jobs, watch):
        if outcome is None:
            failure = Failure(1, "", "the process that ran the notebook was ended from outside")
            outcome = Outcome(path, _count_cells(path), 0.0, failure)
        yield outcome


def _run_one(path, *, output, given, timeout, watch) -> Outcome:
    folder, results = output / "files" / path.stem, output / "results"
    for needed in (folder, results):
        needed.mkdir(parents=True, exist_ok=True)
    (results / f"{path.stem}.json").unlink(missing_ok=True)
    executed = output / path.name
    cells = _count_cells(path)
    seconds, failure = execute(
        path,
        executed,
        results=results,
        folder=folder,
        parameters=given,
        timeout=timeout,
        watch=lambda cell, of: watch(path.stem, cell, of),
    )
    watch(path.stem, cells + 1, cells)
    saved = numbers.load_results(results / f"{path.stem}.json")
    return Outcome(path, cells, seconds, failure, executed, saved, bool(given))


def _count_cells(path: Path) -> int:
    return len(nbformat.read(path, as_version=4).cells)

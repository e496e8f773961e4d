"""Running the notebooks one after the other, whatever becomes of each."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

from ordlib.course import numbers, parameters
from ordlib.course.engine import Failure, execute

NOTEBOOK_BUDGET, COURSE_BUDGET = 60, 8 * 60  # seconds on two CPU cores
CELL_LIMIT = 300  # seconds


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
    watch: Callable[[str, int, int], None] = lambda name, cell, cells: None,
) -> Iterator[Outcome]:
    """Execute notebooks with papermill, each in a kernel and a folder of its own.

    Args:
        notebooks: what to run, in this order.
        output: gets NAME.ipynb, results/NAME.json, and files/NAME/, the folder in which
            the notebook runs and where whatever it writes stays.
        values: parameters for all of them, as typed on the command line.
        keep_going: go on after a failure; else the rest is reported as not run.
        timeout: seconds that one cell may take.
        watch: called with (name, number of the cell, number of cells) before each cell.

    Returns:
        An iterator that runs the next notebook and yields what became of it.

    Raises:
        ValueError: unknown or ill-typed parameter, or an output folder that holds the
            notebooks themselves or is a file; before anything runs.
    """
    output = Path(output)
    _refuse_output(output, notebooks)
    given = parameters.checked(notebooks, values or {})
    return _each(notebooks, output, given, keep_going, timeout, watch)


def _refuse_output(output: Path, notebooks: Sequence[Path]) -> None:
    if output.exists() and not output.is_dir():
        raise ValueError(f"--output {output} is a file; give a folder, such as build/course.")
    if any(path.resolve().parent == output.resolve() for path in notebooks):
        raise ValueError(
            f"--output {output} holds the notebooks themselves, which a run would overwrite; "
            "give another folder, such as build/course."
        )


def _each(notebooks, output, given, keep_going, timeout, watch) -> Iterator[Outcome]:
    stopped = False
    for path in notebooks:
        cells = len(nbformat.read(path, as_version=4).cells)
        if stopped:
            yield Outcome(path, cells)
            continue
        folder, results = output / "files" / path.stem, output / "results"
        for needed in (folder, results):
            needed.mkdir(parents=True, exist_ok=True)
        (results / f"{path.stem}.json").unlink(missing_ok=True)
        executed = output / path.name
        seconds, failure = execute(
            path,
            executed,
            results=results,
            folder=folder,
            parameters=given[path],
            timeout=timeout,
            watch=lambda cell, of, name=path.stem: watch(name, cell, of),
        )
        saved = numbers.load_results(results / f"{path.stem}.json")
        yield Outcome(path, cells, seconds, failure, executed, saved, bool(given[path]))
        stopped = failure is not None and not keep_going

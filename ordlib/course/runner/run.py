"""Running the notebooks that were meant, one or several at a time, whatever becomes of each."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from pathlib import Path

import nbformat
import papermill
import psutil

from ordlib.course.runner import inline_results as numbers
from ordlib.course.runner.execute import Failure, execute
from ordlib.course.runner.worker_processes import side_by_side

NOTEBOOK_BUDGET, COURSE_BUDGET = 60, 4 * 60  # seconds on two CPU cores
CELL_LIMIT = 300  # seconds
# Two notebooks at a time want a core and, with what else runs on a machine, four gigabytes each.
CORES, MEMORY = 2, 8e9
_WORDS = {"True": True, "False": False, "None": None}
_FITS = {"int": int, "float": (int, float), "bool": bool}


def notebooks_folder(start: str | Path = ".") -> Path:
    """Find the nearest folder ``notebooks`` in a folder or above it; raise FileNotFoundError."""
    start = Path(start).resolve()
    for folder in [start, *start.parents]:
        if folder.name == "notebooks":
            return folder
        if (folder / "notebooks").is_dir():
            return folder / "notebooks"
    raise FileNotFoundError(
        f"No folder named 'notebooks' in {start} or above it: "
        "go to the project's folder, or name it with --notebooks FOLDER."
    )


def choose(paths: Sequence[Path], names: Sequence[str]) -> list[Path]:
    """Pick the notebooks that were named, by prefix or in full, in course order, each once.

    Args:
        paths: what there is.
        names: prefixes of file names, such as ``00`` or ``00_start_here.ipynb``; none means all.

    Raises:
        ValueError: when a name fits none, or there is nothing to choose from.

    Example:
        >>> there = [Path("01_number_sense.ipynb"), Path("00_start_here.ipynb")]
        >>> [path.name for path in choose(there, ["00"])]
        ['00_start_here.ipynb']
    """
    paths = sorted(paths, key=lambda path: path.name)
    if not paths:
        raise ValueError("There is no notebook there: name the folder with --notebooks FOLDER.")
    prefixes = [Path(name).name.removesuffix(".ipynb").removesuffix(".py") for name in names]
    for prefix in prefixes:
        if not any(path.stem.startswith(prefix) for path in paths):
            there = ", ".join(path.stem for path in paths)
            raise ValueError(f"No notebook begins with {prefix!r}; there are {there}.")
    return [path for path in paths if not prefixes or path.stem.startswith(tuple(prefixes))]


@dataclass(frozen=True)
class Outcome:
    """What became of one notebook."""

    source: Path  # as it stands in the project
    cells: int  # how many it has, as written
    seconds: float | None = None  # None if it was not run
    failure: Failure | None = None
    executed: Path | None = None  # the executed notebook; None if it was not run
    results: Mapping[str, float] = field(default_factory=dict)  # the numbers it saved, by name
    changed: bool = False  # whether it ran with other parameters than the committed ones

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
        jobs: how many run at a time, on a share of the cores each; None takes 2 on a machine
            with two cores and 8 GB of memory, else 1.
        watch: called with (name, number of the cell, number of cells) before each cell, and, with
            a number beyond the last, at the end.

    Returns:
        An iterator that runs notebooks and yields what became of each, as they end.

    Raises:
        ValueError: unknown or ill-typed parameter, or an output folder that holds the
            notebooks themselves or is a file; before anything runs.
    """
    output = Path(output)
    if output.exists() and not output.is_dir():
        raise ValueError(f"--output {output} is a file; give a folder, such as build/course.")
    if any(path.resolve().parent == output.resolve() for path in notebooks):
        raise ValueError(
            f"--output {output} holds the notebooks themselves, which a run would overwrite; "
            "give another folder, such as build/course."
        )
    given = {path: checked(path, values or {}) for path in notebooks}
    roomy = _cores() >= CORES and psutil.virtual_memory().total >= MEMORY
    jobs = min(jobs or (2 if roomy else 1), max(len(notebooks), 1))
    runs = {
        path: partial(_run_one, path, output=output, given=given[path], timeout=timeout)
        for path in notebooks
    }
    return _each(runs, jobs, keep_going, watch)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
        failure = Failure(1, "", "the process that ran the notebook was ended from outside")
        yield outcome or Outcome(path, _count_cells(path), 0.0, failure)


def _run_one(path, *, output, given, timeout, watch) -> Outcome:
    folder, results = output / "files" / path.stem, output / "results"
    for needed in (folder, results):
        needed.mkdir(parents=True, exist_ok=True)
    saved = results / f"{path.stem}.json"
    saved.unlink(missing_ok=True)
    how = {"results": results, "folder": folder, "parameters": given, "timeout": timeout}
    executed, cells = output / path.name, _count_cells(path)
    seconds, failure = execute(path, executed, watch=partial(watch, path.stem), **how)
    watch(path.stem, cells + 1, cells)
    found = numbers.load_results(saved)
    return Outcome(path, cells, seconds, failure, executed, found, bool(given))


def _count_cells(path: Path) -> int:
    return len(nbformat.read(path, as_version=4).cells)


def checked(path: Path, texts: Mapping[str, str]) -> dict[str, object]:
    """Type the parameters for a notebook as it declares them, and refuse what it does not know.

    papermill only logs an unknown parameter and goes on, so that a typing mistake would
    cost a whole run. A parameter declared ``str`` stays text, also when it reads as a number.
    """
    known = papermill.inspect_notebook(path) if texts else {}
    values = {}
    for name, text in texts.items():
        if name not in known:
            raise ValueError(f"{path.name} has no parameter {name!r}; {_known(name, known)}")
        declared = known[name]["inferred_type_name"]
        values[name] = text if declared == "str" else typed(text)
        wrong_bool = isinstance(values[name], bool) and declared != "bool"
        if declared in _FITS and (wrong_bool or not isinstance(values[name], _FITS[declared])):
            raise ValueError(
                f"{path.name}: parameter {name!r} takes a value of type {declared} "
                f"(its default is {known[name]['default']}), not {text!r}."
            )
    return values


def typed(text: str) -> object:
    """Read a bool, None, int or float if the text reads as one, as ``papermill -p`` does."""
    if text in _WORDS:
        return _WORDS[text]
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def _known(name: str, known: Mapping[str, object]) -> str:
    if not known:
        return "it has no cell tagged 'parameters'."
    guess = get_close_matches(name, known, n=1)
    return f"it has {', '.join(known)}." + (f" Did you mean {guess[0]!r}?" if guess else "")

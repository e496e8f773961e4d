"""Run notebooks, one or several at a time."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from multiprocessing import connection, get_context, parent_process
from pathlib import Path

import papermill
import psutil
from joblib import cpu_count

from ordlib.course.runner.execute import Failure, execute
from ordlib.course.runner.inline_results import load_notebook_results
from ordlib.course.runner.notebook_files import papermill_path, read_notebook

NOTEBOOK_BUDGET, COURSE_BUDGET = 60, 4 * 60  # seconds on two CPU cores
CELL_TIMEOUT = 300  # seconds
# Resources of two notebooks in parallel: a core and 4 GB each, shared with other programs.
MIN_CORES, MIN_MEMORY = 2, 8e9
# A forked process would share the sockets and threads of this one.
CONTEXT = get_context("spawn")
_LITERALS = {"True": True, "False": False, "None": None}
_TYPES = {"int": int, "float": (int, float), "bool": bool}


def notebooks_folder(start: str | Path = ".") -> Path:
    """Find the folder ``notebooks`` in a folder or its nearest parent."""
    start = Path(start).resolve()
    for folder in [start, *start.parents]:
        if folder.name == "notebooks":
            return folder
        if (folder / "notebooks").is_dir():
            return folder / "notebooks"
    raise FileNotFoundError(
        f"No folder named 'notebooks' in {start} or above it: "
        "change to the project folder, or pass --notebooks FOLDER."
    )


def select_notebooks(paths: Sequence[Path], names: Sequence[str]) -> list[Path]:
    """Select notebooks by prefixes of their file names, in course order; none selects all.

    Raises:
        ValueError: a name without match, or no notebook at all.

    Example:
        >>> paths = [Path("01_vanilla_clip.ipynb"), Path("00_start_here.ipynb")]
        >>> [path.name for path in select_notebooks(paths, ["00"])]
        ['00_start_here.ipynb']
    """
    paths = sorted(paths, key=lambda path: path.name)
    if not paths:
        raise ValueError("There is no notebook there: pass the folder with --notebooks FOLDER.")
    prefixes = [Path(name).name.removesuffix(".ipynb").removesuffix(".py") for name in names]
    for prefix in prefixes:
        if not prefix or not any(path.stem.startswith(prefix) for path in paths):
            available = ", ".join(path.stem for path in paths)
            raise ValueError(f"No notebook begins with {prefix!r}; there are {available}.")
    return [path for path in paths if not prefixes or path.stem.startswith(tuple(prefixes))]


@dataclass(frozen=True)
class NotebookRun:
    """Outcome of running a notebook."""

    source: Path  # the notebook in the project
    cells: int  # number of cells as written
    seconds: float | None = None  # None if it was not run
    failure: Failure | None = None
    executed: Path | None = None  # None if it was not run, or could not be read
    results: Mapping[str, float] = field(default_factory=dict)
    changed: bool = False  # whether it ran with other than its default parameters

    @property
    def name(self) -> str:
        """File name without suffix."""
        return self.source.stem

    @property
    def status(self) -> str:
        """``"ok"``, ``"failed"`` or ``"not run"``."""
        if self.seconds is None:
            return "not run"
        return "failed" if self.failure else "ok"


def run(
    notebooks: Sequence[Path], output: Path, *, values: Mapping[str, str] | None = None,
    keep_going: bool = False, timeout: int = CELL_TIMEOUT, jobs: int | None = None,
    on_cell: Callable[[str, int, int], None] = lambda name, cell, cells: None,
) -> Iterator[NotebookRun]:  # fmt: skip
    """Execute notebooks with papermill, each in its own kernel and working directory.

    Args:
        output: folder of the executed notebooks, their results (results/NAME.json) and their
            working directories (files/NAME/).
        values: parameters for all notebooks, as typed on the command line.
        keep_going: continue after a failure; otherwise notebooks not started are "not run".
        timeout: cell timeout in seconds.
        jobs: notebooks in parallel, which share the cores; None is 2 on a machine with two cores
            and 8 GB of memory, otherwise 1.
        on_cell: called with (name, cell number, number of cells) before each cell, and with a
            cell number above the number of cells at the end.

    Returns:
        Iterator that runs the notebooks and yields outcomes as they end.

    Raises:
        ValueError: an unknown or wrongly typed parameter, or an output folder that is a file or
            has files that no earlier run has written; before any notebook runs.
    """
    output = Path(output)
    _check_output(notebooks, output)
    parameters = {path: _parse_if_readable(path, values or {}) for path in notebooks}
    can_share = cpu_count() >= MIN_CORES and psutil.virtual_memory().total >= MIN_MEMORY
    jobs = min(jobs or (2 if can_share else 1), max(len(notebooks), 1))
    runs = [
        partial(_run_one, path, output=output, parameters=values, timeout=timeout)
        for path, values in parameters.items()
    ]
    return _run_all(runs, jobs, keep_going, on_cell)


def _check_output(notebooks: Sequence[Path], output: Path) -> None:
    """Raise ValueError if a run would overwrite what is not from an earlier run."""
    if output.exists() and not output.is_dir():
        raise ValueError(f"--output {output}: is a file; pass a folder, such as build/course.")
    for path in notebooks:
        # A run first makes the working directory of a notebook, then writes its files.
        if (output / "files" / path.stem).is_dir() and path.resolve().parent != output.resolve():
            continue
        targets = (path.name, f"{path.stem}.html", f"results/{path.stem}.json", "index.html")
        found = [name for name in targets if os.path.lexists(output / name)]
        if (output / "files").is_dir() and found == ["index.html"]:
            continue
        if found:
            raise ValueError(
                f"--output {output}: has {found[0]}, which is not from an earlier run and would be "
                "overwritten; pass another folder, such as build/course."
            )


def _run_all(runs, jobs, keep_going, on_cell) -> Iterator[NotebookRun]:
    """Yield outcomes; after a failure no further notebook is started."""
    pending, skipped = deque(runs), []
    runner = _run_sequentially if jobs == 1 else partial(_run_in_processes, jobs=jobs)
    for outcome in runner(pending, on_cell=on_cell):
        yield outcome
        if outcome.failure and not keep_going:
            skipped += pending
            pending.clear()
    for run_notebook in skipped:
        path = run_notebook.args[0]
        yield NotebookRun(path, _count_cells(path))


def _run_sequentially(pending, on_cell) -> Iterator[NotebookRun]:
    while pending:
        yield pending.popleft()(on_cell=on_cell)


def _run_in_processes(pending, on_cell, jobs) -> Iterator[NotebookRun]:
    """Run notebooks in parallel, each in its own process.

    papermill changes the working directory, so that threads would interfere with each other.
    """
    # Avoid oversubscription of the cores.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(cpu_count() // jobs, 1)))
    running: dict[connection.Connection, tuple[Path, CONTEXT.Process]] = {}
    try:
        while pending or running:
            while pending and len(running) < jobs:
                run_notebook = pending.popleft()
                receiver, sender = CONTEXT.Pipe(duplex=False)
                process = CONTEXT.Process(target=_run_and_send, args=(run_notebook, sender))
                process.start()
                sender.close()
                running[receiver] = run_notebook.args[0], process
            for receiver in connection.wait(list(running)):
                try:
                    message = receiver.recv()
                except EOFError:
                    path = running[receiver][0]
                    failure = Failure(0, "", "the process of the notebook was killed")
                    message = NotebookRun(path, _count_cells(path), 0.0, failure)
                if isinstance(message, NotebookRun):
                    running.pop(receiver)[1].join()
                    yield message
                else:
                    on_cell(*message)
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.join()


def _run_and_send(run_notebook: Callable[..., NotebookRun], sender: connection.Connection) -> None:
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    sender.send(run_notebook(on_cell=lambda *args: sender.send(args)))


def _exit_with_parent() -> None:
    """Exit when the parent process does, and so end the kernel, too."""
    connection.wait([parent_process().sentinel])
    os._exit(1)


def _run_one(path, *, output, parameters, timeout, on_cell) -> NotebookRun:
    folder, results = output / "files" / path.stem, output / "results"
    saved, executed = results / f"{path.stem}.json", output / path.name
    options = {"results": results, "folder": folder, "parameters": parameters, "timeout": timeout}
    cells, seconds, failure, numbers = _count_cells(path), 0.0, None, {}
    try:
        for directory in (folder, results):
            directory.mkdir(parents=True, exist_ok=True)
        saved.unlink(missing_ok=True)
        seconds, failure = execute(path, executed, on_cell=partial(on_cell, path.stem), **options)
        numbers = load_notebook_results(saved)
    except (OSError, ValueError) as error:
        failure = failure or Failure(0, "", str(error))
    on_cell(path.stem, cells + 1, cells)
    ran = executed if seconds and executed.is_file() else None
    return NotebookRun(path, cells, seconds, failure, ran, numbers, bool(parameters))


def _count_cells(path: Path) -> int:
    """Number of cells; 0 if the notebook cannot be read."""
    try:
        return len(read_notebook(path).cells)
    except (OSError, ValueError):
        return 0


def _parse_if_readable(path: Path, texts: Mapping[str, str]) -> dict[str, object]:
    """Parameters of a notebook; of a damaged one none, for it fails when its turn comes."""
    try:
        read_notebook(path)
    except (OSError, ValueError):
        return {}
    return parse_parameters(path, texts)


def parse_parameters(path: Path, texts: Mapping[str, str]) -> dict[str, object]:
    """Parse and validate the parameters of a notebook.

    Parameters declared ``str`` stay text, even if they look like a number. An unknown parameter,
    which papermill would only log, and a value of the wrong type raise a ValueError.
    """
    declared = papermill.inspect_notebook(papermill_path(path)) if texts else {}
    values = {}
    for name, text in texts.items():
        if name not in declared:
            raise ValueError(f"{path.name} has no parameter {name!r}; {_available(name, declared)}")
        kind = declared[name]["inferred_type_name"]
        values[name] = text if kind == "str" else _parse_value(text)
        is_wrong_bool = isinstance(values[name], bool) and kind != "bool"
        if kind in _TYPES and (is_wrong_bool or not isinstance(values[name], _TYPES[kind])):
            raise ValueError(
                f"{path.name}: parameter {name!r} takes a value of type {kind} "
                f"(its default is {declared[name]['default']}), not {text!r}."
            )
    return values


def _parse_value(text: str) -> object:
    """Parse a bool, None, int or float like ``papermill -p``; other text is unchanged."""
    if text in _LITERALS:
        return _LITERALS[text]
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def _available(name: str, declared: Mapping[str, object]) -> str:
    if not declared:
        return "it has no cell tagged 'parameters'."
    guess = get_close_matches(name, declared, n=1)
    return f"it has {', '.join(declared)}." + (f" Did you mean {guess[0]!r}?" if guess else "")

"""Executing one notebook with papermill: watched, with a time limit, on this very Python."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
import papermill
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError

from .kernel_client import AskingClient

Watch = Callable[[int, int], None]


@dataclass(frozen=True)
class Failure:
    """Where and why a notebook stopped.

    Args:
        cell: number of the cell in the notebook as written, counted from 1.
        first_line: first line of that cell.
        error: kind and message, such as ``ValueError: rank 21 is not in 1..20``.
    """

    cell: int
    first_line: str
    error: str

    def __str__(self) -> str:
        return f"cell {self.cell} ({self.first_line}): {self.error}"


class ThisPython(AsyncKernelManager):
    """Starts kernels with the running interpreter.

    A kernelspec named python3 in the user's home folder may belong to another Python.
    """

    client_factory = AskingClient

    @property
    def kernel_spec(self) -> KernelSpec:
        """The kernelspec of the running Python, whatever is registered elsewhere."""
        launch = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        # What it would log is about networks, but it listens to this machine only.
        launch.append("--log-level=CRITICAL")
        return KernelSpec(argv=launch, display_name="Python 3", language="python")


class WatchedEngine(NBClientEngine):
    """papermill's own engine, which also tells a watcher where it is."""

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, watch: Watch, **kwargs) -> None:
        """Execute the notebook, calling ``watch(cell, cells)`` before each cell."""
        start, cells = nb_man.cell_start, len(nb_man.nb.cells)

        def cell_start(cell, cell_index=None, **more):
            watch(cell_index + 1, cells)
            return start(cell, cell_index, **more)

        nb_man.cell_start = cell_start
        super().execute_managed_notebook(nb_man, kernel_name, **kwargs)


papermill_engines.register("ordlib", WatchedEngine)


def execute(
    notebook: Path,
    output: Path,
    *,
    results: Path,
    folder: Path,
    parameters: Mapping[str, object] | None = None,
    timeout: int | None = None,
    watch: Watch = lambda cell, cells: None,
) -> tuple[float, Failure | None]:
    """Execute a notebook into another file; the notebook itself stays as it is.

    Args:
        notebook: what to execute.
        output: where the executed notebook goes, saved after each cell.
        results: folder for the numbers that the notebook saves.
        folder: the notebook's current folder while it runs.
        parameters: replace the values of its cell tagged ``parameters``.
        timeout: seconds that one cell may take; none means no limit.
        watch: called with (number of the cell, number of cells) before each cell.

    Returns:
        Seconds it took, and the failure, or None if it ran to its end.
    """
    at = [1]

    def remember(cell: int, cells: int) -> None:
        at[0] = cell
        watch(cell, cells)

    began, failure = time.perf_counter(), None
    try:
        with _environment(ORDLIB_RESULTS=str(results.resolve())):
            papermill.execute_notebook(
                notebook.resolve(),
                output.resolve(),
                parameters=dict(parameters or {}),
                engine_name="ordlib",
                kernel_name="python3",
                kernel_manager_class=ThisPython,
                cwd=folder.resolve(),
                progress_bar=False,
                execution_timeout=timeout,
                coalesce_streams=True,
                watch=remember,
            )
    except PapermillExecutionError as error:
        shown = f"{error.ename}: {error.evalue}" if error.evalue else error.ename
        failure = _failure(output, at[0], shown)
    except CellTimeoutError:
        shown = f"took longer than the limit of {timeout} s; raise it with --timeout SECONDS"
        failure = _failure(output, at[0], shown)
    except DeadKernelError:
        shown = "the Python behind the notebook died, often for lack of memory"
        failure = _failure(output, at[0], shown)
    return time.perf_counter() - began, failure


def _failure(output: Path, at: int, error: str) -> Failure:
    """Name the cell as it is numbered in the notebook that people edit."""
    cells = nbformat.read(output, as_version=4).cells
    cells = [cell for cell in cells if not _has_tag(cell, "papermill-error-cell-tag")]
    own = [cell for cell in cells[:at] if not _has_tag(cell, "injected-parameters")]
    source = cells[at - 1].source.strip()
    return Failure(len(own), source.splitlines()[0] if source else "", error)


def _has_tag(cell: nbformat.NotebookNode, tag: str) -> bool:
    return tag in cell.metadata.get("tags", [])


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Set environment variables, which the kernel inherits, for the length of a block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

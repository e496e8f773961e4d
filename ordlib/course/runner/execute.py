"""Execute a notebook with papermill, in a kernel of the running interpreter."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import nbformat
import papermill
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError

OnCell = Callable[[int, int], None]


@dataclass(frozen=True)
class Failure:
    """Where and why the execution of a notebook stopped."""

    cell: int  # number in the notebook as written, counted from 1
    first_line: str
    error: str  # type and message, such as "ValueError: rank 21 is not in 1..20"

    def __str__(self) -> str:
        return f"cell {self.cell} ({self.first_line}): {self.error}"


class CurrentInterpreterKernel(AsyncKernelManager):
    """Kernel manager that starts kernels with the running interpreter.

    A kernelspec named python3 in the user's home folder may belong to another Python.
    """

    results = ""  # folder of the results that the notebook saves

    @property
    def kernel_spec(self) -> KernelSpec:
        """Kernelspec of the running Python, regardless of the registered ones."""
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        # Its warnings concern network access, but it listens to this machine only.
        argv.append("--log-level=CRITICAL")
        env = {"ORDLIB_RESULTS": self.results}
        return KernelSpec(argv=argv, env=env, display_name="Python 3", language="python")


def execute(
    notebook: Path, output: Path, *, results: Path, folder: Path,
    parameters: Mapping[str, object] | None = None, timeout: int | None = None,
    on_cell: OnCell = lambda cell, cells: None,
) -> tuple[float, Failure | None]:  # fmt: skip
    """Execute a notebook with papermill.

    Args:
        output: executed notebook, saved after each cell.
        results: folder of the results that the notebook saves.
        folder: working directory of the kernel.
        parameters: override the defaults of the cell tagged ``parameters``.
        timeout: cell timeout in seconds; None is no limit.
        on_cell: called with (cell number, number of cells) before each cell.

    Returns:
        Wall-clock seconds, and the failure or None.
    """
    started, num_cells = [], len(nbformat.read(notebook, as_version=4).cells) + bool(parameters)

    def on_cell_start(cell: nbformat.NotebookNode, cell_index: int) -> None:
        started.append(cell)
        on_cell(len(started), num_cells)

    start, error = time.perf_counter(), None
    try:
        papermill.execute_notebook(
            notebook.resolve(), output.resolve(), parameters=dict(parameters or {}),
            kernel_name="python3", kernel_manager_class=type(
                "Kernel", (CurrentInterpreterKernel,), {"results": str(results.resolve())}
            ),
            cwd=folder.resolve(), progress_bar=False, execution_timeout=timeout,
            coalesce_streams=True, on_cell_start=on_cell_start,
        )  # fmt: skip
    except PapermillExecutionError as raised:
        error = f"{raised.ename}: {raised.evalue}" if raised.evalue else raised.ename
    except CellTimeoutError:
        error = f"exceeded the cell timeout of {timeout} s; raise it with --timeout SECONDS"
    except DeadKernelError:
        error = "the kernel died, often for lack of memory"
    seconds = time.perf_counter() - start
    if error is None:
        return seconds, None
    # papermill's injected cell has no number in the notebook as written.
    number = sum("injected-parameters" not in cell.metadata.get("tags", []) for cell in started)
    first_line = started[-1].source.strip().partition("\n")[0]
    return seconds, Failure(number, first_line, error)

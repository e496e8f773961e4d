"""Executing one notebook with papermill: watched, with a time limit, on this very Python."""

import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import Empty

import nbformat
import papermill
from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError

Watch = Callable[[int, int], None]
# Seconds after which a message that nobody was told of is found.
PATIENCE = 1.0


@dataclass(frozen=True)
class Failure:
    """Where and why a notebook stopped."""

    cell: int  # its number in the notebook as written, counted from 1
    first_line: str
    error: str  # kind and message, such as "ValueError: rank 21 is not in 1..20"

    def __str__(self) -> str:
        return f"cell {self.cell} ({self.first_line}): {self.error}"


class PollingChannel(AsyncZMQSocketChannel):
    """A channel to a kernel that cannot miss a message: it looks every second.

    While a cell with widgets runs, nbclient sends on the very socket on which the cell's reply
    is awaited. A send takes in the news that something has arrived, and asyncio is never told:
    the notebook waits for a reply that is already there, for as long as a cell may take.
    """

    async def get_msg(self, timeout: float | None = None) -> dict:
        """Return the next message, or raise Empty after so many seconds; None waits forever."""
        end = time.monotonic() + (math.inf if timeout is None else timeout)
        while True:
            left = max(end - time.monotonic(), 0)
            try:
                return await super().get_msg(min(left, PATIENCE))
            except Empty:
                if left <= PATIENCE:
                    raise


class AskingClient(AsyncKernelClient):
    """A kernel's client whose replies come by an :class:`PollingChannel`."""

    shell_channel_class = PollingChannel


class CurrentInterpreterKernel(AsyncKernelManager):
    """Starts kernels with the running interpreter.

    A kernelspec named python3 in the user's home folder may belong to another Python.
    """

    client_factory = AskingClient
    results = ""  # the folder for the numbers that the notebook saves

    @property
    def kernel_spec(self) -> KernelSpec:
        """The kernelspec of the running Python, whatever is registered elsewhere."""
        launch = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        # What it would log is about networks, but it listens to this machine only.
        launch.append("--log-level=CRITICAL")
        variables = {"ORDLIB_RESULTS": self.results}
        return KernelSpec(argv=launch, env=variables, display_name="Python 3", language="python")


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
    begun, cells = [], len(nbformat.read(notebook, as_version=4).cells) + bool(parameters)

    def begin(cell: nbformat.NotebookNode, cell_index: int) -> None:
        begun.append(cell)
        watch(len(begun), cells)

    started, error = time.perf_counter(), None
    try:
        papermill.execute_notebook(
            notebook.resolve(),
            output.resolve(),
            parameters=dict(parameters or {}),
            kernel_name="python3",
            kernel_manager_class=type(
                "Kernel", (CurrentInterpreterKernel,), {"results": str(results.resolve())}
            ),
            cwd=folder.resolve(),
            progress_bar=False,
            execution_timeout=timeout,
            coalesce_streams=True,
            on_cell_start=begin,
        )
    except PapermillExecutionError as raised:
        error = f"{raised.ename}: {raised.evalue}" if raised.evalue else raised.ename
    except CellTimeoutError:
        error = f"took longer than the limit of {timeout} s; raise it with --timeout SECONDS"
    except DeadKernelError:
        error = "the Python behind the notebook died, often for lack of memory"
    seconds = time.perf_counter() - started
    if error is None:
        return seconds, None
    # papermill adds a cell of its own: it has no number in the notebook that people edit.
    own = [cell for cell in begun if "injected-parameters" not in cell.metadata.get("tags", [])]
    first_line = begun[-1].source.strip().partition("\n")[0]
    return seconds, Failure(len(own), first_line, error)

"""Execute a notebook with papermill, in a kernel of the running interpreter."""

import ctypes
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbclient.client
import nbformat
import papermill
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError

from ordlib.course.runner.notebook_files import papermill_path, read_notebook
from ordlib.utils.validation import escape_nonprintable

OnCell = Callable[[int, int], None]
MAX_ERROR, MAX_LINE = 2_000, 200  # characters
# Environment variable of a kernel and of all processes that it starts.
MARK = "ORDLIB_KERNEL"
WATCHER = """
import sys
sys.stdin.read()
import time
import psutil
is_done = False
while not is_done:
    is_done = True
    for process in psutil.process_iter(["environ", "status"]):
        is_marked = (process.info["environ"] or {}).get(sys.argv[1]) == sys.argv[2]
        if is_marked and process.info["status"] != psutil.STATUS_ZOMBIE:
            try:
                process.kill()
                is_done = False
            except psutil.Error:
                pass
    time.sleep(0 if is_done else 0.02)
"""
PR_SET_PDEATHSIG = 1  # of Linux' prctl
# nbclient's own expression, without the beginning of a line, takes quadratic time on a long one.
nbclient.client._RGX_CARRIAGERETURN = re.compile(r"^.*\r(?=[^\n])", re.MULTILINE)


@dataclass(frozen=True)
class Failure:
    """Where and why the execution of a notebook stopped."""

    cell: int  # number in the notebook as written, counted from 1; 0 outside of the cells
    first_line: str
    error: str  # type and message, such as "ValueError: rank 21 is not in 1..20"

    def __str__(self) -> str:
        return f"cell {self.cell} ({self.first_line}): {self.error}" if self.cell else self.error


class CurrentInterpreterKernel(AsyncKernelManager):
    """Kernel manager that starts kernels with the running interpreter.

    A kernelspec named python3 in the user's home folder may belong to another Python.
    """

    results = ""  # folder of the results that the notebook saves
    mark = ""  # of the processes of this kernel

    @property
    def kernel_spec(self) -> KernelSpec:
        """Kernelspec of the running Python, regardless of the registered ones."""
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        # Its warnings concern network access, but it listens to this machine only.
        argv.append("--log-level=CRITICAL")
        env = {"ORDLIB_RESULTS": self.results, MARK: self.mark}
        return KernelSpec(argv=argv, env=env, display_name="Python 3", language="python")

    async def start_kernel(self, **options: object) -> None:
        """Start the kernel, such that it ends with this process, even if that is killed.

        The kernel itself notices it too, but not within a long call of compiled code.
        """
        if sys.platform == "linux":
            prctl = ctypes.CDLL(None).prctl
            options["preexec_fn"] = lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        await super()._async_start_kernel(**options)


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
        Wall-clock seconds, and the failure or None. Processes that the notebook has started are
        ended.

    Raises:
        OSError, ValueError: the notebook cannot be read.
    """
    started, num_cells = [], len(read_notebook(notebook).cells) + bool(parameters)

    def on_cell_start(cell: nbformat.NotebookNode, cell_index: int) -> None:
        started.append(cell)
        on_cell(len(started), num_cells)

    start, error, mark = time.perf_counter(), None, uuid.uuid4().hex
    settings = {"results": str(results.resolve()), "mark": mark}
    with _killing_processes(mark):
        try:
            executed = papermill.execute_notebook(
                papermill_path(notebook), papermill_path(output), parameters=dict(parameters or {}),
                kernel_name="python3",
                kernel_manager_class=type("Kernel", (CurrentInterpreterKernel,), settings),
                cwd=folder.resolve(), progress_bar=False, execution_timeout=timeout,
                coalesce_streams=True, on_cell_start=on_cell_start,
            )  # fmt: skip
            if left := len(executed.cells) - len(started):
                error = f"SystemExit: the notebook ends here, before its last {left} cells"
        except PapermillExecutionError as raised:
            error = f"{raised.ename}: {raised.evalue}" if raised.evalue else raised.ename
        except CellTimeoutError:
            error = f"exceeded the cell timeout of {timeout} s; raise it with --timeout SECONDS"
        except DeadKernelError:
            error = "the kernel died, often for lack of memory"
        except Exception as raised:  # Such as an output that is no text, or a full disk.
            error = f"{type(raised).__name__}: {raised}"
    seconds = time.perf_counter() - start
    return seconds, None if error is None else _failure(started, error)


def _failure(started: list[nbformat.NotebookNode], error: str) -> Failure:
    # papermill's injected cell has no number in the notebook as written.
    number = sum("injected-parameters" not in cell.metadata.get("tags", []) for cell in started)
    first_line = started[-1].source.strip().partition("\n")[0] if started else ""
    return Failure(number, _printable(first_line, MAX_LINE), _printable(error, MAX_ERROR))


def _printable(text: str, length: int) -> str:
    """A text for a terminal: shortened, and without control characters but for line breaks."""
    more = f" ... ({len(text):,} characters)" if len(text) > length else ""
    return "\n".join(map(escape_nonprintable, text[:length].split("\n"))) + more


@contextmanager
def _killing_processes(mark: str) -> Iterator[None]:
    """Kill the processes that a kernel has started and left, also if this process is killed.

    Its end closes the standard input of a process that waits for that.
    """
    command = [sys.executable, "-c", WATCHER, MARK, mark]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    # In a session of its own, Ctrl-C and the end of the terminal do not reach it.
    watcher = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, **quiet)
    try:
        yield
    finally:
        watcher.communicate()

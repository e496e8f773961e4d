"""Read notebooks, whatever a file holds, and let papermill save them atomically."""

import json
import warnings
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from papermill.iorw import LocalHandler, papermill_io

from ordlib.utils.cache import atomic_write


def read_notebook(path: Path) -> NotebookNode:
    """Read a notebook of any format version as version 4.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no notebook, or a damaged one; the message names it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        # Cells without an identifier, or with that of another one, get a new one.
        with warnings.catch_warnings(action="ignore"):
            notebook = nbformat.reads(json.dumps(content), as_version=4)
        if not all(isinstance(cell.source, str) for cell in notebook.cells):
            raise TypeError("the source of a cell is no text")
    except OSError:
        raise
    except Exception as error:  # of any kind: the file may hold anything
        reason = str(error).strip().partition("\n")[0][:200]
        raise ValueError(
            f"{path}: is no notebook, or a damaged one ({type(error).__name__}: {reason}); restore "
            "it, for example with git"
        ) from error
    return notebook


class _AtomicHandler(LocalHandler):
    """Papermill's access to files: writes are atomic, and the working directory may be missing."""

    def read(self, path: str) -> str:
        return nbformat.writes(read_notebook(Path(path)))

    def write(self, buf: str, path: str) -> None:
        with atomic_write(path) as temporary:
            temporary.write_text(buf, encoding="utf-8")


def papermill_path(path: Path) -> str:
    """Absolute path under which papermill reads and writes a notebook atomically."""
    absolute = str(path.resolve())
    papermill_io.register(absolute, _AtomicHandler())
    return absolute

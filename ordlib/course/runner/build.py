"""From the text that people edit to the notebook that people read."""

import tempfile
from collections import Counter
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

from ordlib.course.runner import inline_results as numbers
from ordlib.course.runner import labs
from ordlib.course.runner.execute import Watch, execute
from ordlib.course.runner.strip_metadata import METADATA, clean
from ordlib.course.runner.thumbnails import first_picture
from ordlib.utils.cache import digest, replacing

# JupyterLab folds a cell by its metadata alone. Colab folds it by "cellView" too, but only
# if the code begins with a title, which is then what one sees of it.
SOLUTION_TITLE = "# @title Solution"
SOLUTION_METADATA = {"jupyter": {"source_hidden": True}, "cellView": "form"}


def build(source: str | Path) -> NotebookNode:
    """Make the notebook, not yet executed, from its text source.

    Args:
        source: file in the percent format, ``notebooks/source/NAME.py``.

    Returns:
        The notebook: magics are live, solution cells folded, and cell ids follow from
        the cells' content, so that they stay the same from build to build.
    """
    notebook = jupytext.read(source, fmt="py:percent")
    seen = Counter()
    for cell in notebook.cells:
        content = numbers.QUOTE.sub("", cell.source)
        seen[content] += 1
        cell.id = digest(cell.cell_type, content, seen[content])[:8]
        if cell.cell_type == "code" and labs.BEGIN in cell.source:
            cell.metadata.update(SOLUTION_METADATA)
            if not cell.source.startswith("# @title"):
                cell.source = f"{SOLUTION_TITLE}\n{cell.source}"
    notebook.metadata = nbformat.from_dict(METADATA)
    return notebook


def rebuild(source: Path, *, timeout: int | None = None, watch: Watch | None = None) -> list[Path]:
    """Execute a notebook with its committed defaults and refresh everything made from it.

    Args:
        source: ``notebooks/source/NAME.py``.
        timeout: seconds that one cell may take.
        watch: called with (number of the cell, number of cells) before each cell.

    Returns:
        What was written: the notebook, its results, its first picture, its lab, and the
        source if a number in its prose has changed.

    Raises:
        ValueError: when a cell fails (nothing is written then), or when prose quotes a
            number that the notebook does not save.
    """
    name, home = source.stem, source.parent.parent
    with tempfile.TemporaryDirectory() as holder:
        folder = Path(holder)
        executed, results = _executed(source, folder, timeout, watch)
    paths = [_write(home / "results" / f"{name}.json", results)]
    quoted = numbers.load_results(paths[0])
    before = source.read_text(encoding="utf-8")
    if wrong := numbers.unknown(before, quoted):
        raise ValueError(f"{source.name}: " + "; ".join(wrong) + ".")
    if (after := numbers.refresh(before, quoted)) != before:
        paths.append(_write(source, after))
    if picture := first_picture(executed):
        paths.append(_write(home / "results" / f"{name}.png", picture))
    notebook = _with_outputs(build(source), executed)
    paths.append(write_notebook(home / f"{name}.ipynb", clean(notebook)))
    paths.append(write_notebook(home / "labs" / f"{name}.ipynb", labs.make_lab(notebook, name)))
    return paths


def _executed(source: Path, folder: Path, timeout: int | None, watch: Watch | None):
    plain, done = folder / "plain.ipynb", folder / "done.ipynb"
    write_notebook(plain, build(source))
    more = {"watch": watch} if watch else {}
    _, failure = execute(
        plain, done, results=folder / "results", folder=folder, timeout=timeout, **more
    )
    if failure:
        raise ValueError(f"{source.name}, {failure}. Nothing was written; mend it and run again.")
    saved = folder / "results" / f"{source.stem}.json"
    results = saved.read_text(encoding="utf-8") if saved.is_file() else "{}\n"
    return nbformat.read(done, as_version=4), results


def _with_outputs(notebook: NotebookNode, executed: NotebookNode) -> NotebookNode:
    for cell, done in zip(notebook.cells, executed.cells, strict=True):
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = done.outputs, done.execution_count
    return notebook


def write_notebook(path: Path, notebook: NotebookNode) -> Path:
    """Write a notebook whole or not at all, after checking that it is a valid one.

    Args:
        path: final file.
        notebook: in format 4.

    Returns:
        The path.
    """
    nbformat.validate(notebook)
    return _write(path, nbformat.writes(notebook) + "\n")


def _write(path: Path, content: str | bytes) -> Path:
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    return path

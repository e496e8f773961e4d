"""From the text that people edit to the notebook that people read."""

import base64
import re
import tempfile
from collections import Counter
from collections.abc import Container
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_output

from ordlib.course.runner import inline_results as numbers
from ordlib.course.runner import labs
from ordlib.course.runner.execute import Watch, execute
from ordlib.utils.cache import atomic_write, content_hash

# JupyterLab folds a cell by its metadata alone. Colab folds it by "cellView" too, but only
# if the code begins with a title, which is then what one sees of it.
SOLUTION_TITLE = "# @title Solution"
SOLUTION_METADATA = {"jupyter": {"source_hidden": True}, "cellView": "form"}
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
CELL_METADATA = ("tags", "jupyter", "cellView")
WIDGET = "application/vnd.jupyter.widget-view+json"
WIDGET_NOTE = "An interactive widget: run this cell in JupyterLab or Colab to use it."
_PROGRESS = re.compile(r"\d+%\|.*\||\d+it \[")


def build(source: str | Path) -> NotebookNode:
    """Make the notebook, not yet executed, from ``notebooks/source/NAME.py``.

    Magics are live, solution cells folded, and cell ids follow from the cells' content, so
    that they stay the same from build to build.
    """
    notebook = jupytext.read(source, fmt="py:percent")
    seen = Counter()
    for cell in notebook.cells:
        content = numbers.QUOTE.sub("", cell.source)
        seen[content] += 1
        cell.id = content_hash(cell.cell_type, content, seen[content])[:8]
        if cell.cell_type == "code" and labs.BEGIN in cell.source:
            cell.metadata.update(SOLUTION_METADATA)
            if not cell.source.startswith("# @title"):
                cell.source = f"{SOLUTION_TITLE}\n{cell.source}"
    notebook.metadata = nbformat.from_dict(METADATA)
    return notebook


def rebuild(
    source: Path, *, timeout: int | None = None, watch: Watch = lambda cell, cells: None
) -> list[Path]:
    """Execute a notebook with its committed defaults and refresh everything made from it.

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
        plain = write_notebook(folder / "plain.ipynb", build(source))
        done, saved = folder / "done.ipynb", folder / "results" / f"{name}.json"
        how = {"results": saved.parent, "folder": folder, "timeout": timeout, "watch": watch}
        _, failure = execute(plain, done, **how)
        if failure:
            raise ValueError(
                f"{source.name}, {failure}. Nothing was written; mend it and run again."
            )
        executed = nbformat.read(done, as_version=4)
        results = saved.read_bytes() if saved.is_file() else b"{}\n"
    paths = [_write(home / "results" / f"{name}.json", results)]
    quoted = numbers.load_results(paths[0])
    before = source.read_text(encoding="utf-8")
    if wrong := numbers.unknown(before, quoted):
        raise ValueError(f"{source.name}: " + "; ".join(wrong) + ".")
    if (after := numbers.refresh(before, quoted)) != before:
        paths.append(_write(source, after.encode()))
    if picture := first_picture(executed):
        paths.append(_write(home / "results" / f"{name}.png", picture))
    notebook = build(source)
    for cell, ran in zip(notebook.cells, executed.cells, strict=True):
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = ran.outputs, ran.execution_count
    paths.append(write_notebook(home / f"{name}.ipynb", clean(notebook)))
    paths.append(write_notebook(home / "labs" / f"{name}.ipynb", labs.make_lab(notebook, name)))
    return paths


def write_notebook(path: Path, notebook: NotebookNode) -> Path:
    """Write a notebook whole or not at all, after checking that it is a valid one."""
    nbformat.validate(notebook)
    return _write(path, (nbformat.writes(notebook) + "\n").encode())


def _write(path: Path, content: bytes) -> Path:
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
    return path


def first_picture(notebook: NotebookNode) -> bytes | None:
    """Return the first PNG among the outputs of a notebook, or None."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                return base64.b64decode(output.data["image/png"])
    return None


def clean(notebook: NotebookNode) -> NotebookNode:
    """Take out, in place, what changes from run to run and tells nobody anything.

    Outputs and counts stay, without what papermill, timers or progress bars left. Widgets
    are replaced by a line that says so: their state would be as large as the notebook, named
    anew in each run, and without it GitHub refuses the page.
    """
    _keep(notebook.metadata, {*METADATA, "jupytext"})
    notebook.metadata.update(METADATA)
    for cell in notebook.cells:
        _keep(cell.metadata, CELL_METADATA)
        if cell.cell_type == "code":
            cell.outputs = [_calm(output) for output in cell.outputs if not _is_progress(output)]
    return notebook


def _keep(metadata: NotebookNode, fields: Container[str]) -> None:
    for field in set(metadata):
        if field not in fields:
            del metadata[field]


def _calm(output: NotebookNode) -> NotebookNode:
    if WIDGET not in output.get("data", {}):
        return output
    note = {"text/plain": WIDGET_NOTE, "text/markdown": f"*{WIDGET_NOTE}*"}
    return new_output("display_data", data=note)


def _is_progress(output: NotebookNode) -> bool:
    text = output.get("text") or output.get("data", {}).get("text/plain", "")
    bar = output.get("name") == "stderr" or WIDGET in output.get("data", {})
    return bar and bool(_PROGRESS.search(text))

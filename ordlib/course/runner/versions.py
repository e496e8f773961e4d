"""Derive from a source the notebook with exercises, its lab without outputs, and its solutions."""

import copy
import re

from nbformat import NotebookNode

# Tags of cells in the source: the solution of an exercise, and what solutions need to run.
SOLUTION, SHARED = "solution", "shared-with-solutions"
EXERCISE = re.compile(r"^### Exercise \d+ ", re.M)
LAB_NOTE = "> **This is the lab version**: outputs are left out, so that you can predict them."
SOLUTIONS_NOTE = (
    "> **These are the solutions** of the exercises in [{name}](../{name}.ipynb). Try them there "
    "first: the checks say what is wrong."
)


def has_tag(cell: NotebookNode, tag: str) -> bool:
    """Whether a cell has a tag."""
    return tag in cell.metadata.get("tags", [])


def make_notebook(source: NotebookNode, name: str) -> NotebookNode:
    """Return the notebook to read: without solutions, with a link to them at every exercise.

    Raises:
        ValueError: as many solution cells as exercises are needed.
    """
    notebook = copy.deepcopy(source)
    exercises = [cell for cell in notebook.cells if _is_exercise(cell)]
    num_solutions = sum(has_tag(cell, SOLUTION) for cell in notebook.cells)
    if len(exercises) != num_solutions:
        raise ValueError(
            f"{name}: {len(exercises)} exercises (### Exercise ...) and {num_solutions} cells "
            f"with the tag {SOLUTION!r}: write one for each"
        )
    notebook.cells = [cell for cell in notebook.cells if not has_tag(cell, SOLUTION)]
    for cell in exercises:
        cell.source += f"\n\n[Solution](solutions/{name}.ipynb)"
    return notebook


def make_lab(notebook: NotebookNode, name: str) -> NotebookNode:
    """Return a notebook without outputs and execution counts; the Colab badge opens the lab."""
    lab = copy.deepcopy(notebook)
    for cell in lab.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return _move(lab, name, "labs", LAB_NOTE)


def make_solutions(source: NotebookNode, name: str) -> NotebookNode:
    """Return a notebook of the exercises and their solutions, to be executed.

    It begins with the header, the set-up cell and the parameters; the cells that solutions need
    follow.
    """
    solutions = copy.deepcopy(source)
    solutions.cells = [
        cell
        for number, cell in enumerate(solutions.cells)
        if number < 3 or has_tag(cell, SHARED) or has_tag(cell, SOLUTION) or _is_exercise(cell)
    ]
    if solutions.cells and solutions.cells[0].cell_type == "markdown":
        lines = solutions.cells[0].source.splitlines()
        badge = [line for line in lines if "colab-badge" in line]
        solutions.cells[0].source = "\n\n".join([lines[0] + ": solutions", *badge])
    return _move(solutions, name, "solutions", SOLUTIONS_NOTE.format(name=name))


def _is_exercise(cell: NotebookNode) -> bool:
    return cell.cell_type == "markdown" and bool(EXERCISE.search(cell.source))


def _move(notebook: NotebookNode, name: str, folder: str, note: str) -> NotebookNode:
    """Adapt links to a folder beside the notebook, and add a note below the title."""
    kept = r"[\w-]+\.ipynb" if folder == "labs" else r"(?!)"  # there is a lab of every notebook
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _relink(cell.source, kept)
    if notebook.cells and notebook.cells[0].cell_type == "markdown":
        header = notebook.cells[0]
        text = header.source.replace(
            f"/notebooks/{name}.ipynb", f"/notebooks/{folder}/{name}.ipynb"
        )
        title, _, body = text.partition("\n")
        header.source = f"{title}\n\n{note}\n{body}"
    return notebook


def _relink(text: str, kept: str) -> str:
    """Prefix relative links with ``../``, except those that match a regular expression."""
    relative = rf"(\]\(|(?:src|href)=\")(?!\w+:|#|/|{kept})(?=[^)\"]+[)\"])"
    return re.sub(relative, r"\1../", text)

"""Student versions: the same notebook with its solutions and outputs out."""

import copy
import re
from functools import cache

from nbformat import NotebookNode

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
STUB = "...  # your code here"
NOTE = (
    "> **This is the lab version**: solutions and outputs are out, so that you can find your own."
)


def solution_lines(notebook: NotebookNode) -> set[str]:
    """Collect what students must not see.

    That is every stripped line between solution marks that says something (more than a
    bracket or a word) and stands nowhere else in the notebook.
    """
    inside, outside = set(), set()
    for cell in notebook.cells:
        hidden = False
        for line in map(str.strip, cell.source.splitlines()):
            hidden = (hidden or BEGIN in line) and END not in line
            (inside if hidden else outside).add(line)
    return {line for line in inside - outside if len(line) > 8}


def make_lab(notebook: NotebookNode, name: str) -> NotebookNode:
    """Make the version that students start from, without solutions, outputs and counts.

    A cell that is nothing but a solution is gone; a solution inside a cell has become a line
    to fill in. The notebook stays as it is; its name points the Colab badge at the lab.

    Raises:
        ValueError: when a solution is not closed, naming the notebook and the line.
    """
    lab = copy.deepcopy(notebook)
    solved = [BEGIN in cell.source for cell in lab.cells]
    try:
        lab, _ = _clear_solutions().preprocess(lab, {})
    except RuntimeError as error:
        raise ValueError(f"{name}: {error}: each '{BEGIN}' needs its '{END}'.") from error
    lab.cells = [
        cell for cell, was in zip(lab.cells, solved, strict=True) if not (was and _is_empty(cell))
    ]
    for cell in lab.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        else:
            cell.source = _one_folder_down(cell.source)
    if lab.cells and lab.cells[0].cell_type == "markdown":
        head = lab.cells[0]
        text = head.source.replace(f"/notebooks/{name}.ipynb", f"/notebooks/labs/{name}.ipynb")
        title, _, rest = text.partition("\n")
        head.source = f"{title}\n\n{NOTE}\n{rest}"
    lab.metadata["jupytext"] = {"formats": "ipynb"}  # a lab has no text source of its own
    return lab


@cache
def _clear_solutions():
    from nbgrader.preprocessors import ClearSolutions

    return ClearSolutions(enforce_metadata=False, code_stub={"python": STUB}, text_stub="")


def _is_empty(cell: NotebookNode) -> bool:
    """Tell whether nothing but comments and the stub is left."""
    if cell.cell_type == "markdown":
        return not cell.source.strip()
    lines = [line.strip() for line in cell.source.splitlines()]
    return all(not line or line.startswith("#") or line == STUB for line in lines)


def _one_folder_down(text: str) -> str:
    """Let relative links, but not those to neighbouring notebooks, reach what they did above."""
    stays = r"(?!\w+:|#|/|[\w-]+\.ipynb)"
    return re.sub(rf"(\]\(|(?:src|href)=\"){stays}(?=[^)\"]+[)\"])", r"\1../", text)

"""Generate lab notebooks without solutions and outputs (nbgrader)."""

import copy
import re

from nbformat import NotebookNode

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
STUB = "...  # your code here"
NOTE = (
    "> **This is the lab version**: solutions and outputs are out, so that you can find your own."
)


def solution_lines(notebook: NotebookNode) -> set[str]:
    """Return the stripped lines that a lab must not contain.

    These are the lines between solution markers that are longer than eight characters and do not
    occur elsewhere in the notebook.
    """
    inside, outside = set(), set()
    for cell in notebook.cells:
        hidden = False
        for line in map(str.strip, cell.source.splitlines()):
            hidden = (hidden or BEGIN in line) and END not in line
            (inside if hidden else outside).add(line)
    return {line for line in inside - outside if len(line) > 8}


def make_lab(notebook: NotebookNode, name: str) -> NotebookNode:
    """Return the lab version of a notebook: no solutions, outputs or execution counts.

    Cells that contain only a solution are removed; a solution within a cell is replaced by a
    stub. The Colab badge of the notebook ``name`` is pointed at the lab. A solution without end
    marker raises a ValueError.
    """
    from nbgrader.preprocessors import ClearSolutions

    clear = ClearSolutions(enforce_metadata=False, code_stub={"python": STUB}, text_stub="")
    lab = copy.deepcopy(notebook)
    has_solution = [BEGIN in cell.source for cell in lab.cells]
    try:
        lab, _ = clear.preprocess(lab, {})
    except RuntimeError as error:
        raise ValueError(f"{name}: {error}: each '{BEGIN}' needs its '{END}'.") from error
    cells = zip(lab.cells, has_solution, strict=True)
    lab.cells = [cell for cell, solved in cells if not (solved and _is_empty(cell))]
    for cell in lab.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        else:
            cell.source = _relink(cell.source)
    if lab.cells and lab.cells[0].cell_type == "markdown":
        header = lab.cells[0]
        text = header.source.replace(f"/notebooks/{name}.ipynb", f"/notebooks/labs/{name}.ipynb")
        title, _, body = text.partition("\n")
        header.source = f"{title}\n\n{NOTE}\n{body}"
    lab.metadata["jupytext"] = {"formats": "ipynb"}  # a lab has no paired source
    return lab


def _is_empty(cell: NotebookNode) -> bool:
    """Whether a cell contains only comments and the stub."""
    if cell.cell_type == "markdown":
        return not cell.source.strip()
    lines = [line.strip() for line in cell.source.splitlines()]
    return all(not line or line.startswith("#") or line == STUB for line in lines)


def _relink(text: str) -> str:
    """Prefix relative links with ``../``, except those to other notebooks."""
    excluded = r"(?!\w+:|#|/|[\w-]+\.ipynb)"
    return re.sub(rf"(\]\(|(?:src|href)=\"){excluded}(?=[^)\"]+[)\"])", r"\1../", text)

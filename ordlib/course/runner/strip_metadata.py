"""Taking out of an executed notebook what changes from run to run and tells nobody anything."""

import re

from nbformat import NotebookNode
from nbformat.v4 import new_output

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
CELL_METADATA = ("tags", "jupyter", "cellView")
WIDGET = "application/vnd.jupyter.widget-view+json"
WIDGET_NOTE = "An interactive widget: run this cell in JupyterLab or Colab to use it."
_PROGRESS = re.compile(r"\d+%\|.*\||\d+it \[")


def clean(notebook: NotebookNode) -> NotebookNode:
    """Keep outputs and counts, and nothing that papermill, timers or widgets left.

    Widgets are replaced by a line that says so: their state would be as large as the
    notebook, named anew in each run, and without it GitHub refuses the page.

    Args:
        notebook: changed in place.

    Returns:
        The same notebook.
    """
    for field in list(notebook.metadata):
        if field not in METADATA and field != "jupytext":
            del notebook.metadata[field]
    notebook.metadata.update(METADATA)
    for cell in notebook.cells:
        for field in list(cell.metadata):
            if field not in CELL_METADATA:
                del cell.metadata[field]
        if cell.cell_type == "code":
            cell.outputs = [_calm(output) for output in cell.outputs if not _is_progress(output)]
    return notebook


def _calm(output: NotebookNode) -> NotebookNode:
    if WIDGET not in output.get("data", {}):
        return output
    note = {"text/plain": WIDGET_NOTE, "text/markdown": f"*{WIDGET_NOTE}*"}
    return new_output("display_data", data=note)


def _is_progress(output: NotebookNode) -> bool:
    text = output.get("text") or output.get("data", {}).get("text/plain", "")
    bar = output.get("name") == "stderr" or WIDGET in output.get("data", {})
    return bar and bool(_PROGRESS.search(text))

"""Chapters of the site: the executed notebooks, and an overview of them."""

import re
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path

from nbformat import NotebookNode

from ordlib.course.runner.build import add_alt_text
from ordlib.course.runner.index_page import BADGE, read_header
from ordlib.course.runner.inline_results import MARKER
from ordlib.course.runner.notebook_files import read_notebook

# Titles of the folded cells before the first output, by tag.
FOLDED = {"parameters": "Parameters", "shared-with-solutions": "Imports"}


def chapter(file: Path, resolve_links: Callable[[str], str]) -> NotebookNode:
    """Return a notebook as the site shows it: no image from the network, an alt text for each."""
    notebook = read_notebook(file)
    markdown = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    for cell in markdown:
        text = BADGE.sub(r"[Open in Colab](\1)", MARKER.sub("", cell.source))
        cell.source = resolve_links(text)
    add_alt_text(notebook)  # from captions, by now without markers
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code:
        for image in _images(cell):
            cell.metadata["mystnb"] = {"image": {"alt": image.metadata["image/png"]["alt"]}}
    for cell in takewhile(lambda cell: not cell.outputs, code):
        title = next(
            (FOLDED[tag] for tag in cell.metadata.get("tags", []) if tag in FOLDED), "Set-up"
        )
        cell.metadata["mystnb"] = {"code_prompt_show": title, "code_prompt_hide": title}
        cell.metadata["tags"] = ["hide-input"]
    if file.parent.name == "solutions":
        # No search finds a solution before its exercise.
        notebook.metadata |= {"orphan": True, "nosearch": True}
        for cell in markdown:  # below the title there, below a section in the notebook
            cell.source = cell.source.replace("### Exercise", "## Exercise")
    return notebook


def _images(cell: NotebookNode) -> list[NotebookNode]:
    return [output for output in cell.outputs if "image/png" in output.get("data", {})]


def course_index(notebooks: list[Path]) -> str:
    """Return a tile for each notebook, with its first figure, what it teaches and its links."""
    return "::::{container} tiles\n" + "".join(map(_tile, notebooks)) + "::::\n"


def _tile(file: Path) -> str:
    notebook = chapter(file, lambda text: text)
    header = read_header(read_notebook(file), {})
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    figure = next(image for cell in cells for image in _images(cell))
    page = f"chapters/{file.name}"
    alt = figure.metadata["image/png"]["alt"].replace("[", r"\[").replace("]", r"\]")
    badge = re.search(r"\[Open in Colab\]\((.*?)\)", notebook.cells[0].source)[1]
    lab = badge.replace("/notebooks/", "/notebooks/labs/")
    return f""":::{{container}} tile
[![{alt}](chapters/results/{file.stem}.png)]({page})

**[{header["number"]} {header["title"]}]({page})**

After this you can {header["purpose"]}

Open in Colab: [notebook]({badge}), [lab without outputs]({lab}).
Read the [solutions](chapters/solutions/{file.name}).
:::
"""

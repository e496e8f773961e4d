"""Split an executed notebook into the blocks that slides are made of."""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nbformat import NotebookNode

from ..runner.inline_results import MARKER, update_inline_results
from ..runner.versions import EXERCISE

SECTION_WITH_CODE, LAST_SECTION = "Build it", "What to take away"
CHOICE = "Your choice: "  # what widgets.choose shows where there are no widgets
MAX_CODE_LINES = 20
QUESTION = re.compile(r"\*\*Before you [^*:]*:\*\*\s*")

_NOT_SHOWN = re.compile(r"<details>.*?</details>|```.*?```", re.S)
_CAPTION = re.compile(r"\*(?!\*)[^*].*(?<!\*)\*", re.S)
_ITEM = re.compile(r"(?:[*-]|\d+\.) ")


@dataclass(frozen=True)
class Block:
    """A paragraph of Markdown or an output; ``kind`` is the name of a method of ``Deck``."""

    kind: str
    text: str


def read_blocks(notebook: NotebookNode, results: Mapping[str, float]) -> Iterator[Block]:
    """Yield the blocks between the header and the end of "What to take away".

    Exercises with their checks, folded answers and code blocks in the text are left out. Inline
    results are updated, and lose their markers.
    """
    is_check, section = False, ""
    for cell in notebook.cells[1:]:
        if cell.cell_type == "code":
            if not is_check:
                yield from _code_blocks(cell, section)
            is_check = False
            continue
        text = MARKER.sub("", update_inline_results(cell.source, results))
        exercise = EXERCISE.search(text)
        is_check = bool(exercise)
        text = _NOT_SHOWN.sub("", text[: exercise.start()] if exercise else text)
        yield Block("begin_cell", "")
        for paragraph in filter(None, map(str.strip, re.split(r"\n\s*\n", text))):
            if paragraph.startswith("#"):
                if section == LAST_SECTION:
                    return
                section = paragraph.lstrip("# ")
            yield from _markdown_blocks(paragraph)
        yield Block("end_cell", "")


def _markdown_blocks(text: str) -> Iterator[Block]:
    if text.startswith("#"):
        yield Block("heading", text)
    elif QUESTION.search(text):
        yield Block("question", text)
    elif _CAPTION.fullmatch(text):
        yield Block("caption", text.strip("*"))
    elif text.startswith("|"):
        yield Block("markdown_table", text)
    elif _ITEM.match(text):
        yield Block("items", text)
    else:
        for number, part in enumerate(text.split("$$")):
            if part.strip():
                yield Block("formula" if number % 2 else "paragraph", part.strip())


def _code_blocks(cell: NotebookNode, section: str) -> Iterator[Block]:
    if section == SECTION_WITH_CODE:
        yield from (Block("code", code) for code in definitions(cell.source))
    outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    has_shown = False
    for data in (output.get("data", {}) for output in outputs):
        if "image/png" in data:
            yield Block("figure", data["image/png"])
        elif "<table" in data.get("text/html", ""):
            yield Block("table", data["text/html"])
        else:
            continue
        has_shown = True
    for output in outputs:
        text = output.get("text") or output.get("data", {}).get("text/plain", "")
        if text.startswith(CHOICE):
            yield Block("options", text)
        elif text and not has_shown and output.output_type != "display_data":
            yield Block("printed", text)


def definitions(code: str) -> list[str]:
    """Return the functions and classes of a cell that have at most twenty lines.

    Example:
        >>> definitions("def f(x):\\n    return 2 * x\\n\\n\\nprint(f(1))")
        ['def f(x):\\n    return 2 * x']
    """
    nodes = [n for n in ast.parse(code).body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    sources = [ast.get_source_segment(code, node) for node in nodes]
    return [source for source in sources if source.count("\n") < MAX_CODE_LINES]

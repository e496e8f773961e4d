"""The page one looks at after a run: a card for each notebook."""

import os
import platform
import re
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import jinja2
import nbformat
from nbformat import NotebookNode

from ordlib.course.runner import inline_results as numbers
from ordlib.course.runner.html_export import write_page
from ordlib.course.runner.run import COURSE_BUDGET, NOTEBOOK_BUDGET, Outcome
from ordlib.course.runner.thumbnails import thumbnail
from ordlib.utils.cache import replacing

HEADLINES = 4


def write_index(outcomes: Sequence[Outcome], seconds: float, output: Path) -> Path:
    """Write ``index.html``, and beside it a page for each notebook that ran.

    Args:
        outcomes: what became of each notebook.
        seconds: that all of them took together.
        output: the folder of the run.

    Returns:
        The path of the index.
    """
    template = files("ordlib.course.runner").joinpath("index.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    html = environment.from_string(template).render(
        cards=[_card(outcome, output) for outcome in outcomes],
        passed=sum(outcome.status == "ok" for outcome in outcomes),
        seconds=seconds,
        notebook_budget=NOTEBOOK_BUDGET,
        course_budget=COURSE_BUDGET,
        when=datetime.now().astimezone().strftime("%d %B %Y, %H:%M").lstrip("0"),
        machine=f"Python {platform.python_version()}, torch {version('torch')}, "
        f"{platform.system()}, {os.cpu_count()} CPU cores",
    )
    index = Path(output) / "index.html"
    with replacing(index) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return index


def _card(outcome: Outcome, output: Path) -> dict[str, object]:
    card = {"outcome": outcome, "title": outcome.name, "number": "", "headlines": []}
    if outcome.executed is None:
        notebook = nbformat.read(outcome.source, as_version=4)
        return card | _heading(notebook)
    notebook = nbformat.read(outcome.executed, as_version=4)
    page, home = Path(output) / f"{outcome.name}.html", outcome.source.parent
    card["page"] = write_page(outcome.executed, page, home, outcome.results).name
    card["thumbnail"] = thumbnail(notebook)
    card["headlines"] = headlines(notebook, outcome.results)
    return card | _heading(notebook)


def _heading(notebook: NotebookNode) -> dict[str, str]:
    """Read number, title and purpose from the first cell that has a title."""
    for cell in notebook.cells:
        title = re.search(r"^# (?:(\d+)\W+)?(.+)$", cell.source, re.M)
        if cell.cell_type == "markdown" and title:
            can = re.search(r"(?si)after this you can(.+?)(?:\n\n|\Z)", cell.source)
            plain = " ".join(re.sub(r"[`*]", "", can[1]).split()) if can else ""
            return {"number": title[1] or "", "title": title[2], "purpose": plain.strip(" :")}
    return {}


def headlines(notebook: NotebookNode, results: dict[str, float]) -> list[tuple[str, str]]:
    """Choose the numbers worth a card: those that the last text with numbers quotes.

    That is the notebook's own summary, where it has one.

    Args:
        notebook: executed notebook.
        results: the numbers that this run saved.

    Returns:
        At most four pairs of name and number, printed as the text prints it; the first
        results if the text quotes none.

    Example:
        >>> cell = nbformat.v4.new_markdown_cell("An MAE of 9.9<!--=ridge.mae--> stars.")
        >>> headlines(nbformat.v4.new_notebook(cells=[cell]), {"a": 1, "ridge.mae": 2.345})
        [('ridge mae', '2.3')]
    """
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    prose = next((text for text in reversed(texts) if numbers.QUOTE.search(text)), "")
    fresh = numbers.refresh(prose, results)
    quoted = {
        match["key"]: match["number"] + (match["percent"] or match["after"] or "")
        for match in reversed(list(numbers.QUOTE.finditer(fresh)))
        if match["key"] in results
    }
    quoted = dict(reversed(quoted.items())) or {key: f"{results[key]:.3g}" for key in results}
    named = [(re.sub(r"[._]+", " ", key), shown) for key, shown in quoted.items()]
    return named[:HEADLINES]

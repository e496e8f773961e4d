"""The pages one looks at after a run: a card for each notebook, and the notebook behind it."""

import base64
import io
import mimetypes
import os
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import jinja2
import nbformat
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from PIL import Image

from ordlib.course.runner import inline_results as numbers
from ordlib.course.runner.build import clean, first_picture
from ordlib.course.runner.run import COURSE_BUDGET, NOTEBOOK_BUDGET, Outcome
from ordlib.utils.cache import atomic_write

HEADLINES = 4
THUMBNAIL = (640, 360)  # pixels, at twice the size it is shown
_BADGE = re.compile(r"\[!\[Open in Colab\]\([^)]*\)\]\(([^)]*)\)")
# A relative link, in Markdown or HTML.
_LINK = re.compile(r"(?P<before>\]\(|\b(?:src|href)=\")(?!\w[\w+.-]*:|#|/)(?P<target>[^)\"\s]+)")


def write_index(outcomes: Sequence[Outcome], seconds: float, output: Path) -> Path:
    """Write ``index.html`` into a run's folder, and beside it a page for each notebook that ran.

    The seconds are those that all notebooks took together.
    """
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    html = environment.from_string(_template("index.html")).render(
        cards=[_card(outcome, output) for outcome in outcomes],
        passed=sum(outcome.status == "ok" for outcome in outcomes),
        seconds=seconds,
        notebook_budget=NOTEBOOK_BUDGET,
        course_budget=COURSE_BUDGET,
        when=datetime.now().astimezone().strftime("%d %B %Y, %H:%M").lstrip("0"),
        machine=f"Python {platform.python_version()}, torch {version('torch')}, "
        f"{platform.system()}, {os.cpu_count()} CPU cores",
    )
    return _write(Path(output) / "index.html", html)


def _template(name: str) -> str:
    return files("ordlib.course.runner").joinpath(name).read_text(encoding="utf-8")


def _write(page: Path, html: str) -> Path:
    with atomic_write(page) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return page


def _card(outcome: Outcome, output: Path) -> dict[str, object]:
    card = {"outcome": outcome, "title": outcome.name, "number": "", "headlines": []}
    notebook = nbformat.read(outcome.executed or outcome.source, as_version=4)
    if outcome.executed is not None:
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


def thumbnail(notebook: NotebookNode) -> str:
    """Shrink the first picture that a notebook shows to a data address; empty without one."""
    content = first_picture(notebook)
    if content is None:
        return ""
    picture = Image.open(io.BytesIO(content))
    picture.thumbnail(THUMBNAIL)
    small = io.BytesIO()
    picture.save(small, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(small.getvalue()).decode()


def headlines(notebook: NotebookNode, results: dict[str, float]) -> list[tuple[str, str]]:
    """Choose at most four numbers for a card: those that the last text with numbers quotes.

    That is the notebook's own summary, where it has one; else the first results.

    Example:
        >>> cell = nbformat.v4.new_markdown_cell("An MAE of 9.9<!--=ridge.mae--> stars.")
        >>> headlines(nbformat.v4.new_notebook(cells=[cell]), {"a": 1, "ridge.mae": 2.345})
        [('ridge mae', '2.3')]
    """
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    prose = next((text for text in reversed(texts) if numbers.QUOTE.search(text)), "")
    quoted = {}
    for match in numbers.QUOTE.finditer(numbers.refresh(prose, results)):
        if match["key"] in results:
            shown = match["number"] + (match["percent"] or match["after"] or "")
            quoted.setdefault(match["key"], shown)
    quoted = quoted or {key: f"{results[key]:.3g}" for key in results}
    named = [(re.sub(r"[._]+", " ", key), shown) for key, shown in quoted.items()]
    return named[:HEADLINES]


def write_page(executed: Path, page: Path, home: Path, results: Mapping[str, float]) -> Path:
    """Write a notebook as a self-contained page; only formulas need the net, for MathJax.

    Its text quotes the numbers of this run, and its links lead from its home in the project.
    """
    notebook = clean(nbformat.read(executed, as_version=4))
    prose = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    for cell in prose:
        text = _BADGE.sub(r"[Open in Colab](\1)", numbers.refresh(cell.source, results))
        cell.source = _LINK.sub(lambda link: _from_page(link, home, page), text)
    resources = {
        "has_formulas": any("$" in cell.source for cell in prose),
        "metadata": {"name": executed.stem},
    }
    html, _ = HTMLExporter(raw_template=_template("page.html")).from_notebook_node(
        notebook, resources
    )
    return _write(page, html)


def _from_page(link: re.Match, home: Path, page: Path) -> str:
    """Embed a picture, lead to another notebook's page, or lead back into the project.

    nbconvert's own ``embed_images`` closes a ``<details>`` before what it folds.
    """
    target, hash_, anchor = link["target"].partition("#")
    file = home / target
    kind = mimetypes.guess_type(target)[0] or ""
    if kind.startswith("image/") and file.is_file():
        target = f"data:{kind};base64,{base64.b64encode(file.read_bytes()).decode()}"
    elif re.fullmatch(r"[\w-]+\.ipynb", target):
        target = target.replace(".ipynb", ".html")
    else:
        target = Path(os.path.relpath(file, page.parent)).as_posix()
    return link["before"] + target + hash_ + anchor

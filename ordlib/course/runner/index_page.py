"""HTML index of a course run, and the export of notebooks to standalone HTML."""

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

from ordlib.course.runner.build import first_image, strip_metadata, write_file
from ordlib.course.runner.inline_results import INLINE_RESULT, update_inline_results
from ordlib.course.runner.run import COURSE_BUDGET, NOTEBOOK_BUDGET, NotebookRun

MAX_HEADLINES = 4
THUMBNAIL_SIZE = (640, 360)  # pixels, twice the displayed size
_BADGE = re.compile(r"\[!\[Open in Colab\]\([^)]*\)\]\(([^)]*)\)")
# A relative link, in Markdown or HTML.
_LINK = re.compile(r"(?P<before>\]\(|\b(?:src|href)=\")(?!\w[\w+.-]*:|#|/)(?P<target>[^)\"\s]+)")


def write_index(runs: Sequence[NotebookRun], seconds: float, output: Path) -> Path:
    """Write ``index.html`` and a page per executed notebook to the output folder of a run.

    ``seconds`` is the wall-clock time of the whole run.
    """
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    html = environment.from_string(_template("index.html")).render(
        cards=[_card(run, output) for run in runs],
        passed=sum(run.status == "ok" for run in runs),
        seconds=seconds,
        notebook_budget=NOTEBOOK_BUDGET,
        course_budget=COURSE_BUDGET,
        when=datetime.now().astimezone().strftime("%d %B %Y, %H:%M").lstrip("0"),
        machine=f"Python {platform.python_version()}, torch {version('torch')}, "
        f"{platform.system()}, {os.cpu_count()} CPU cores",
    )
    return write_file(Path(output) / "index.html", html.encode())


def _template(name: str) -> str:
    return files("ordlib.course.runner").joinpath(name).read_text(encoding="utf-8")


def _card(run: NotebookRun, output: Path) -> dict[str, object]:
    card = {"outcome": run, "title": run.name, "number": "", "headlines": []}
    notebook = nbformat.read(run.executed or run.source, as_version=4)
    if run.executed is not None:
        page, folder = Path(output) / f"{run.name}.html", run.source.parent
        card["page"] = write_page(run.executed, page, folder, run.results).name
        card["thumbnail"] = thumbnail(notebook)
        card["headlines"] = headlines(notebook, run.results)
    return card | _heading(notebook)


def _heading(notebook: NotebookNode) -> dict[str, str]:
    """Return number, title and learning goal from the first cell with a title."""
    for cell in notebook.cells:
        title = re.search(r"^# (?:(\d+)\W+)?(.+)$", cell.source, re.M)
        if cell.cell_type == "markdown" and title:
            goal = re.search(r"(?si)after this you can(.+?)(?:\n\n|\Z)", cell.source)
            plain = " ".join(re.sub(r"[`*]", "", goal[1]).split()) if goal else ""
            return {"number": title[1] or "", "title": title[2], "purpose": plain.strip(" :")}
    return {}


def thumbnail(notebook: NotebookNode) -> str:
    """Return the first image of a notebook, downscaled, as a data URL; empty without one."""
    content = first_image(notebook)
    if content is None:
        return ""
    image = Image.open(io.BytesIO(content))
    image.thumbnail(THUMBNAIL_SIZE)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def headlines(notebook: NotebookNode, results: Mapping[str, float]) -> list[tuple[str, str]]:
    """Return up to four headline results: those quoted in the last cell with inline results.

    Without inline results, the first results.

    Example:
        >>> cell = nbformat.v4.new_markdown_cell("An MAE of 9.9<!--=ridge.mae--> stars.")
        >>> headlines(nbformat.v4.new_notebook(cells=[cell]), {"a": 1, "ridge.mae": 2.345})
        [('ridge mae', '2.3')]
    """
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    text = next((text for text in reversed(texts) if INLINE_RESULT.search(text)), "")
    quoted = {}
    for match in INLINE_RESULT.finditer(update_inline_results(text, results)):
        if match["key"] in results:
            number = match["number"] + (match["percent"] or match["after"] or "")
            quoted.setdefault(match["key"], number)
    quoted = quoted or {key: f"{results[key]:.3g}" for key in results}
    named = [(re.sub(r"[._]+", " ", key), number) for key, number in quoted.items()]
    return named[:MAX_HEADLINES]


def write_page(executed: Path, page: Path, folder: Path, results: Mapping[str, float]) -> Path:
    """Export a notebook to standalone HTML; only MathJax is loaded from the network.

    Inline results are updated to those of this run; relative links are resolved against
    ``folder``, the notebook's folder in the project.
    """
    notebook = strip_metadata(nbformat.read(executed, as_version=4))
    markdown = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    for cell in markdown:
        text = _BADGE.sub(r"[Open in Colab](\1)", update_inline_results(cell.source, results))
        cell.source = _LINK.sub(lambda link: _relink(link, folder, page), text)
    has_formulas = any("$" in cell.source for cell in markdown)
    resources = {"has_formulas": has_formulas, "metadata": {"name": executed.stem}}
    exporter = HTMLExporter(raw_template=_template("page.html"))
    html, _ = exporter.from_notebook_node(notebook, resources)
    return write_file(page, html.encode())


def _relink(link: re.Match, folder: Path, page: Path) -> str:
    """Embed an image, link to another notebook's page, or link to a file of the project.

    nbconvert's own ``embed_images`` breaks folded ``<details>``.
    """
    target, hash_, anchor = link["target"].partition("#")
    file = folder / target
    mime_type = mimetypes.guess_type(target)[0] or ""
    if mime_type.startswith("image/") and file.is_file():
        target = f"data:{mime_type};base64,{base64.b64encode(file.read_bytes()).decode()}"
    elif re.fullmatch(r"[\w-]+\.ipynb", target):
        target = target.replace(".ipynb", ".html")
    else:
        target = Path(os.path.relpath(file, page.parent)).as_posix()
    return link["before"] + target + hash_ + anchor

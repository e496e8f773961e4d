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
from latex2mathml.converter import convert as latex_to_mathml
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from PIL import Image

from ordlib.course.runner.build import add_alt_text, first_image, strip_metadata, write_file
from ordlib.course.runner.inline_results import MARKER, update_inline_results
from ordlib.course.runner.notebook_files import read_notebook
from ordlib.course.runner.run import COURSE_BUDGET, NOTEBOOK_BUDGET, NotebookRun

THUMBNAIL_SIZE = (640, 360)  # pixels, twice the displayed size
BADGE = re.compile(r"\[!\[Open in Colab\]\([^)]*\)\]\(([^)]*)\)")
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
    card = {"outcome": run, "title": run.name, "number": ""}
    try:
        notebook = read_notebook(run.executed or run.source)
    except (OSError, ValueError):  # The failure of the run says why.
        return card
    if run.executed is not None:
        page, folder = Path(output) / f"{run.name}.html", run.source.parent
        card["page"] = write_page(run.executed, page, folder, run.results).name
        card["thumbnail"] = thumbnail(notebook)
    return card | read_header(notebook, run.results)


def read_header(notebook: NotebookNode, results: Mapping[str, float]) -> dict[str, str]:
    """Return number, title, findings and learning goal from the first cell with a title.

    The numbers of the findings are those of the run.
    """
    for cell in notebook.cells:
        title = re.search(r"^# (?:(\d+)\W+)?(.+)$", cell.source, re.M)
        if cell.cell_type == "markdown" and title:
            text = MARKER.sub("", update_inline_results(cell.source, results))
            return {
                "number": title[1] or "",
                "title": title[2],
                "findings": _paragraph(text, r"\*\*What you will find out\.\*\*"),
                "purpose": _paragraph(text, "(?i)after this you can"),
            }
    return {}


def _paragraph(text: str, beginning: str) -> str:
    """Return what follows a beginning up to the end of the paragraph, as plain text."""
    found = re.search(rf"{beginning}(?s:(.+?))(?:\n\n|\Z)", text)
    return " ".join(re.sub(r"[`*]", "", found[1]).split()).strip(" :") if found else ""


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


def write_page(executed: Path, page: Path, folder: Path, results: Mapping[str, float]) -> Path:
    """Export a notebook to HTML that needs no network, with formulas as MathML.

    Inline results are updated to those of this run; relative links are resolved against
    ``folder``, the notebook's folder in the project.
    """
    notebook = add_alt_text(strip_metadata(read_notebook(executed)))
    markdown = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    for cell in markdown:
        text = BADGE.sub(r"[Open in Colab](\1)", update_inline_results(cell.source, results))
        cell.source = resolve_links(text, folder, page)
    exporter = HTMLExporter(raw_template=_template("page.html"))
    exporter.register_filter("markdown2html", markdown_to_html)
    html, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": executed.stem}})
    return write_file(page, html.encode())


def formula_to_mathml(latex: str, display: str = "inline") -> str:
    """Convert LaTeX to MathML, which a browser renders without a script."""
    # latex2mathml leaves a command after \Big as it stands.
    return latex_to_mathml(latex.replace(r"\|", "‖"), display=display)


class _MathMLRenderer(IPythonRenderer):
    """nbconvert's renderer of Markdown, with formulas as MathML instead of MathJax's LaTeX."""

    def block_math(self, body: str) -> str:
        return formula_to_mathml(body, display="block")

    def inline_math(self, body: str) -> str:
        return formula_to_mathml(body)


def markdown_to_html(source: str) -> str:
    """Render Markdown as nbconvert does, with formulas as MathML."""
    return MarkdownWithMath(renderer=_MathMLRenderer(escape=False)).render(source)


def resolve_links(text: str, folder: Path, page: Path) -> str:
    """Resolve the relative links of Markdown in a folder for a page, and embed its images."""
    return _LINK.sub(lambda link: _relink(link, folder, page), text)


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

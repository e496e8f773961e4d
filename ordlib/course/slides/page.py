"""Slides of an executed notebook, as one HTML file that needs no network.

nbconvert's ``SlidesExporter`` is not used: its pages load reveal.js, jQuery, RequireJS and MathJax
from content delivery networks, it takes the slides from ``slideshow`` metadata of the cells, which
these notebooks do not have, and it shows whole cells, which are several screens long. The page here
scrolls from slide to slide by CSS, with a few lines of JavaScript for the keys and for text that
does not fit; formulas and links are rendered as on the pages of the notebooks.
"""

import re
from importlib.resources import files
from pathlib import Path

import jinja2
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from ..runner.build import strip_metadata, write_file
from ..runner.index_page import markdown_to_html, resolve_links
from ..runner.inline_results import load_notebook_results
from ..runner.notebook_files import read_notebook
from .deck import make_slides

# In every page of slides, and in no page of a notebook.
MARK = b"scroll-snap-type: y mandatory"


def write_slides(executed: Path, output: Path) -> Path:
    """Write the slides of an executed notebook to NAME.html in a folder.

    Inline results are those of ``results/NAME.json`` beside the notebook.

    Raises:
        ValueError: the notebook has no outputs.
    """
    notebook = strip_metadata(read_notebook(executed))
    results = load_notebook_results(executed.parent / "results" / f"{executed.stem}.json")
    try:
        slides = make_slides(notebook, results)
    except ValueError as error:
        raise ValueError(f"{executed}: {error}.") from error
    page = output / f"{executed.stem}.html"
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "markdown": lambda text: markdown_to_html(resolve_links(text, executed.parent, page)),
        "inline": lambda text: re.sub(r"</?p>\n?", "", markdown_to_html(text)),
        "plain": lambda text: re.sub(r"[*`]", "", text),
        "python": lambda code: highlight(code, PythonLexer(), HtmlFormatter(noclasses=True)),
    }
    template = files("ordlib.course.slides").joinpath("slides.html").read_text(encoding="utf-8")
    if page.exists() and MARK not in page.read_bytes():
        raise ValueError(
            f"{page}: is not from `ordlib course slides` and would be overwritten; pass another "
            "folder, such as build/slides"
        )
    html = environment.from_string(template).render(slides=slides)
    return write_file(page, html.encode())

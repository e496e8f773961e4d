"""One executed notebook as one HTML file that opens from disk."""

import base64
import mimetypes
import os
import re
from collections.abc import Mapping
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter

from ordlib.course.runner import inline_results as numbers
from ordlib.course.runner.strip_metadata import clean
from ordlib.utils.cache import replacing

_BADGE = re.compile(r"\[!\[Open in Colab\]\([^)]*\)\]\(([^)]*)\)")
# A relative link, in Markdown or HTML.
_LINK = re.compile(r"(?P<before>\]\(|\b(?:src|href)=\")(?!\w[\w+.-]*:|#|/)(?P<target>[^)\"\s]+)")

# nbconvert's page, less the scripts it would fetch (require.js, Mermaid, widgets), with
# solutions folded and MathJax only where there are formulas.
_TEMPLATE = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}
{%- if resources.has_formulas -%}{{ super() }}{%- endif -%}
{%- endblock -%}
{%- block html_head_css -%}
<style>
main { max-width: 60rem; margin: 0 auto; padding: 0 1rem 4rem; }
.ordlib-back { display: block; padding: 1rem 0 0; font: 14px system-ui, sans-serif; }
.ordlib-fold > summary { cursor: pointer; padding: .4rem .8rem; margin-left: 5.5rem;
  font: 14px system-ui, sans-serif; color: #46618c; }
.jp-RenderedImage img, .jp-RenderedMarkdown img { max-width: 100%; height: auto; }
</style>
{%- endblock -%}
{%- block body_header -%}
{{ super() }}<a class="ordlib-back" href="index.html">&larr; All notebooks</a>
{%- endblock -%}
{%- block input_group -%}
{%- if cell.metadata.get('jupyter', {}).get('source_hidden') -%}
<details class="ordlib-fold"><summary>Show the solution</summary>{{ super() }}</details>
{%- else -%}{{ super() }}{%- endif -%}
{%- endblock -%}
"""


def write_page(executed: Path, page: Path, home: Path, results: Mapping[str, float]) -> Path:
    """Write a notebook as a self-contained page; only formulas need the net, for MathJax.

    Args:
        executed: executed notebook.
        page: HTML file to write.
        home: folder of the notebook in the project, from which its links lead.
        results: the numbers of this run, which the text then quotes.

    Returns:
        The page's path.
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
    html, _ = HTMLExporter(raw_template=_TEMPLATE).from_notebook_node(notebook, resources)
    with replacing(page) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return page


def _from_page(link: re.Match, home: Path, page: Path) -> str:
    """Embed a picture, lead to another notebook's page, or lead back into the project."""
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

"""One executed notebook as one HTML file that opens from disk."""

from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from nbformat import NotebookNode

from ordlib.course.cleaning import clean

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


def write_page(notebook: Path, page: Path) -> Path:
    """Write a notebook as a self-contained page; only formulas need the net, for MathJax.

    Args:
        notebook: executed notebook.
        page: HTML file to write.

    Returns:
        The page's path.
    """
    content = clean(nbformat.read(notebook, as_version=4))
    exporter = HTMLExporter(raw_template=_TEMPLATE, embed_images=True, theme="light")
    resources = {
        "has_formulas": _has_formulas(content),
        "metadata": {"name": notebook.stem, "path": str(notebook.parent)},
    }
    html, _ = exporter.from_notebook_node(content, resources)
    page.write_text(html, encoding="utf-8")
    return page


def _has_formulas(notebook: NotebookNode) -> bool:
    return any("$" in cell.source for cell in notebook.cells if cell.cell_type == "markdown")

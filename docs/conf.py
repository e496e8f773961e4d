"""Settings of Sphinx; build_site.py says what it reads."""

import re
from importlib import import_module

from docutils import nodes
from sphinx.application import Sphinx

import ordlib
from ordlib.course.runner.index_page import formula_to_mathml

project = "ordlib"
version = release = ordlib.__version__
copyright = "the authors of ordlib, MIT license"  # noqa: A001
extensions = [
    *("myst_nb", "sphinx_copybutton"),
    *("sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"),
]
exclude_patterns = ["generated"]  # included by other pages
nitpicky = True
# Types of other packages, whose inventories are on the network, and of annotations; and `names` that
# are no objects, which are shown as code.
nitpick_ignore_regex = [(r"py:class", r"(?!ordlib\.).*"), (r"py:obj", r".*")]
default_role = "py:obj"

myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_ipywidgets_js = {}  # scripts from the network; the notebooks have notes instead of widgets
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autosummary_generate = False
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_maximum_signature_line_length = 80
copybutton_prompt_text = ">>> |\\.\\.\\. "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "pydata_sphinx_theme"
html_title = "ordlib"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_math_renderer = "mathml"
html_theme_options = {
    "footer_start": ["copyright"],
    "footer_end": [],
    "header_links_before_dropdown": 5,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
}


def setup(app: Sphinx) -> None:
    """Render formulas as MathML, which needs no script."""
    app.add_html_math_renderer("mathml", (_inline, None), (_displayed, None))


def _inline(translator, node: nodes.math) -> None:
    translator.body.append(formula_to_mathml(node.astext()))
    raise nodes.SkipNode


def _displayed(translator, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="math">{formula_to_mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode

"""Settings of Sphinx; build_site.py says what it reads."""

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.nodes import make_refnode

import ordlib
from ordlib.course.runner.index_page import formula_to_mathml

project = "ordlib"
version = release = ordlib.__version__
copyright = "the authors of ordlib, MIT license"
extensions = [
    *("myst_nb", "sphinx_copybutton"),
    *("sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"),
]
exclude_patterns = ["generated"]  # included by other pages
nitpicky = True
# Types of other packages, whose inventories are on the network, and of annotations; `names` that
# are no objects are shown as code.
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
toc_object_entries_show_parents = "hide"
python_maximum_signature_line_length = 80
copybutton_prompt_text = ">>> |\\.\\.\\. "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "pydata_sphinx_theme"
html_title = "ordlib"
# Only the course and the API have pages below them.
html_sidebars = {
    path.stem: [] for path in Path(__file__).parent.glob("*.md") if path.stem != "course"
}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_context = {"default_mode": "auto"}
html_copy_source = False
html_math_renderer = "mathml"
html_theme_options = {
    "footer_start": ["copyright"],
    "footer_end": [],
    "header_links_before_dropdown": 7,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
}


def setup(app: Sphinx) -> None:
    """Render formulas as MathML, which needs no script, and resolve names without their module."""
    app.add_html_math_renderer("mathml", (_inline, None), (_displayed, None))
    app.connect("missing-reference", _resolve_by_last_part)


def _inline(translator, node: nodes.math) -> None:
    translator.body.append(formula_to_mathml(node.astext()))
    raise nodes.SkipNode


def _displayed(translator, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="math">{formula_to_mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def _resolve_by_last_part(app, env, node, content) -> nodes.reference | None:
    """Resolve a class or function that a docstring names as in its own module."""
    if node.get("refdomain") != "py":
        return None
    # Of a method, its class: the module is not the one that a public class is imported from.
    target = ".".join(node["reftarget"].split(".")[-2:])
    matches = env.domains["py"].find_obj(env, None, None, target, node["reftype"], 1)
    found = {
        (entry.docname, entry.node_id): name
        for name, entry in matches
        if "." in target or entry.objtype in ("class", "function")
    }
    if len(found) != 1:
        return None
    [((page, anchor), name)] = found.items()
    return make_refnode(app.builder, node["refdoc"], page, anchor, content, name)

"""Build the site: chapters from the executed notebooks, API reference, data sets, guides.

    python docs/build_site.py [OUTPUT]

Sphinx reads a copy of this folder, with the generated pages in it, and every warning is an error.
"""

import os
import re
import shutil
import sys
from pathlib import Path

import api_pages
import dataset_tables
import matplotlib
import nbformat
from chapters import chapter, course_index

from ordlib.course.runner.repo_url import repository

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
WORK = ROOT / "build" / "sphinx"
# A relative link, in Markdown or HTML.
LINK = re.compile(r"(?P<before>\]\(|\b(?:src|href)=\")(?!\w[\w+.-]*:|#|/)(?P<target>[^)\"#\s]+)")


def pages() -> dict[Path, Path]:
    """Where each file of the repository that is part of the site lies in Sphinx's sources."""
    notebooks = ROOT / "notebooks"
    chapters = sorted((*notebooks.glob("*.ipynb"), *notebooks.glob("solutions/*.ipynb")))
    files = [*chapters, *sorted(notebooks.glob("results/*.png"))]
    guides = sorted((*DOCS.glob("*.md"), *DOCS.glob("*.rst")))
    places = {path: "chapters" / path.relative_to(notebooks) for path in files}
    return {path: Path(path.name) for path in guides} | places


def resolve_links(text: str, file: Path) -> str:
    """Point the relative links of a file to pages of the site, else to the repository.

    Raises:
        ValueError: a link leads nowhere; names the file and the link.
    """
    return LINK.sub(lambda link: link["before"] + _resolve(link["target"], file), text)


def _resolve(target: str, file: Path) -> str:
    linked, places = Path(os.path.normpath(file.parent / target)), pages()
    if linked in places:
        return Path(os.path.relpath(places[linked], places[file].parent)).as_posix()
    if not linked.exists() or not linked.is_relative_to(ROOT):
        raise ValueError(f"{file.relative_to(ROOT)}: the link {target!r} leads nowhere")
    kind = "tree" if linked.is_dir() else "blob"
    return f"{repository(ROOT)}/{kind}/main/{linked.relative_to(ROOT).as_posix()}"


def write_sources(folder: Path) -> None:
    """Write everything that Sphinx reads to an empty folder."""
    for name in ("_static", "examples"):
        shutil.copytree(DOCS / name, folder / name)
    for name in ("STIXGeneral.ttf", "LICENSE_STIX"):
        shutil.copy(Path(matplotlib.get_data_path(), "fonts", "ttf", name), folder / "_static")
    shutil.copy(DOCS / "conf.py", folder)
    for file, place in pages().items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        _write_page(file, folder / place)
    generated = {
        "generated/chapters.md": course_index(sorted((ROOT / "notebooks").glob("*.ipynb"))),
        "generated/rendered.md": dataset_tables.rendered_tasks(),
        "generated/published.md": dataset_tables.published_datasets(),
        **api_pages.api_pages(),
    }
    for name, text in generated.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, "utf-8")


def _write_page(file: Path, page: Path) -> None:
    if file.suffix == ".ipynb":
        nbformat.write(chapter(file, lambda text: resolve_links(text, file)), page)
    elif file.suffix == ".png":
        shutil.copy(file, page)
    else:
        page.write_text(resolve_links(file.read_text("utf-8"), file), "utf-8")


def build(output: Path, work: Path = WORK) -> int:
    """Build the site from scratch and return Sphinx's exit code."""
    from sphinx.cmd.build import build_main

    source, doctrees = work / "source", work / "doctrees"
    for folder in (source, doctrees, output):
        shutil.rmtree(folder, ignore_errors=True)
    write_sources(source)
    options = ("--quiet", "--fail-on-warning", "--keep-going", "--doctree-dir", str(doctrees))
    return build_main([*options, "--builder", "html", str(source), str(output)])


if __name__ == "__main__":
    sys.exit(build(Path(*sys.argv[1:2] or [ROOT / "build" / "site"]).absolute()))

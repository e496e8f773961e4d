"""The page of the slides needs no network, and every slide fits on the screen."""

import json
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from typer.testing import CliRunner

from ordlib.cli import app
from ordlib.course.slides.page import write_slides

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
NOTEBOOKS = sorted((Path(__file__).parents[3] / "notebooks").glob("*.ipynb"))
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)
# Kind, size of the text in pixels, and whether something is outside of the slide, for each slide.
MEASURE = """<script>addEventListener("load", () => {
  const found = [...document.querySelectorAll("section")].map(section => {
    const box = section.querySelector(".slide").getBoundingClientRect();
    const fit = section.querySelector(".fit");
    const isOutside = [...section.querySelectorAll(".slide *:not(br, wbr)")].some(element => {
      const inner = element.getBoundingClientRect();
      return inner.left < box.left - 1 || inner.right > box.right + 1
        || inner.bottom > box.bottom + 1;
    }) || (fit && fit.scrollHeight > fit.clientHeight);
    return [section.className, fit ? 16 * parseFloat(fit.style.fontSize) : 24, isOutside];
  });
  document.body.textContent = "measured " + JSON.stringify(found);
});</script>"""


class Page(HTMLParser):
    """Tags of a page, and its text without code and scripts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags, self.text, self.skipped = [], "", ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.skipped = self.skipped or (tag if tag in ("pre", "code", "script", "style") else "")

    def handle_endtag(self, tag):
        self.skipped = "" if tag == self.skipped else self.skipped

    def handle_data(self, data):
        self.text += "" if self.skipped else data

    def handle_comment(self, data):
        self.text += f"<!--{data}-->"


def loaded(page: Page) -> list[str]:
    """Addresses that a browser fetches to show a page; what is linked is not among them."""
    sources = [
        attrs.get(key, "") for _, attrs in page.tags for key in ("src", "srcset", "data", "poster")
    ]
    return [*filter(None, sources), *(a["href"] for tag, a in page.tags if tag == "link")]


def test_write_slides_needs_no_network(tmp_path):
    cells = [
        new_markdown_cell("# 07 · Ties <b>"),
        new_code_cell("plot()", outputs=[new_output("display_data", {"image/png": PIXEL})]),
        new_markdown_cell(
            '*Figure 1. "A" & $\\frac12$.*\n\n## *More*\n\nSee [01](01_vanilla_clip.ipynb) and '
            "[it](https://example.org). It is 9<!--=mae-->:\n\n$$a \\Big\\| b$$"
        ),
    ]
    nbformat.write(new_notebook(cells=cells), tmp_path / "07_ties.ipynb")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "07_ties.json").write_text('{"mae": 3}')
    path = write_slides(tmp_path / "07_ties.ipynb", tmp_path / "slides")
    assert [file.name for file in (tmp_path / "slides").iterdir()] == ["07_ties.html"]
    page, html = Page(path), path.read_text("utf-8")
    assert sum(tag == "section" for tag, _ in page.tags) == 3
    assert loaded(page) == [f"data:image/png;base64,{PIXEL}"]
    assert "url(" not in html
    assert "@import" not in html
    links = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    assert links == ["01_vanilla_clip.html", "https://example.org"]
    assert "<mfrac><mn>1</mn><mn>2</mn></mfrac>" in html
    assert ">‖</mo>" in html
    assert "<h2><em>More</em></h2>" in html
    assert "It is 3:" in page.text


@pytest.mark.parametrize("content", ["", "<html>a page</html>", "{}", "\udcff"])
def test_write_slides_replaces_only_slides(tmp_path, content):
    cell = new_code_cell("plot()", outputs=[new_output("display_data", {"image/png": PIXEL})])
    notebook = new_notebook(cells=[new_markdown_cell("# 07 · Ties"), cell])
    nbformat.write(notebook, tmp_path / "07_ties.ipynb")
    page = tmp_path / "out" / "07_ties.html"
    page.parent.mkdir()
    page.write_text(content, errors="surrogateescape")
    before = page.read_bytes()
    with pytest.raises(ValueError, match=r"07_ties\.html: is not from `ordlib course slides`"):
        write_slides(tmp_path / "07_ties.ipynb", page.parent)
    assert page.read_bytes() == before
    page.unlink()
    for _ in range(2):
        assert write_slides(tmp_path / "07_ties.ipynb", page.parent) == page


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The folder with the slides of all notebooks, written by the command."""
    output = tmp_path_factory.mktemp("slides")
    options = ["--output", str(output), "--notebooks", str(NOTEBOOKS[0].parent)]
    result = CliRunner().invoke(app, ["course", "slides", *options])
    assert result.exit_code == 0, result.output
    return output


def test_slides_writes_one_file_for_each_notebook(course):
    assert sorted(path.stem for path in course.iterdir()) == [path.stem for path in NOTEBOOKS]


def test_slides_rejects_notebooks_without_outputs(tmp_path):
    options = ["--output", str(tmp_path), "--notebooks", str(NOTEBOOKS[0].parent / "labs")]
    result = CliRunner().invoke(app, ["course", "slides", "00", *options])
    assert result.exit_code == 1
    assert "00_start_here.ipynb: has no outputs: run it first." in result.output


@pytest.mark.parametrize("name", [path.stem for path in NOTEBOOKS])
def test_slides_of_the_course_are_rendered(course, name):
    page = Page(course / f"{name}.html")
    assert all(address.startswith("data:image/") for address in loaded(page))
    for markup in ("<!--", "*", "$", "\\", "](", "<table", "&amp;"):
        assert markup not in page.text, page.text[page.text.index(markup) - 80 :][:160]


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason="needs Chromium")
@pytest.mark.parametrize("name", [path.stem for path in NOTEBOOKS])
def test_slides_of_the_course_fit_on_the_screen(course, name, tmp_path):
    html = (course / f"{name}.html").read_text("utf-8")
    (tmp_path / "page.html").write_text(html.replace("</body>", f"{MEASURE}</body>"), "utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    options += ["--disable-background-networking", "--disable-component-update", "--disable-quic"]
    options += [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1280,720", "--dump-dom"]
    command = [BROWSER, *options, (tmp_path / "page.html").as_uri()]
    dumped = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    slides = json.loads(unescape(re.search(r"measured (\[.*\])", dumped)[1]))
    assert [number for number, slide in enumerate(slides, start=1) if slide[2]] == []
    small = [number for number, (kind, size, _) in enumerate(slides, start=1)
             if size < (20 if kind == "code" else 24)]  # fmt: skip
    assert small == []

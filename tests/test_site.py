"""The site: built without a warning, its links and anchors, formulas, alt texts and search."""

import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import lab_browser
import pytest

ROOT = Path(__file__).parents[1]
DOCS, PACKAGES = ROOT / "docs", ROOT / "build" / "sphinx" / "packages"
# Attributes that make a browser load something at once, beside links that it may follow.
LOADED = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "src")}
NOT_LOADED = {"canonical", "prev", "next", "search", "index"}  # relations of <link>


class Page(HTMLParser):
    """Anchors, links, loaded files and images of a page."""

    def __init__(self, html: str):
        super().__init__()
        self.anchors, self.links, self.loaded, self.images = set(), [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.anchors |= {attributes[name] for name in ("id", "name") if attributes.get(name)}
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])
        for name in ("src", "href"):
            relations = set((attributes.get("rel") or "").split())
            if (tag, name) in LOADED and name in attributes and not relations & NOT_LOADED:
                self.loaded.append(attributes[name])
        if tag == "img":
            self.images.append((attributes.get("src"), attributes.get("alt")))


def broken_links(site: Path, pages: dict[Path, Page]) -> list[str]:
    """Links between pages, and files that they load, without a file or an anchor."""
    broken = []
    for path, page in pages.items():
        for link in (*page.links, *page.loaded):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            anchor = unquote(parts.fragment)
            missing = not target.is_file() or not target.is_relative_to(site)
            if missing or (anchor and target in pages and anchor not in pages[target].anchors):
                broken.append(f"{path.relative_to(site)}: {link}")
    return broken


def test_broken_links_finds_files_and_anchors(tmp_path):
    (tmp_path / "b.html").write_text(b := '<p id="here"><a href="a.html#top">')
    (tmp_path / "a.html").write_text(
        a := '<a href="b.html#here"><a href="b.html#gone"><a href="c.html"><img src="d.png">'
    )
    pages = {tmp_path / "a.html": Page(a), tmp_path / "b.html": Page(b)}
    assert broken_links(tmp_path, pages) == [
        *("a.html: b.html#gone", "a.html: c.html", "a.html: d.png", "b.html: a.html#top")
    ]


def test_sources_have_a_page_for_every_public_name(tmp_path, monkeypatch):
    """Generated pages need no Sphinx."""
    monkeypatch.syspath_prepend(str(DOCS))
    import build_site

    import ordlib

    build_site.write_sources(tmp_path)
    for name in ordlib.__all__:
        assert (tmp_path / "api" / f"ordlib.{name}.rst").is_file()
    published = (tmp_path / "generated" / "published.md").read_text("utf-8")
    for dataset in ordlib.list_published()["name"]:
        assert f'load_published("{dataset}"' in published
    notebook = (tmp_path / "chapters" / "02_numclip.ipynb").read_text("utf-8")
    assert "colab-badge.svg" not in notebook
    assert "<!--=" not in notebook
    with pytest.raises(ValueError, match=r"teaching\.md: the link 'gone\.md' leads nowhere"):
        build_site.resolve_links("[a](gone.md)", DOCS / "teaching.md")


@pytest.fixture(scope="module")
def environment():
    """The environment of `make site`, for a subprocess."""
    if not (PACKAGES / "ready").is_file() and not find_spec("sphinx"):
        pytest.skip("no Sphinx: `make site` installs it")
    paths = [str(PACKAGES), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


@pytest.fixture(scope="module")
def site(environment, tmp_path_factory):
    """The folder of a newly built site; a warning of Sphinx is an error."""
    folder = tmp_path_factory.mktemp("site").resolve()
    command = [sys.executable, str(DOCS / "build_site.py"), str(folder / "html")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return folder / "html"


@pytest.fixture(scope="module")
def pages(site):
    paths = [path for path in site.rglob("*.html") if "_static" not in path.parts]
    return {path: Page(path.read_text("utf-8")) for path in paths}


@pytest.mark.slow
def test_links_and_anchors_resolve(site, pages):
    assert len(pages) > 60
    assert broken_links(site, pages) == []


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(pages):
    loaded = {url for page in pages.values() for url in page.loaded}
    assert [url for url in loaded if urlsplit(url).netloc] == []


@pytest.mark.slow
def test_pages_of_docs_are_reachable_from_the_first(site, pages):
    first = {urlsplit(link).path for link in pages[site / "index.html"].links}
    names = {path.stem for path in (*DOCS.glob("*.md"), *DOCS.glob("*.rst"))}
    assert {f"{name}.html" for name in names - {"index"}} <= first


@pytest.mark.slow
def test_figures_have_alt_texts(site, pages):
    for path, page in pages.items():
        bad = [src for src, alt in page.images if not alt or alt == src or alt.endswith(".png")]
        assert bad == [], path
    assert len(pages[site / "chapters" / "02_numclip.html"].images) == 8


@pytest.mark.slow
def test_formulas_are_mathml(site):
    html = (site / "chapters" / "02_numclip.html").read_text("utf-8")
    assert html.count('<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">') == 6
    assert 'class="math notranslate' not in html  # LaTeX for a script
    assert "\\lambda" not in html


@pytest.mark.slow
def test_search_finds_methods_but_no_solutions(site):
    text = (site / "searchindex.js").read_text("utf-8")
    index = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))
    numbers = set()
    for kind in ("terms", "titleterms"):
        found = index[kind]["rankform"]  # the stem of RankFormer
        numbers |= {found} if isinstance(found, int) else set(found)
    names = {index["docnames"][number] for number in numbers}
    assert {"chapters/02_numclip", "chapters/03_rankformer", "api/ordlib.RankFormer"} <= names
    assert "chapters/solutions/03_rankformer" not in names


@pytest.mark.slow
@pytest.mark.skipif(bool(lab_browser.missing()), reason=f"needs {lab_browser.missing()}")
def test_pages_fit_a_phone_and_a_laptop_without_network(site, tmp_path):
    names = ["index", "course", "chapters/02_numclip", "api/ordlib.NumCLIP", "datasets", "recipes"]
    with lab_browser.chromium(tmp_path) as driver:
        for width in (1280, 400):
            size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 600}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            for name in names:
                driver.get((site / f"{name}.html").as_uri())
                extent, small, lost = driver.execute_script(
                    "return [document.documentElement.scrollWidth,"
                    "[...document.querySelectorAll('math')].filter(m => !m.clientHeight"
                    " && !m.getBoundingClientRect().height && m.checkVisibility()).length,"
                    "[...document.images].filter(i => i.complete && !i.naturalWidth).length]"
                )
                assert extent <= width, f"{name} is {extent} pixels wide on {width}"
                assert (small, lost) == (0, 0), name
                errors = [e for e in driver.get_log("browser") if e["level"] == "SEVERE"]
                assert errors == [], name

"""The page shows the pictures in their order, and nothing in a name or a sentence harms it."""

import base64
import io
import os
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ordlib.ranking import Ranking
from ordlib.ranking.html import write_gallery

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
COLOURS = {"red": (230, 0, 0), "lime": (0, 230, 0), "blue": (0, 0, 230), "pink": (230, 0, 230)}
ORDER = ["blue", "pink", "red", "lime"]
ATTACK = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


class Page(HTMLParser):
    """What a browser finds in a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.words = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def ranking(paths, **changes) -> Ranking:
    table = pd.DataFrame({"rank": range(1, len(paths) + 1), "path": [os.fspath(p) for p in paths]})
    table["score"] = np.linspace(2, -1, len(paths))
    given = {"prompt": "the number of stars", "table": table, "is_descending": True}
    given |= {"total": len(paths), "num_ood": 0, "skipped": {}, "ignored": 0, "task": None}
    given |= {"unit": None, "component": "ranking-adapter", "trained_on": "rendered pictures."}
    return Ranking(**given | changes)


def read(path: Path) -> Page:
    return Page(path.read_text("utf-8"))


@pytest.fixture
def paths(tmp_path):
    for name, colour in COLOURS.items():
        Image.new("RGB", (600, 400), colour).save(tmp_path / f"{name}.png")
    return [tmp_path / f"{name}.png" for name in ORDER]


def test_pictures_lie_in_the_page_in_order_and_it_needs_nothing_else(paths, tmp_path):
    page = read(write_gallery(ranking(paths), tmp_path / "sub" / "out.html"))
    shown = page.all("img")
    assert [img["alt"] for img in shown] == [f"Rank {i + 1}: {n}.png" for i, n in enumerate(ORDER)]
    for img, name in zip(shown, ORDER, strict=True):
        kind, _, content = img["src"].partition(",")
        assert kind == "data:image/jpeg;base64"
        picture = Image.open(io.BytesIO(base64.b64decode(content)))
        assert picture.size == (256, 171)
        np.testing.assert_allclose(picture.getpixel((99, 99)), COLOURS[name], atol=4)
    assert "the number of stars" in page.words
    assert "Highest score" in page.words
    assert [attrs["style"] for attrs in page.all("i")][:4:3] == ["width:100.0%", "width:0.0%"]
    # It needs nothing else, and nothing else is left behind.
    assert not page.all("script")
    assert not page.all("link")
    sources = [attrs[key] for _, attrs in page.tags for key in ("src", "href") if key in attrs]
    assert all(source.startswith("data:") for source in sources)
    assert "url(" not in (tmp_path / "sub" / "out.html").read_text("utf-8")
    assert os.listdir(tmp_path / "sub") == ["out.html"]


def test_no_name_and_no_sentence_writes_html(paths, tmp_path):
    hostile = tmp_path / f"{ATTACK.replace('/', '')}\n.png"
    shutil.copy(paths[0], hostile)
    skipped = {ATTACK: f"is {ATTACK}", "bad\udcff.png": "is missing"}
    words = {"prompt": ATTACK + "$count <!-- pictures -->", "component": ATTACK, "unit": ATTACK}
    words |= {"num_ood": 1, "trained_on": ATTACK, "skipped": skipped, "task": "counting"}
    result = ranking([hostile, tmp_path / "gone.png"], **words)
    table = result.table.assign(value=[1.0, 2.0], ood_score=[0.5, 2.0])
    page = read(write_gallery(replace(result, table=table), tmp_path / "o.html"))
    assert not page.all("script")
    assert [img["src"][:16] for img in page.all("img")] == ["data:image/jpeg;"]
    assert all("onerror" not in attrs for _, attrs in page.tags)
    assert f"{ATTACK}$count <!-- pictures -->" in page.words
    assert "1.0 " + ATTACK in page.words
    assert "bad\\udcff.png is missing" in page.words
    assert "cannot be read any more" in page.words
    assert page.words.count("unlike training") == 1
    assert "do not trust this order" in page.words


def test_one_picture_alone(paths, tmp_path):
    Image.new("L", (10, 20)).save(paths[0])
    page = read(write_gallery(ranking(paths[:1]), tmp_path / "out.html"))
    assert page.all("i") == [{"style": "width:100.0%"}]
    picture = page.all("img")[0]["src"].partition(",")[2]
    assert Image.open(io.BytesIO(base64.b64decode(picture))).size == (10, 20)


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason="no Chromium here")
def test_a_browser_shows_the_pictures_in_order(paths, tmp_path):
    page = write_gallery(ranking(paths), tmp_path / "out.html")
    shot = tmp_path / "shot.png"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    options += ["--disable-background-networking", "--disable-component-update", "--disable-quic"]
    options += [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1000,800"]
    command = [BROWSER, *options, f"--screenshot={shot}", page.as_uri()]
    subprocess.run(command, capture_output=True, timeout=60, check=True)
    pixels = np.asarray(Image.open(shot).convert("RGB")).astype(int)
    places = {}
    for name, colour in COLOURS.items():
        rows, columns = np.nonzero((np.abs(pixels - colour) < 12).all(2))
        assert len(rows) > 5000, f"{name} is not to be seen"
        places[name] = (np.median(rows) // 100, np.median(columns))
    assert sorted(places, key=places.get) == ORDER

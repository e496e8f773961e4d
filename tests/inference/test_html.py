"""The HTML page shows the images in order, and no name or prompt can inject HTML."""

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

from ordlib.inference import Ranking
from ordlib.inference.html import write_gallery

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
COLORS = {"red": (230, 0, 0), "lime": (0, 230, 0), "blue": (0, 0, 230), "pink": (230, 0, 230)}
ORDER = ["blue", "pink", "red", "lime"]
ATTACK = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


class Page(HTMLParser):
    """Tags and text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def make_ranking(paths, **changes) -> Ranking:
    table = pd.DataFrame({"rank": range(1, len(paths) + 1), "path": [os.fspath(p) for p in paths]})
    table["score"] = np.linspace(2, -1, len(paths))
    fields = {"prompt": "the number of stars", "table": table, "is_descending": True}
    fields |= {"total": len(paths), "num_ood": 0, "skipped": {}, "ignored": 0, "task": None}
    fields |= {"unit": None, "model": "ranking-adapter", "training_data": "rendered images"}
    return Ranking(**fields | changes)


def embedded(img: dict) -> Image.Image:
    kind, _, content = img["src"].partition(",")
    assert kind == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


@pytest.fixture
def paths(tmp_path):
    for name, color in COLORS.items():
        Image.new("RGB", (600, 400), color).save(tmp_path / f"{name}.png")
    return [tmp_path / f"{name}.png" for name in ORDER]


def test_write_gallery_embeds_images_in_order(paths, tmp_path):
    page = Page(write_gallery(make_ranking(paths), tmp_path / "sub" / "out.html"))
    shown = page.all("img")
    assert [img["alt"] for img in shown] == [f"Rank {i + 1}: {n}.png" for i, n in enumerate(ORDER)]
    for img, name in zip(shown, ORDER, strict=True):
        image = embedded(img)
        assert image.size == (256, 171)
        np.testing.assert_allclose(image.getpixel((99, 99)), COLORS[name], atol=4)
    assert "the number of stars" in page.text
    assert "Highest score" in page.text
    assert [attrs["style"] for attrs in page.all("i")][:4:3] == ["width:100.0%", "width:0.0%"]
    # The page is self-contained, and no other file remains.
    assert not page.all("script")
    assert not page.all("link")
    sources = [attrs[key] for _, attrs in page.tags for key in ("src", "href") if key in attrs]
    assert all(source.startswith("data:") for source in sources)
    assert "url(" not in (tmp_path / "sub" / "out.html").read_text("utf-8")
    assert os.listdir(tmp_path / "sub") == ["out.html"]


def test_write_gallery_escapes_names_and_prompts(paths, tmp_path):
    hostile = tmp_path / f"{ATTACK.replace('/', '')}\n.png"
    shutil.copy(paths[0], hostile)
    skipped = {ATTACK: f"is {ATTACK}", "bad\udcff.png": "is missing"}
    texts = {"prompt": ATTACK + "$count <!-- images -->", "model": ATTACK, "unit": ATTACK}
    texts |= {"num_ood": 1, "training_data": ATTACK, "skipped": skipped, "task": "counting"}
    result = make_ranking([hostile, tmp_path / "gone.png"], **texts)
    table = result.table.assign(value=[1.0, 2.0], ood_score=[0.5, 2.0])
    page = Page(write_gallery(replace(result, table=table), tmp_path / "o.html"))
    assert not page.all("script")
    assert [img["src"][:16] for img in page.all("img")] == ["data:image/jpeg;"]
    assert all("onerror" not in attrs for _, attrs in page.tags)
    assert f"{ATTACK}$count <!-- images -->" in page.text
    assert "1.0 " + ATTACK in page.text
    assert "bad\\udcff.png is missing" in page.text
    assert "cannot be read any more" in page.text
    assert page.text.count("out of distribution") == 1
    assert "do not trust this order" in page.text


def test_write_gallery_keeps_small_images(paths, tmp_path):
    Image.new("L", (10, 20)).save(paths[0])
    page = Page(write_gallery(make_ranking(paths[:1]), tmp_path / "out.html"))
    assert page.all("i") == [{"style": "width:100.0%"}]
    assert embedded(page.all("img")[0]).size == (10, 20)


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason="needs Chromium")
def test_write_gallery_in_a_browser(paths, tmp_path):
    page = write_gallery(make_ranking(paths), tmp_path / "out.html")
    shot = tmp_path / "shot.png"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    options += ["--disable-background-networking", "--disable-component-update", "--disable-quic"]
    options += [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1000,800"]
    command = [BROWSER, *options, f"--screenshot={shot}", page.as_uri()]
    subprocess.run(command, capture_output=True, timeout=60, check=True)
    pixels = np.asarray(Image.open(shot).convert("RGB")).astype(int)
    positions = {}
    for name, color in COLORS.items():
        rows, columns = np.nonzero((np.abs(pixels - color) < 12).all(2))
        assert len(rows) > 5000, f"{name} is not visible"
        positions[name] = (np.median(rows) // 100, np.median(columns))
    assert sorted(positions, key=positions.get) == ORDER

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from ipywidgets import Button, Dropdown, IntSlider, Text

from ordlib.clip import load_clip
from ordlib.course import widgets
from ordlib.course.widgets import rankings
from ordlib.data import ImageData
from ordlib.methods.ranking_adapter.model import RankingAdapter
from ordlib.tasks import load_task

COUNTING, DATING = load_task("counting"), load_task("dating")
WORDINGS = {"dating": ["photo of three"], "counting": ["one {plural}", "two {colour}", "three"]}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def adapter(tiny_clip_folder):
    clip = load_clip(tiny_clip_folder, device="cpu")
    return RankingAdapter(clip, [DATING, COUNTING], wordings=WORDINGS)


@pytest.fixture
def data(pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path))
    records = pd.DataFrame({"plural": ["stars", "photos"] * 3 + ["stars"]})
    return ImageData(
        task=COUNTING, images=np.stack(pictures), values=np.arange(1.0, 8), records=records,
        key="seven", split="val",
    )  # fmt: skip


def drawn(figure):
    """What stands above the pictures: score and label."""
    (ax,) = figure.axes
    return [text.get_text() for text in ax.texts]


def title(figure):
    return figure.axes[0].get_title(loc="left")


def one_by_one(adapter, data, prompts, rows):
    found = {
        row: adapter.scores(data.subset([row]), prompt)[0]
        for row, prompt in zip(rows, prompts, strict=True)
    }
    return [f"{found[row]:+.2f} ({row + 1})" for row in sorted(found, key=found.get)]


def test_the_pictures_that_were_asked_for_stand_in_the_order_of_their_scores(adapter, data):
    rows = [5, 0, 3, 6]
    figure = widgets.ranking_figure(adapter, data, "  one\n star ", rows)
    assert drawn(figure) == one_by_one(adapter, data, ["one star"] * 4, rows)
    assert title(figure).startswith('"one star"\nthe lowest score first')
    lowest = int(drawn(figure)[0].split("(")[1][0]) - 1
    sheet = figure.axes[0].images[0].get_array()
    assert np.array_equal(sheet[16:80, :64], data.images[lowest])


def test_braces_give_each_picture_a_sentence_of_its_own(adapter, data):
    figure = widgets.ranking_figure(adapter, data, "one {plural}", [0, 1, 2])
    own = ["one stars", "one photos", "one stars"]
    assert drawn(figure) == one_by_one(adapter, data, own, [0, 1, 2])


def test_pictures_of_other_shapes_and_sentences_with_dollars(adapter, data):
    wide = [np.zeros((70, 90, 3), np.uint8), *data.images[1:]]
    figure = widgets.ranking_figure(
        adapter,
        data.__class__(**{**vars(data), "images": wide, "key": "w"}),
        "$5 and $ star",
        [0, 1],
    )
    figure.canvas.draw()
    assert len(drawn(figure)) == 2
    assert len(title(widgets.ranking_figure(adapter, data, "star " * 15, [0])).split("\n")[0]) < 75


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (" \n", "the sentence is empty"),
        ("star " * 100, "Shorten it"),
        ("two {colour}", "no column 'colour'"),
        ("star {", "braces stand for a column of the records: "),
        ("star {plural:>9}", "braces stand for a column"),
    ],
)
def test_ranking_figure_refuses(adapter, data, prompt, message):
    with pytest.raises(ValueError, match=message):
        widgets.ranking_figure(adapter, data, prompt, [0, 1])
    assert not plt.get_fignums()


def parts(box):
    menu, text, row, _ = box.children
    return menu, text, *row.children


def test_explorer_offers_what_fits_and_follows_menu_box_slider_and_button(
    adapter, data, monkeypatch
):
    seen = []
    monkeypatch.setattr(
        rankings, "ranking_figure", lambda a, d, prompt, rows: seen.append((prompt, list(rows)))
    )
    menu, text, count, others, draws = parts(widgets.explore_ranking(adapter, data))
    kinds = (Dropdown, Text, IntSlider, Button)
    assert all(isinstance(*pair) for pair in zip((menu, text, count, others), kinds, strict=True))
    # The pictures' own task comes first, and records have no colour.
    assert list(menu.options) == ["one {plural}", "three", "photo of three"]
    assert not text.continuous_update
    assert not count.continuous_update
    assert draws.layout.display == "none"
    menu.value = "photo of three"
    text.value = "cats"
    count.value = 3
    others.click()
    assert [prompt for prompt, _ in seen] == [
        "one {plural}",
        "photo of three",
        "cats",
        "cats",
        "cats",
    ]
    assert [len(set(rows)) for _, rows in seen] == [7, 7, 7, 3, 3]
    assert seen[3][1] == seen[2][1][:3]
    assert seen[4][1] != seen[3][1]


def test_explorer_of_two_pictures_without_fitting_sentences(adapter, data, monkeypatch):
    monkeypatch.setattr(rankings, "ranking_figure", lambda *given: None)
    bare = RankingAdapter(adapter.clip, COUNTING, wordings={"counting": ["two {colour}"]})
    menu, _, count, *_ = parts(widgets.explore_ranking(bare, data.subset([0, 1])))
    assert list(menu.options) == ["Rank by counting."]
    assert (count.min, count.value, count.max) == (2, 2, 2)


@pytest.mark.parametrize(
    ("prompt", "said"), [("", "empty"), ("star " * 5000, "Shorten it"), ("a {", "braces stand")]
)
def test_explorer_says_what_is_wrong(adapter, data, monkeypatch, prompt, said):
    monkeypatch.setattr(plt, "show", lambda: None)
    _, text, *_ = parts(widgets.explore_ranking(adapter, data))
    plt.close("all")
    text.value = prompt
    (number,) = plt.get_fignums()
    ax = plt.figure(number).axes[0]
    shown = " ".join((ax.get_title() + ax.get_title(loc="left")).split())
    assert said in shown
    assert len(shown) < 320

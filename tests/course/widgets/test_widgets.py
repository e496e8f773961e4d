"""Explorers of pictures and sentences, and what they draw."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from ordlib.clip import load_clip
from ordlib.course import widgets
from ordlib.course.widgets import basics, orders
from ordlib.data import ImageData
from ordlib.methods.ranking_adapter.model import RankingAdapter
from ordlib.tasks import load_task

TASK, DATING = load_task("counting"), load_task("dating")


@pytest.fixture(autouse=True)
def closed(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path))
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, device="cpu")


@pytest.fixture(scope="module")
def adapter(clip):
    sentences = ["one {plural}", "two {colour}", "three"]
    prompt_templates = {"dating": ["photo of three"], "counting": sentences}
    return RankingAdapter(clip, [DATING, TASK], prompt_templates=prompt_templates)


@pytest.fixture
def data(pictures):
    """Seven pictures, all different, in the order of their labels."""
    return ImageData(
        task=TASK, images=np.stack(pictures), values=np.arange(1.0, 8), fingerprint="seven", split="val",
        metadata=pd.DataFrame({"plural": ["stars", "photos"] * 3 + ["stars"]}),
    )  # fmt: skip


@pytest.fixture
def watch(monkeypatch):
    """Put a function that notes its arguments in place of one that draws."""

    def put(module, name):
        seen = []
        monkeypatch.setattr(module, name, lambda *given, **named: seen.append((*given, named)))
        return seen

    return put


def title(ax):
    """The title, on whichever side the theme of the session puts it."""
    return ax.get_title() + ax.get_title(loc="left")


def labels(ax):
    return [text.get_text() for text in ax.texts]


def controls(box):
    return box.children[0].children


def said(text, prompt, monkeypatch):
    """What an explorer draws when its box holds this prompt."""
    monkeypatch.setattr(plt, "show", lambda: None)
    plt.close("all")
    text.value = prompt
    (number,) = plt.get_fignums()
    return " ".join(title(plt.figure(number).axes[0]).split())


# ---------------------------------------------------------------- basics
def test_imperfect_does_what_it_says():
    truth = np.full(4000, 10.0)
    made = widgets.imperfect(truth, TASK, bias=2, spread=1, hits=0.25)
    assert abs((made == truth).mean() - 0.25) < 0.03
    missed = made[made != truth]
    assert abs(missed.mean() - 12) < 0.1
    assert abs(missed.std() - 1) < 0.05


def test_predictor_explorer_redraws(data, watch):
    ax = widgets.draw_predictor(data.values, TASK, bias=0, spread=0, hits=0)
    assert "MAE 0.00 objects   accuracy 1.00" in title(ax)
    drawn = watch(basics, "draw_predictor")
    controls(widgets.explore_predictor(data.values, TASK))[2].value = 0.8
    assert [state["hits"] for *_, state in drawn] == [0.3, 0.8]


def test_draw_rank_shows_one_rank_or_says_that_there_is_nothing(data):
    ax = widgets.draw_rank(data, 1)
    assert "counting: 2" in title(ax)
    assert np.array_equal(ax.images[0].get_array()[:64, :64], data.images[1])
    assert "no picture is labelled 20" in title(widgets.draw_rank(data, 19))


def test_world_explorer_follows_the_task(data, watch):
    drawn = watch(basics, "draw_rank")
    other = replace(data, task=DATING, values=np.arange(7.0) % 5)
    menu, ranks = controls(widgets.explore_world({"counting": data, "dating": other}))
    ranks.value = 12
    menu.value = "dating"
    assert ranks.max == 4
    assert drawn[-1] == (other, 0, {})
    assert all(one is data or rank <= 4 for one, rank, _ in drawn)


# ---------------------------------------------------------------- prompts
def test_closest_first_leaves_its_input_and_shuffles_ties():
    given = np.array([0.5] * 50 + [0.9] + [0.1] * 50)
    kept = given.copy()
    order = widgets.closest_first(given)
    assert np.array_equal(given, kept)
    assert sorted(order) == list(range(101))
    assert (np.diff(given[order]) <= 0).all()
    for tied in (order[1:51], order[51:]):
        assert abs(np.corrcoef(tied, np.arange(50))[0, 1]) < 0.4


def test_draw_ordered_shows_both_ends_of_the_order(clip, data):
    text = clip.encode_text(["a photo of stars"])[0]
    images = [clip.encode_images([data[i]])[0] for i in range(7)]
    found = np.array([float(torch.cosine_similarity(image, text, dim=0)) for image in images])
    expected = [str(i + 1) for i in np.argsort(-found)]
    ax = widgets.draw_ordered(clip, data, "  a photo\n of stars ", most=5)
    assert labels(ax) == expected[:3] + expected[-2:]
    assert np.array_equal(ax.images[0].get_array()[16:80, :64], data.images[found.argmax()])
    assert '"a photo of stars"' in title(ax)
    assert "above the 3 closest of 7 pictures, below the 2 farthest" in title(ax)
    assert f"{np.corrcoef(stats.rankdata(found), data.values)[0, 1]:+.2f}" in title(ax)


def test_draw_ordered_shows_all_of_a_few_and_names_labels_between_ranks(clip, data):
    quality = replace(data, task=load_task("quality"), values=np.linspace(1, 2.2, 7))
    ax = widgets.draw_ordered(clip, quality, "stars", most=7)
    assert sorted(labels(ax)) == ["1", "1.2", "1.4", "1.6", "1.8", "2", "2.2"]
    assert "all 7 pictures" in title(ax)


def test_draw_ordered_finds_no_order_in_copies_and_survives_dollars_and_long_prompts(clip, data):
    same = replace(data, images=np.stack([data.images[0]] * 7), fingerprint="same")
    ax = widgets.draw_ordered(clip, same, "$5} and $ more " + "star " * 30)
    ax.figure.canvas.draw()
    assert "label: undefined" in title(ax)
    assert labels(ax) != list("1234567")
    assert max(map(len, title(ax).split("\n"))) < 80


@pytest.mark.parametrize(("prompt", "wrong"), [(" ", "empty"), ("star " * 5000, "Shorten it")])
def test_draw_ordered_refuses_and_the_explorer_says_why(clip, data, monkeypatch, prompt, wrong):
    with pytest.raises(ValueError, match=wrong):
        widgets.draw_ordered(clip, data, prompt)
    with pytest.raises(ValueError, match="most = 1"):
        widgets.draw_ordered(clip, data, "star", most=1)
    _, text = controls(widgets.explore_prompt(clip, {"counting": data}))
    shown = said(text, prompt, monkeypatch)
    assert wrong in shown
    assert len(shown) < 320


def test_prompt_explorer_follows_and_changes_its_own_words_but_not_the_readers(clip, data, watch):
    drawn = watch(orders, "draw_ordered")
    quality = replace(data, task=load_task("quality"), values=np.ones(7))
    box = widgets.explore_prompt(clip, {"counting": data, "quality": quality})
    menu, text = controls(box)
    assert not text.continuous_update
    box.children[1].children[1].click()
    assert text.value == box.children[1].children[1].description == "a photo of one stars"
    menu.value = "quality"
    assert all("quality" in button.description for button in box.children[1].children)
    text.value = "my words"
    menu.value = "counting"
    seen = [(shown.task.name, prompt) for _, shown, prompt, _ in drawn]
    assert [prompt for name, prompt in seen if name == "counting"] == [
        "a photo of twenty stars", "a photo of one stars", "my words"
    ]  # fmt: skip
    assert ("quality", "a photo of excellent quality") in seen
    assert seen[-2:] == [("quality", "my words"), ("counting", "my words")]


# ---------------------------------------------------------------- rankings
def one_by_one(adapter, data, prompts, rows):
    found = {
        row: adapter.predict_scores(data.subset([row]), prompt)[0]
        for row, prompt in zip(rows, prompts, strict=True)
    }
    return [f"{found[row]:+.2f} ({row + 1})" for row in sorted(found, key=found.get)]


@pytest.mark.parametrize(
    ("prompt", "own"),
    [("  one\n star ", ["one star"] * 4), ("one {plural}", ["one photos", "one stars"] * 2)],
)
def test_the_pictures_that_were_asked_for_stand_in_the_order_of_their_scores(
    adapter, data, prompt, own
):
    rows = [5, 0, 3, 6]
    (ax,) = widgets.ranking_figure(adapter, data, prompt, rows).axes
    assert labels(ax) == one_by_one(adapter, data, own, rows)
    assert title(ax).startswith(f'"{" ".join(prompt.split())}"\nthe lowest score first')
    lowest = int(labels(ax)[0].split("(")[1][0]) - 1
    assert np.array_equal(ax.images[0].get_array()[16:80, :64], data.images[lowest])


def test_pictures_of_other_shapes_and_sentences_with_dollars(adapter, data):
    wide = [np.zeros((70, 90, 3), np.uint8), *data.images[1:]]
    other = replace(data, images=wide, fingerprint="w")
    figure = widgets.ranking_figure(adapter, other, "$5 and $ star", [0, 1])
    figure.canvas.draw()
    assert len(labels(figure.axes[0])) == 2


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
def test_ranking_figure_refuses_and_the_explorer_says_why(
    adapter, data, monkeypatch, prompt, message
):
    with pytest.raises(ValueError, match=message):
        widgets.ranking_figure(adapter, data, prompt, [0, 1])
    assert not plt.get_fignums()
    assert message.strip() in said(
        widgets.explore_ranking(adapter, data).children[1], prompt, monkeypatch
    )


def test_ranking_explorer_follows_menu_box_slider_and_button(adapter, data, watch):
    drawn = watch(orders, "ranking_figure")
    menu, text, row, _ = widgets.explore_ranking(adapter, data).children
    count, others, draws = row.children
    # The pictures' own task comes first, and records have no colour.
    assert list(menu.options) == ["one {plural}", "three", "photo of three"]
    assert draws.layout.display == "none"
    menu.value = "photo of three"
    text.value = "cats"
    count.value = 3
    others.click()
    prompts = ["one {plural}", "photo of three", "cats", "cats", "cats"]
    assert [prompt for *_, prompt, _, _ in drawn] == prompts
    rows = [list(rows) for *_, rows, _ in drawn]
    assert [len(set(some)) for some in rows] == [7, 7, 7, 3, 3]
    assert rows[3] == rows[2][:3]
    assert rows[4] != rows[3]
    bare = RankingAdapter(adapter.clip, TASK, prompt_templates={"counting": ["two {colour}"]})
    menu, _, row, _ = widgets.explore_ranking(bare, data.subset([0, 1])).children
    assert list(menu.options) == ["Rank by counting."]
    assert (row.children[0].min, row.children[0].max) == (2, 2)

from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from figures import no_figures, texts, title
from scipy import stats

from ordlib.course import widgets
from ordlib.course.widgets import controls, orders
from ordlib.course.widgets.controls import show_message
from ordlib.methods.ranking_adapter.model import RankingAdapter
from ordlib.tasks import load_task

COUNTING, DATING, QUALITY = map(load_task, ("counting", "dating", "quality"))


@pytest.fixture(scope="module")
def adapter(clip):
    counting = ["one {plural}", "two {colour}", "three"]
    templates = {"dating": ["photo of three"], "counting": counting}
    return RankingAdapter(clip, [DATING, COUNTING], prompt_templates=templates)


@pytest.fixture
def message(monkeypatch):
    """Return the message that an interactive figure shows for a prompt."""

    def message(box, prompt):
        shown = []
        monkeypatch.setattr(
            controls, "show_message", lambda text: shown.append(title(show_message(text)))
        )
        box.value = prompt
        assert no_figures()
        (text,) = shown
        return " ".join(text.split())

    return message


def test_closest_first_shuffles_ties_and_does_not_modify_its_input():
    cosines = np.array([0.5] * 50 + [0.9] + [0.1] * 50)
    cosines.flags.writeable = False
    order = widgets.closest_first(cosines)
    assert sorted(order) == list(range(101))
    assert (np.diff(cosines[order]) <= 0).all()
    for tied in (order[1:51], order[51:]):
        assert abs(np.corrcoef(tied, np.arange(50))[0, 1]) < 0.4


def test_draw_ordered_shows_both_ends_of_the_order(clip, data):
    text = clip.encode_text(["a photo of stars"])[0]
    images = [clip.encode_images([data[i]])[0] for i in range(7)]
    cosines = np.array([float(torch.cosine_similarity(image, text, dim=0)) for image in images])
    expected = [str(i + 1) for i in np.argsort(-cosines)]
    ax = widgets.draw_ordered(clip, data, "  a photo\n of stars ", max_images=5)
    assert texts(ax) == expected[:3] + expected[-2:]
    assert np.array_equal(ax.images[0].get_array()[16:80, :64], data.images[cosines.argmax()])
    assert '"a photo of stars"' in title(ax)
    assert "above the 3 closest of 7 images, below the 2 farthest" in title(ax)
    assert f"{np.corrcoef(stats.rankdata(cosines), data.values)[0, 1]:+.2f}" in title(ax)


def test_draw_ordered_handles_ties_dollars_and_long_prompts(clip, data):
    same = replace(data, images=np.stack([data.images[0]] * 7), fingerprint="same")
    ax = widgets.draw_ordered(clip, same, "$5} and $ more " + "star " * 30)
    ax.figure.canvas.draw()
    assert "all 7 images" in title(ax)
    assert "label: undefined" in title(ax)
    assert texts(ax) != list("1234567")
    assert max(map(len, title(ax).split("\n"))) < 80


@pytest.mark.parametrize(
    ("prompt", "error"), [(" ", "empty"), ("star " * 5000, "horten")], ids=["empty", "long"]
)
def test_explore_prompt_shows_the_error_of_draw_ordered(clip, data, message, prompt, error):
    with pytest.raises(ValueError, match=error):
        widgets.draw_ordered(clip, data, prompt)
    with pytest.raises(ValueError, match="max_images = 1"):
        widgets.draw_ordered(clip, data, "star", max_images=1)
    box = widgets.explore_prompt(clip, {"counting": data}).children[0].children[1]
    shown = message(box, prompt)
    assert error in shown
    assert len(shown) < 320


def test_explore_prompt_updates_suggestions_and_keeps_typed_prompts(clip, data, monkeypatch):
    monkeypatch.setattr(orders, "draw_ordered", draw := Mock())
    quality = replace(data, task=QUALITY, values=np.ones(7))
    box = widgets.explore_prompt(clip, {"counting": data, "quality": quality})
    (menu, text), buttons = box.children[0].children, box.children[1]
    assert not text.continuous_update
    buttons.children[1].click()
    assert text.value == buttons.children[1].description == "a photo of one stars"
    menu.value = "quality"
    assert all("quality" in button.description for button in buttons.children)
    text.value = "my words"
    menu.value = "counting"
    calls = [call.args for call in draw.call_args_list]
    prompts = [(dataset.task.name, prompt) for _, dataset, prompt in calls]
    assert [prompt for name, prompt in prompts if name == "counting"] == [
        "a photo of twenty stars", "a photo of one stars", "my words"
    ]  # fmt: skip
    assert ("quality", "a photo of excellent quality") in prompts
    assert prompts[-2:] == [("quality", "my words"), ("counting", "my words")]


@pytest.mark.parametrize(
    ("prompt", "filled"),
    [("  one\n star ", ["one star"] * 4), ("one {plural}", ["one photos", "one stars"] * 2)],
    ids=["prompt", "template"],
)
def test_ranking_figure_sorts_by_score(adapter, data, prompt, filled):
    rows = [5, 0, 3, 6]
    pairs = zip(rows, filled, strict=True)
    scores = {row: adapter.predict_scores(data.subset([row]), text)[0] for row, text in pairs}
    expected = sorted(scores, key=scores.get)
    (ax,) = widgets.ranking_figure(adapter, data, prompt, rows).axes
    assert texts(ax) == [f"{scores[row]:+.2f} ({row + 1})" for row in expected]
    assert title(ax).startswith(f'"{" ".join(prompt.split())}"\nthe lowest score first')
    assert np.array_equal(ax.images[0].get_array()[16:80, :64], data.images[expected[0]])


def test_ranking_figure_accepts_other_image_sizes_and_dollars(adapter, data):
    wide = [np.zeros((70, 90, 3), np.uint8), *data.images[1:]]
    other = replace(data, images=wide, fingerprint="w")
    figure = widgets.ranking_figure(adapter, other, "$5 and $ star", [0, 1])
    figure.canvas.draw()
    assert len(texts(figure.axes[0])) == 2


@pytest.mark.parametrize(
    ("prompt", "error"),
    [
        (" \n", "the prompt is empty"), ("star " * 100, "horten"), ("two {colour}", "'colour'"),
        ("star {", "braces stand for a column"), ("star {plural:>9}", "braces stand for a column"),
    ],
    ids=["empty", "long", "column", "brace", "format"],
)  # fmt: skip
def test_explore_ranking_shows_the_error_of_ranking_figure(adapter, data, message, prompt, error):
    with pytest.raises(ValueError, match=error):
        widgets.ranking_figure(adapter, data, prompt, [0, 1])
    assert no_figures()
    assert error in message(widgets.explore_ranking(adapter, data).children[1], prompt)


def test_explore_ranking_follows_its_controls(adapter, data, monkeypatch):
    monkeypatch.setattr(orders, "ranking_figure", draw := Mock())
    menu, text, row, _ = widgets.explore_ranking(adapter, data).children
    count, resample, seed = row.children
    # Templates of the own task come first; the metadata have no colour.
    assert list(menu.options) == ["one {plural}", "three", "photo of three"]
    assert seed.layout.display == "none"
    menu.value = "photo of three"
    text.value = "cats"
    count.value = 3
    resample.click()
    prompts = ["one {plural}", "photo of three", "cats", "cats", "cats"]
    calls = [call.args for call in draw.call_args_list]
    assert [prompt for _, _, prompt, _ in calls] == prompts
    rows = [list(rows) for *_, rows in calls]
    assert [len(set(subset)) for subset in rows] == [7, 7, 7, 3, 3]
    assert rows[0] == [*range(7)]  # as in the figure of the notebook
    assert rows[3] == rows[2][:3]
    assert rows[4] != rows[3]
    other = RankingAdapter(adapter.clip, COUNTING, prompt_templates={"counting": ["two {colour}"]})
    menu, _, row, _ = widgets.explore_ranking(other, data.subset([0, 1])).children
    assert list(menu.options) == ["Rank by counting."]
    assert (row.children[0].min, row.children[0].max) == (2, 2)

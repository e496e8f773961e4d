from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from ordlib.clip import load_clip
from ordlib.course import widgets
from ordlib.data import ImageData
from ordlib.tasks import load_task

TASK = load_task("counting")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def data():
    values = np.array([1.0, 2.0, 2.0])
    images = np.zeros((3, 8, 8, 3), np.uint8)
    frame = pd.DataFrame({"n": range(3)})
    return ImageData(task=TASK, images=images, values=values, records=frame, key="k", split="val")


def test_imperfect_does_what_it_says():
    truth = np.full(4000, 10.0)
    made = widgets.imperfect(truth, TASK, bias=2, spread=1, hits=0.25)
    assert abs((made == truth).mean() - 0.25) < 0.03
    missed = made[made != truth]
    assert abs(missed.mean() - 12) < 0.1
    assert abs(missed.std() - 1) < 0.05


def title(ax):
    """The title, on whichever side the theme of the session puts it."""
    return ax.get_title() + ax.get_title(loc="left")


def test_draw_predictor_reports_the_metrics():
    ax = widgets.draw_predictor(np.array([1.0, 5.0, 20.0]), TASK, bias=0, spread=0, hits=0)
    assert "MAE 0.00 objects" in title(ax)
    assert "accuracy 1.00" in title(ax)


def test_draw_rank_says_when_there_is_nothing(data):
    assert "counting: 2" in title(widgets.draw_rank(data, 1))
    assert "no picture is labelled 7" in title(widgets.draw_rank(data, 6))


def sliders(box):
    return box.children[0].children


def test_explorers_redraw(data, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        widgets.simulated_predictors, "draw_predictor", lambda *a, **k: drawn.append(k["hits"])
    )
    box = widgets.explore_predictor(data.values, TASK)
    sliders(box)[2].value = 0.8
    assert drawn == [0.3, 0.8]


def test_world_explorer_follows_the_task(data, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        widgets.dataset_browser, "draw_rank", lambda d, rank: drawn.append((d.task.name, rank))
    )
    other = ImageData(
        task=load_task("dating"), images=data.images, values=data.values, records=data.records,
        key="k", split="val",
    )  # fmt: skip
    menu, ranks = sliders(widgets.explore_world({"counting": data, "dating": other}))
    ranks.value = 12
    menu.value = "dating"
    assert ranks.max == 4
    assert drawn[-1] == ("dating", 0)
    assert all(name == "counting" or rank <= 4 for name, rank in drawn)


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, device="cpu")


@pytest.fixture
def noise(pictures, tmp_path, monkeypatch):
    """Seven pictures, all different, in the order of their labels."""
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path))
    frame = pd.DataFrame({"n": range(7)})
    return ImageData(
        task=TASK, images=np.stack(pictures), values=np.arange(1.0, 8), records=frame,
        key="noise", split="val",
    )  # fmt: skip


def cosines(clip, data, prompt):
    """One by one, without the cache."""
    text = clip.encode_prompts([prompt])[0]
    images = [clip.encode_images([data[i]])[0] for i in range(len(data))]
    return np.array([float(torch.cosine_similarity(image, text, dim=0)) for image in images])


def labels(ax):
    return [text.get_text() for text in ax.texts]


def test_closest_first_leaves_its_input_and_shuffles_ties():
    given = np.array([0.5] * 50 + [0.9] + [0.1] * 50)
    kept = given.copy()
    order = widgets.closest_first(given)
    assert np.array_equal(given, kept)
    assert sorted(order) == list(range(101))
    assert (np.diff(given[order]) <= 0).all()
    for tied in (order[1:51], order[51:]):
        assert abs(np.corrcoef(tied, np.arange(50))[0, 1]) < 0.4


def test_draw_ordered_shows_both_ends_of_the_order(clip, noise):
    found = cosines(clip, noise, "a photo of stars")
    expected = [str(i + 1) for i in np.argsort(-found)]
    ax = widgets.draw_ordered(clip, noise, "  a photo\n of stars ", most=5)
    assert labels(ax) == expected[:3] + expected[-2:]
    sheet = ax.images[0].get_array()
    assert np.array_equal(sheet[16:80, :64], noise.images[found.argmax()])
    assert '"a photo of stars"' in title(ax)
    assert "above the 3 closest of 7 pictures, below the 2 farthest" in title(ax)
    places = stats.rankdata(found)
    assert f"{np.corrcoef(places, noise.values)[0, 1]:+.2f}" in title(ax)


def test_draw_ordered_shows_all_of_a_few(clip, noise):
    ax = widgets.draw_ordered(clip, noise, "stars", most=7)
    assert sorted(labels(ax)) == list("1234567")
    assert "all 7 pictures" in title(ax)


def test_draw_ordered_finds_no_order_in_copies_of_one_picture(clip, noise):
    same = replace(noise, images=np.stack([noise.images[0]] * 7), key="same")
    ax = widgets.draw_ordered(clip, same, "stars")
    assert "label: undefined" in title(ax)
    assert labels(ax) != list("1234567")


def test_draw_ordered_survives_dollars_and_long_prompts(clip, noise):
    widgets.draw_ordered(clip, noise, "$5} and $ more").figure.canvas.draw()
    assert max(map(len, title(widgets.draw_ordered(clip, noise, "star " * 40)).split("\n"))) < 80


def test_draw_ordered_names_labels_between_ranks(clip, noise):
    quality = replace(noise, task=load_task("quality"), values=np.linspace(1, 2.2, 7))
    ax = widgets.draw_ordered(clip, quality, "stars")
    assert sorted(labels(ax)) == ["1", "1.2", "1.4", "1.6", "1.8", "2", "2.2"]


@pytest.mark.parametrize(
    ("prompt", "most", "message"),
    [(" \n", 12, "empty"), ("star " * 100, 12, "Shorten it"), ("star", 1, "most = 1")],
)
def test_draw_ordered_refuses(clip, noise, prompt, most, message):
    with pytest.raises(ValueError, match=message):
        widgets.draw_ordered(clip, noise, prompt, most)


@pytest.fixture
def drawn(monkeypatch):
    """What the explorer asks to be drawn: task and prompt."""
    seen = []
    monkeypatch.setattr(
        widgets.prompts, "draw_ordered", lambda _, d, p: seen.append((d.task.name, p))
    )
    return seen


def test_prompt_explorer_follows_box_and_buttons(clip, data, drawn):
    box = widgets.explore_prompt(clip, {"counting": data})
    _, text = sliders(box)
    assert not text.continuous_update
    text.value = "cats"
    buttons = box.children[1].children
    buttons[1].click()
    assert len({button.description for button in buttons}) == 3
    assert text.value == buttons[1].description == "a photo of one stars"
    assert [prompt for _, prompt in drawn] == ["a photo of twenty stars", "cats", text.value]


def test_prompt_explorer_changes_its_own_words_with_the_pictures_but_not_the_readers(
    clip, data, drawn
):
    other = replace(data, task=load_task("quality"))
    box = widgets.explore_prompt(clip, {"counting": data, "quality": other})
    menu, text = sliders(box)
    menu.value = "quality"
    assert drawn[-1] == ("quality", "a photo of excellent quality")
    buttons = [button.description for button in box.children[1].children]
    assert len(set(buttons)) == 3
    assert all("quality" in words for words in buttons)
    text.value = "my words"
    menu.value = "counting"
    assert drawn[-1] == ("counting", "my words")
    assert ("quality", "a photo of twenty stars") not in drawn


@pytest.mark.parametrize(("prompt", "said"), [("", "empty"), ("star " * 5000, "Shorten it")])
def test_prompt_explorer_says_what_is_wrong(clip, noise, monkeypatch, prompt, said):
    monkeypatch.setattr(plt, "show", lambda: None)
    text = sliders(widgets.explore_prompt(clip, {"counting": noise}))[1]
    plt.close("all")
    text.value = prompt
    (number,) = plt.get_fignums()
    shown = " ".join(title(plt.figure(number).axes[0]).split())
    assert said in shown
    assert len(shown) < 320

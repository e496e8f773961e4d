import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from ordlib import widgets
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
    monkeypatch.setattr(widgets, "draw_predictor", lambda *a, **k: drawn.append(k["hits"]))
    box = widgets.explore_predictor(data.values, TASK)
    sliders(box)[2].value = 0.8
    assert drawn == [0.3, 0.8]


def test_world_explorer_follows_the_task(data, monkeypatch):
    drawn = []
    monkeypatch.setattr(widgets, "draw_rank", lambda d, rank: drawn.append((d.task.name, rank)))
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

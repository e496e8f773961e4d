from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
from figures import title

from ordlib.course import widgets
from ordlib.course.widgets import basics
from ordlib.tasks import load_task

COUNTING, DATING = load_task("counting"), load_task("dating")


def test_simulate_predictions_has_the_given_error_distribution():
    y_true = np.full(4000, 10.0)
    y_pred = widgets.simulate_predictions(y_true, COUNTING, bias=2, spread=1, hits=0.25)
    assert abs((y_pred == y_true).mean() - 0.25) < 0.03
    missed = y_pred[y_pred != y_true]
    assert abs(missed.mean() - 12) < 0.1
    assert abs(missed.std() - 1) < 0.05


def test_explore_predictor_redraws(data, monkeypatch):
    ax = widgets.draw_predictor(data.values, COUNTING, bias=0, spread=0, hits=0)
    assert "MAE 0.00 objects   accuracy 1.00" in title(ax)
    monkeypatch.setattr(basics, "draw_predictor", draw := Mock())
    widgets.explore_predictor(data.values, COUNTING).children[0].children[2].value = 0.8
    assert [call.kwargs["hits"] for call in draw.call_args_list] == [0.3, 0.8]


@pytest.mark.parametrize("name", ["counting", "dating", "ageing", "quality"])
def test_explore_predictor_starts_on_whole_steps(name, monkeypatch):
    """Elsewhere the handle would stand beside the value that the slider reads."""
    monkeypatch.setattr(basics, "draw_predictor", Mock())
    task = load_task(name)
    sliders = widgets.explore_predictor(np.ones(3), task).children[0].children
    steps = [(slider.value - slider.min) / slider.step for slider in sliders]
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-6)
    assert sliders[0].max == pytest.approx((task.range[1] - task.range[0]) / 2, abs=0.5)
    assert sliders[0].min == -sliders[0].max
    assert f"{sliders[0].step:{sliders[0].readout_format}}" == f"{sliders[0].step:g}"


def test_draw_rank_shows_images_or_a_message(data):
    ax = widgets.draw_rank(data, 1)
    assert "counting: 2" in title(ax)
    assert np.array_equal(ax.images[0].get_array()[:64, :64], data.images[1])
    assert "no image is labelled 20" in title(widgets.draw_rank(data, 19))


def test_explore_datasets_resets_the_rank(data, monkeypatch):
    monkeypatch.setattr(basics, "draw_rank", draw := Mock())
    other = replace(data, task=DATING, values=np.arange(7.0) % 5)
    box = widgets.explore_datasets({"counting": data, "dating": other})
    menu, ranks = box.children[0].children
    ranks.value = 12
    menu.value = "dating"
    assert ranks.max == 4
    calls = [call.args for call in draw.call_args_list]
    assert calls[-1] == (other, 0)
    assert all(dataset is data or rank <= 4 for dataset, rank in calls)

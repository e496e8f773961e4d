"""Data, predictions and tables of a wrong kind: named where a widget is made."""

import numpy as np
import pandas as pd
import pytest
import torch

from ordlib.course import widgets
from ordlib.data import ImageData
from ordlib.tasks import load_task

TASK = load_task("counting")
PREDICTED = np.array([1.0, 4.0, 3.5, 3.0, 5.1, 9.0])


def make_data():
    images, values = np.zeros((6, 60, 80, 3), np.uint8), np.arange(1.0, 7.0)
    return ImageData(TASK, images, values, pd.DataFrame(index=range(6)), "six", "all")


WRONG = {
    "short": PREDICTED[:3], "long": np.r_[PREDICTED, PREDICTED], "table": PREDICTED[:, None],
    "NaN": PREDICTED * np.nan, "infinite": PREDICTED * np.inf, "text": ["a"] * 6, "None": None,
    "Nones": np.array([None] * 6), "number": 3.0, "meta": torch.empty(6, device="meta"),
    "prediction": TASK.decode_values(PREDICTED), "generator": (x for x in PREDICTED),
}  # fmt: skip


@pytest.mark.parametrize("predicted", WRONG.values(), ids=WRONG)
def test_predictions_of_other_images_are_named(predicted):
    for show in (widgets.errors_figure, widgets.explore_errors):
        with pytest.raises(ValueError, match=r"^predicted: "):
            show(make_data(), predicted)


@pytest.mark.parametrize("num_images", [0, -1, 1.5, None])
def test_numbers_of_images_are_named(num_images):
    with pytest.raises(ValueError, match=f"num_images = {num_images}: must be an integer"):
        widgets.errors_figure(make_data(), PREDICTED, num_images=num_images)


@pytest.mark.parametrize("rank", [-1, 20, 1.5, "x", None])
def test_ranks_that_are_none_are_named(rank):
    with pytest.raises(ValueError, match=f"rank = {rank!r}: must be one of 0, 1"):
        widgets.draw_rank(make_data(), rank)


EXPLORERS = {
    "datasets": widgets.explore_datasets, "tables": widgets.explore_methods,
    "prompt": lambda sets: widgets.explore_prompt(None, sets),
}  # fmt: skip


@pytest.mark.parametrize("sets", [{}, [], None, "val", {"val": None}, [3], pd.DataFrame()])
@pytest.mark.parametrize("explore", EXPLORERS.values(), ids=EXPLORERS)
def test_menus_of_nothing_are_named(explore, sets):
    with pytest.raises(TypeError, match=r"(?s)(datasets|tables) = .*: must be a dict of"):
        explore(sets)


@pytest.mark.parametrize("values", [["a"], [None], [], [1.0, np.inf], 3, np.array(["a"]), {"a": 1}])
def test_values_that_are_no_numbers_are_named(values):
    with pytest.raises(ValueError, match="y_true"):
        widgets.explore_predictor(values, TASK)


@pytest.mark.parametrize("task", ["counting", None, 3])
def test_tasks_that_are_none_are_named(task):
    with pytest.raises(TypeError, match=r"task = .*: must be an OrdinalTask, as load_task returns"):
        widgets.explore_predictor(PREDICTED, task)


def test_a_list_of_values_is_taken():
    assert widgets.explore_predictor([1, 2], TASK).children[1].value

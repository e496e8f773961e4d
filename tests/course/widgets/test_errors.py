"""Largest errors first, of one group or of all."""

import numpy as np
import pandas as pd
from figures import texts, title

from ordlib.course import widgets
from ordlib.data import ImageData
from ordlib.tasks import load_task


def make_data():
    images = np.zeros((6, 60, 80, 3), np.uint8)
    return ImageData(
        load_task("counting"), images, np.arange(1.0, 7.0), pd.DataFrame(index=range(6)), "six",
        "all", groups=np.array(["a", "a", "b", "b", "b", "c"]),
    )  # fmt: skip


PREDICTED = np.array([1.0, 4.0, 3.5, 3.0, 5.1, 9.0])


def test_errors_figure_has_the_largest_errors_first():
    ax = widgets.errors_figure(make_data(), PREDICTED, num_images=3)
    assert texts(ax) == ["6 → 9.0", "2 → 4.0", "4 → 3.0"]
    assert "mean error of these: 2.00" in title(ax)


def test_errors_figure_of_one_group():
    assert texts(widgets.errors_figure(make_data(), PREDICTED, "b"))[0] == "4 → 3.0"
    assert len(texts(widgets.errors_figure(make_data(), PREDICTED, "b"))) == 3


def test_explore_errors_redraws_for_another_group():
    box = widgets.explore_errors(make_data(), PREDICTED)
    slider, menu = box.children[0].children
    assert menu.options == ("all", "a", "b", "c")
    before = box.children[1].value
    menu.value = "c"
    assert box.children[1].value != before
    slider.value = 1
    assert box.children[1].value

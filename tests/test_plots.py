import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from ordlib import plots
from ordlib.data import ImageData
from ordlib.tasks import load_task


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def data(name="counting", values=(1, 3, 3, 20)):
    images = np.zeros((len(values), 8, 8, 3), np.uint8)
    frame = pd.DataFrame({"n": range(len(values))})
    return ImageData(
        task=load_task(name), images=images, values=np.array(values, float), records=frame,
        key="k", split="val",
    )  # fmt: skip


def test_contact_sheet_puts_every_picture_in_its_place():
    pictures = [np.full((16, 16, 3), shade, np.uint8) for shade in (10, 20, 30)]
    ax = plots.contact_sheet(pictures, columns=2)
    sheet = ax.images[0].get_array()
    assert [sheet[4, 4, 0], sheet[4, 22, 0], sheet[22, 4, 0]] == [10, 20, 30]
    assert sheet[22, 22, 0] == 255


def test_contact_sheet_refuses_a_mismatch():
    with pytest.raises(ValueError, match="2 pictures and 1 titles"):
        plots.contact_sheet([np.zeros((8, 8, 3), np.uint8)] * 2, ["a"])
    with pytest.raises(ValueError, match="at least one"):
        plots.contact_sheet([])


def test_label_histogram_counts():
    ax = plots.label_histogram(data())
    assert [p.get_height() for p in ax.patches if p.get_height()] == [1, 2, 1]


def test_confusion_rows_are_true_and_sum_to_one():
    task = load_task("dating")
    ax = plots.confusion(np.array([0, 0, 4]), np.array([0, 1, 4]), task)
    table = ax.collections[0].get_array().reshape(5, 5)
    np.testing.assert_allclose(table[0], [0.5, 0.5, 0, 0, 0])
    np.testing.assert_allclose(table[4], [0, 0, 0, 0, 1])
    assert [t.get_text() for t in ax.get_xticklabels()] == list(task.values)


def test_predicted_against_true_keeps_the_values():
    task = load_task("quality")
    ax = plots.predicted_against_true(np.array([1.0, 4.2]), np.array([2.0, 4.0]), task)
    np.testing.assert_allclose(ax.collections[0].get_offsets()[:, 1], [2.0, 4.0])
    assert ax.get_ylabel() == "predicted (points)"


def test_many_ranks_get_few_tick_labels():
    ax = plots.label_histogram(data("ageing", (1, 45, 90)))
    assert 5 <= len(ax.get_xticklabels()) <= 12


def test_every_method_has_a_colour_of_its_own():
    assert len(set(plots.METHOD_COLOURS.values())) == len(plots.METHOD_COLOURS)

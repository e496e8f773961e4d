from types import SimpleNamespace

import numpy as np
import pytest
from figures import legend, tick_labels

from ordlib.course import plots
from ordlib.course.plots.style import method_colors
from ordlib.tasks import load_task


def test_label_histogram_counts_ranks():
    data = SimpleNamespace(task=load_task("ageing"), ranks=np.array([0, 44, 44, 89]))
    ax = plots.label_histogram(data)
    assert [p.get_height() for p in ax.patches if p.get_height()] == [1, 2, 1]
    assert 5 <= len(tick_labels(ax.xaxis)) <= 12
    assert tick_labels(ax.xaxis)[0] == "1"


def test_confusion_is_normalized_over_true_ranks():
    ax = plots.confusion(np.array([0, 0, 4]), np.array([0, 1, 4]), load_task("dating"))
    table = ax.collections[0].get_array().reshape(5, 5)
    np.testing.assert_allclose(table[[0, 4]], [[0.5, 0.5, 0, 0, 0], [0, 0, 0, 0, 1]])
    assert tick_labels(ax.xaxis) == list(load_task("dating").values)


def test_predicted_against_true_jitters_only_true_values():
    ax = plots.predicted_against_true(np.array([1.0, 4.2]), np.array([2, 4]), load_task("quality"))
    points = ax.collections[0].get_offsets()
    np.testing.assert_allclose(points[:, 1], [2, 4])
    np.testing.assert_allclose(points[:, 0], [1.0, 4.2], atol=0.25)
    assert ax.get_ylabel() == "predicted (points)"


def wilson(hits, total, z=1.959964):
    center = (hits + z**2 / 2) / (total + z**2)
    half = z / (total + z**2) * np.sqrt(hits * (total - hits) / total + z**2 / 4)
    return center - half, center + half


def test_per_rank_accuracy_equals_wilson_formula():
    y_true = np.array([1.0, 1.2, 1.4, 1.6, 2.2, 5.0, 5.0])
    y_pred = {"zero-shot": [1, 1.49, 3, 2.4, 1.8, 4, 1]}
    line, *bars, _, chance = plots.per_rank_accuracy(y_true, y_pred, load_task("quality")).lines
    np.testing.assert_allclose(line.get_ydata(), [2 / 3, 1, np.nan, np.nan, 0])
    intervals = [bar.get_ydata() for bar in bars if np.isfinite(bar.get_ydata()).all()]
    np.testing.assert_allclose(intervals, [wilson(2, 3), wilson(2, 2), wilson(0, 2)], atol=1e-6)
    assert line.get_color() == plots.METHOD_COLORS["zero-shot"]
    assert list(chance.get_ydata()) == [0.2, 0.2]


def test_per_rank_accuracy_separates_methods():
    y_true, methods = np.arange(5.0), ["mine", "linear probe", "yours"]
    ax = plots.per_rank_accuracy(y_true, dict.fromkeys(methods, y_true), load_task("dating"))
    lines = [line for line in ax.lines if len(line.get_xdata()) == 5]
    assert [line.get_color() for line in lines] == list(method_colors(methods).values())
    x = [line.get_xdata()[0] for line in lines]
    assert x == sorted(set(x))
    assert max(map(abs, x)) < 0.5
    assert sorted(legend(ax)) == sorted([*methods, "chance"])
    for y_pred, message in ({"a": [1]}, r"y_pred\['a'\] has 1 values for 5"), ({}, "at least one"):
        with pytest.raises(ValueError, match=message):
            plots.per_rank_accuracy(y_true, y_pred, load_task("dating"))

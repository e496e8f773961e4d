import warnings

import numpy as np
import pytest

from ordlib import metrics
from ordlib.metrics.prediction import Prediction
from ordlib.tasks import OrdinalTask, load_task

QUALITY = load_task("quality")
TRUTH = np.array([1.1, 2.4, 2.6, 4.0, 4.9])
PREDICTED = np.array([1.6, 2.0, 3.4, 3.9, 4.2])


def test_names_and_their_order():
    scores = metrics.compute_metrics(QUALITY, TRUTH, QUALITY.decode_values(PREDICTED))
    names = ["mae", "accuracy", "off_by_one", "kappa", "spearman", "pearson", "pairwise"]
    assert list(scores) == names
    assert all(type(number) is float for number in scores.values())


def test_values_are_compared_as_they_are_and_ranks_by_the_nearest():
    scores = metrics.compute_metrics(QUALITY, TRUTH, QUALITY.decode_values(PREDICTED))
    truth, predicted = [0, 1, 2, 3, 4], [1, 1, 2, 3, 3]
    assert scores["mae"] == pytest.approx(np.abs(TRUTH - PREDICTED).mean())
    assert scores["accuracy"] == 0.6
    assert scores["off_by_one"] == 1.0
    assert scores["kappa"] == metrics.quadratic_weighted_kappa(truth, predicted, 5)
    assert scores["spearman"] == metrics.spearman(TRUTH, PREDICTED)
    assert scores["pearson"] == metrics.pearson(TRUTH, PREDICTED)


def test_pairs_of_the_same_nearest_rank_do_not_count():
    truth, predicted = np.array([3.4, 2.6, 5.0]), np.array([1.0, 2.0, 3.0])
    scores = metrics.compute_metrics(QUALITY, truth, QUALITY.decode_values(predicted))
    assert scores["pairwise"] == 1.0


def test_labels_decide_accuracy_and_values_the_error():
    prediction = Prediction(value=TRUTH, label=np.full(5, 3.0))
    scores = metrics.compute_metrics(QUALITY, TRUTH, prediction)
    assert scores["mae"] == 0
    assert scores["accuracy"] == 0.2


def test_unequal_spacing_counts_in_errors_but_not_in_ranks():
    task = OrdinalTask(name="prices", unit="euros", values=(1, 2, 5, 100))
    scores = metrics.compute_metrics(task, [1, 5, 100], task.decode_values([2, 5, 5]))
    assert scores["mae"] == pytest.approx(96 / 3)
    assert scores["off_by_one"] == 1.0


def test_a_single_picture_gives_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = metrics.compute_metrics(QUALITY, [3.0], QUALITY.decode_values([3.0]))
    assert scores["mae"] == 0
    assert np.isnan([scores[name] for name in ("kappa", "spearman", "pearson", "pairwise")]).all()


def test_another_number_of_predictions_is_refused():
    with pytest.raises(ValueError, match=r"shapes are \(5,\) and \(2,\)"):
        metrics.compute_metrics(QUALITY, TRUTH, QUALITY.decode_values([1, 2]))

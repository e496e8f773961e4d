"""Metrics for skewed labels and probabilities, against their formulas written out."""

import numpy as np
import pytest

from ordlib import load_task
from ordlib.metrics import (
    compute_metrics,
    expected_calibration_error,
    macro_mae,
    max_mae,
    metrics_by,
    ranked_probability_score,
)

RNG = np.random.default_rng(0)
RANKS = RNG.integers(0, 5, 60) * (RNG.random(60) < 0.5)  # Half of them are rank 0.
Y_PRED = RANKS + RNG.normal(0, 1, 60)
PROBABILITIES = RNG.dirichlet(np.ones(5), 60)


def test_macro_and_max_mae_equal_loops_over_the_ranks():
    maes = []
    for rank in range(5):
        errors = [abs(y - p) for y, p, r in zip(RANKS, Y_PRED, RANKS, strict=True) if r == rank]
        maes.append(sum(errors) / len(errors))
    assert macro_mae(RANKS, Y_PRED, RANKS) == pytest.approx(sum(maes) / 5)
    assert max_mae(RANKS, Y_PRED, RANKS) == pytest.approx(max(maes))


def test_macro_mae_leaves_out_ranks_that_do_not_occur():
    assert macro_mae([10, 10, 70], [10, 14, 40], ranks=[1, 1, 7]) == 16.0


def test_rps_equals_its_formula():
    total = 0.0
    for rank, row in zip(RANKS, PROBABILITIES, strict=True):
        for k in range(4):  # k = 1 ... M - 1
            cumulative = sum(row[: k + 1])
            total += (cumulative - (1 if rank <= k else 0)) ** 2
    assert ranked_probability_score(RANKS, PROBABILITIES) == pytest.approx(total / 4 / 60)


@pytest.mark.parametrize(("rank", "expected"), [(0, 0.0), (4, 1.0), (2, 0.5)])
def test_rps_of_a_certain_forecast_counts_steps(rank, expected):
    assert ranked_probability_score([rank], [[1, 0, 0, 0, 0]]) == expected


def test_ece_equals_a_loop_over_bins():
    confidence, label = PROBABILITIES.max(1), PROBABILITIES.argmax(1)
    total = 0.0
    for b in range(15):
        inside = [i for i in range(60) if b / 15 <= confidence[i] < (b + 1) / 15]
        if inside:
            accuracy = np.mean([label[i] == RANKS[i] for i in inside])
            total += len(inside) / 60 * abs(accuracy - np.mean(confidence[inside]))
    assert expected_calibration_error(RANKS, PROBABILITIES) == pytest.approx(total)
    assert expected_calibration_error([0, 0], [[1, 0], [1, 0]]) == 0


def test_compute_metrics_has_them():
    task = load_task("dating")
    prediction = task.decode_probabilities(PROBABILITIES)
    metrics = compute_metrics(task, RANKS, prediction)
    assert metrics["rps"] == ranked_probability_score(RANKS, PROBABILITIES)
    assert metrics["ece"] == expected_calibration_error(RANKS, PROBABILITIES)
    assert metrics["macro_mae"] == macro_mae(RANKS, prediction.value, RANKS)
    assert metrics["max_mae"] == max_mae(RANKS, prediction.value, RANKS)


def test_metrics_by_equals_metrics_of_the_parts():
    task, by = load_task("dating"), np.array(["b", "a", "c"])[RNG.integers(0, 3, 60)]
    prediction = task.decode_probabilities(PROBABILITIES)
    table = metrics_by(task, RANKS, prediction, by)
    assert table.index.tolist() == ["a", "b", "c", "mean"]
    for name in "abc":
        rows = by == name
        expected = compute_metrics(
            task, RANKS[rows], task.decode_probabilities(PROBABILITIES[rows])
        )
        assert table.loc[name].drop("images").to_dict() == pytest.approx(expected)
        assert table.loc[name, "images"] == rows.sum()
    assert table.loc["mean", "mae"] == pytest.approx(table["mae"][:3].mean())
    assert table.loc["mean", "images"] == 60


@pytest.mark.parametrize(
    ("ranks", "probabilities", "message"),
    [
        ([0, 1], [[1, 0]], "1 rows for 2 ranks"),
        ([2], [[1, 0]], "not a rank index"),
        ([0], [[0.4, 0.4]], "not a distribution"),
    ],
)
def test_invalid_arguments_are_named(ranks, probabilities, message):
    for metric in (ranked_probability_score, expected_calibration_error):
        with pytest.raises(ValueError, match=message):
            metric(ranks, probabilities)

import numpy as np
import pandas as pd
import pytest

from ordlib import ImageData, evaluate, load_task
from ordlib.metrics import bootstrap, compute_metrics, mae, quadratic_weighted_kappa
from ordlib.tasks import Prediction

RNG = np.random.default_rng(0)
TRUTH = RNG.integers(1, 21, 120).astype(float)
VALUES = (TRUTH + RNG.normal(0, 2, 120)).clip(1, 20)


class Fixed:
    def __init__(self, values):
        self.values = values

    def predict(self, data):
        return data.task.decode_values(self.values)


def make(groups=None):
    task, images = load_task("counting"), np.zeros((120, 4, 4, 3), np.uint8)
    records = pd.DataFrame({"n": range(120)})
    return ImageData(task, images, TRUTH, records, "made", "val", groups)


def test_metrics_are_those_of_score():
    data = make()
    result = evaluate(Fixed(VALUES), data, n_resamples=10)
    assert result.metrics == compute_metrics(data.task, TRUTH, data.task.decode_values(VALUES))
    assert result.y_true is TRUTH
    assert isinstance(result.prediction, Prediction)


@pytest.mark.parametrize("groups", [None, np.arange(120) // 10])
def test_the_fast_statistics_are_the_metrics(groups):
    result = evaluate(Fixed(VALUES), make(groups), n_resamples=50, seed=3)
    for name, number in result.metrics.items():
        assert result.intervals[name].estimate == pytest.approx(number, abs=1e-12)
        assert result.intervals[name].low <= number <= result.intervals[name].high
    how = {"groups": groups, "n_resamples": 50, "seed": 3}
    np.testing.assert_allclose(result.intervals["mae"], bootstrap(mae, TRUTH, VALUES, **how))
    ranks, labels = (TRUTH - 1).astype(int), VALUES.round().astype(int) - 1
    kappa = bootstrap(lambda a, b: quadratic_weighted_kappa(a, b, 20), ranks, labels, **how)
    np.testing.assert_allclose(result.intervals["kappa"], kappa)


def test_groups_widen_the_interval():
    # Within a group all predictions err alike, so that ten groups are worth ten pictures.
    groups = np.arange(120) // 12
    values = (TRUTH + np.repeat(RNG.normal(0, 3, 10), 12)).clip(1, 20)
    alone, together = (
        evaluate(Fixed(values), make(g), n_resamples=300).intervals["mae"] for g in (None, groups)
    )
    assert together.high - together.low > 1.5 * (alone.high - alone.low)


def test_one_group_gives_no_interval():
    interval = evaluate(Fixed(VALUES), make(np.zeros(120))).intervals["mae"]
    assert np.isfinite(interval.estimate)
    assert np.isnan([interval.low, interval.high]).all()


def test_a_constant_has_no_correlation_and_no_kappa():
    result = evaluate(Fixed(np.full(120, 7.0)), make(), n_resamples=20)
    assert np.isnan(result.metrics["spearman"])
    assert np.isnan(result.intervals["spearman"].low)
    assert result.metrics["kappa"] == pytest.approx(0)
    assert result.metrics["pairwise"] == 0.5


def test_table_and_display():
    result = evaluate(Fixed(VALUES), make(), n_resamples=20)
    table = result.table()
    assert table.index.tolist() == list(result.metrics)
    assert table.loc["mae"].tolist() == list(result.intervals["mae"])
    assert "counting, val: 120 pictures, mae in objects" in repr(result)
    assert f"{result.metrics['mae']:.3f}" in repr(result)
    assert "<table" in result._repr_html_()


def test_as_many_predictions_as_pictures():
    with pytest.raises(ValueError, match="Fixed gave 5 predictions for 120 pictures"):
        evaluate(Fixed(VALUES[:5]), make())


def test_a_model_of_another_task_is_refused():
    model = Fixed(VALUES)
    model.task = load_task("ageing")
    with pytest.raises(ValueError, match="the pictures are labelled with 'counting'"):
        evaluate(model, make())

import numpy as np
import pandas as pd
import pytest

from ordlib import ImageData, evaluate, load_task
from ordlib.metrics import bootstrap, compute_metrics, mae, quadratic_weighted_kappa
from ordlib.tasks import Prediction

RNG = np.random.default_rng(0)
Y_TRUE = RNG.integers(1, 21, 120).astype(float)
Y_PRED = (Y_TRUE + RNG.normal(0, 2, 120)).clip(1, 20)


class Fixed:
    """Predicts given values."""

    def __init__(self, values):
        self.values = values

    def predict(self, data):
        return data.task.decode_values(self.values)


def make_data(groups=None):
    task, images = load_task("counting"), np.zeros((120, 4, 4, 3), np.uint8)
    metadata = pd.DataFrame({"n": range(120)})
    return ImageData(task, images, Y_TRUE, metadata, "made", "val", groups)


def test_evaluate_equals_compute_metrics():
    data = make_data()
    result = evaluate(Fixed(Y_PRED), data, n_resamples=10)
    expected = compute_metrics(data.task, Y_TRUE, data.task.decode_values(Y_PRED))
    # Without probabilities there is nothing to compute them from.
    assert np.isnan([expected.pop("rps"), expected.pop("ece")]).all()
    assert result.metrics == expected
    assert result.y_true is Y_TRUE
    assert isinstance(result.prediction, Prediction)


@pytest.mark.parametrize("groups", [None, np.arange(120) // 10], ids=["images", "groups"])
def test_evaluate_intervals_equal_bootstrap_of_the_metrics(groups):
    result = evaluate(Fixed(Y_PRED), make_data(groups), n_resamples=50, seed=3)
    for name, number in result.metrics.items():
        assert result.intervals[name].estimate == pytest.approx(number, abs=1e-12)
        assert result.intervals[name].low <= number <= result.intervals[name].high
    options = {"groups": groups, "n_resamples": 50, "seed": 3}
    np.testing.assert_allclose(result.intervals["mae"], bootstrap(mae, Y_TRUE, Y_PRED, **options))
    ranks, labels = (Y_TRUE - 1).astype(int), Y_PRED.round().astype(int) - 1
    kappa = bootstrap(lambda a, b: quadratic_weighted_kappa(a, b, 20), ranks, labels, **options)
    np.testing.assert_allclose(result.intervals["kappa"], kappa)


def test_evaluate_groups_widen_the_interval():
    # Errors are shared within a group, so that ten groups count as ten images.
    groups = np.arange(120) // 12
    values = (Y_TRUE + np.repeat(RNG.normal(0, 3, 10), 12)).clip(1, 20)
    single, grouped = (
        evaluate(Fixed(values), make_data(g), n_resamples=300).intervals["mae"]
        for g in (None, groups)
    )
    assert grouped.high - grouped.low > 1.5 * (single.high - single.low)
    one_group = evaluate(Fixed(Y_PRED), make_data(np.zeros(120))).intervals["mae"]
    assert np.isfinite(one_group.estimate)
    assert np.isnan(one_group[1:]).all()


def test_evaluate_constant_prediction():
    result = evaluate(Fixed(np.full(120, 7.0)), make_data(), n_resamples=20)
    assert np.isnan(result.metrics["spearman"])
    assert np.isnan(result.intervals["spearman"].low)
    assert result.metrics["kappa"] == pytest.approx(0)
    assert result.metrics["pairwise"] == 0.5


def test_evaluation_table_and_repr():
    result = evaluate(Fixed(Y_PRED), make_data(), n_resamples=20)
    table = result.table()
    assert table.index.tolist() == list(result.metrics)
    assert table.loc["mae"].tolist() == list(result.intervals["mae"])
    assert "counting, val: 120 images, mae in objects" in repr(result)
    assert f"{result.metrics['mae']:.3f}" in repr(result)
    assert "<table" in result._repr_html_()


def test_evaluate_rejects_wrong_number_of_predictions_and_other_tasks():
    with pytest.raises(ValueError, match="model = Fixed: returned 5 predictions for 120 images"):
        evaluate(Fixed(Y_PRED[:5]), make_data())
    model = Fixed(Y_PRED)
    model.task = load_task("ageing")
    with pytest.raises(ValueError, match=r"data\.task: .*'ageing'.* labelled with 'counting'"):
        evaluate(model, make_data())

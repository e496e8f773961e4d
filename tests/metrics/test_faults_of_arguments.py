"""Odd arguments of metrics, predictions and evaluations: no wrong number, and a named argument."""

import numpy as np
import pandas as pd
import pytest
import torch

from ordlib import ImageData, Prediction, evaluate, load_task
from ordlib.metrics import (
    Interval,
    accuracy,
    bootstrap,
    classify_difference,
    compute_metrics,
    epsilon_error,
    expected_calibration_error,
    macro_mae,
    mae,
    max_mae,
    metrics_by,
    pairwise_accuracy,
    quadratic_weighted_kappa,
    ranked_probability_score,
    spearman,
    two_way_bootstrap,
)

COUNTING, DATING = load_task("counting"), load_task("dating")
THREE = COUNTING.decode_values([1.0, 2, 3])
DATA = ImageData(
    task=COUNTING, images=np.zeros((3, 8, 8, 3), np.uint8), values=[1, 2, 3], fingerprint="f",
    metadata=pd.DataFrame({"lens": ["a", None, "b"]}), split="test",
)  # fmt: skip
GRAD = torch.ones(2, requires_grad=True)
NO_NUMBERS = (["a", "b"], {1: 2}, (x for x in [1, 2]), [[1], [1, 2]], GRAD, [1, 1j], [1, 10**400])


class Model:
    """Returns what it is given."""

    def __init__(self, result=THREE):
        self.result, self.calls = result, 0

    def predict(self, data):
        self.calls += 1
        return self.result


def uniform(rows, ranks):
    return np.full((rows, ranks), 1 / ranks)


@pytest.mark.parametrize("metric", [mae, spearman, pairwise_accuracy, accuracy])
@pytest.mark.parametrize("values", NO_NUMBERS)
def test_what_is_no_number_is_named(metric, values):
    with pytest.raises(ValueError, match="y_pred: must be numbers"):
        metric([1, 2], values)
    with pytest.raises(ValueError, match="y_true: must be numbers"):
        metric(values, [1, 2])


@pytest.mark.parametrize("field", ["value", "label", "probabilities"])
@pytest.mark.parametrize("values", NO_NUMBERS)
def test_prediction_names_what_is_no_number(field, values):
    fields = {"value": [1, 2], "label": [1, 2], "probabilities": uniform(2, 3)} | {field: values}
    with pytest.raises(ValueError, match=f"{field}: must be numbers"):
        Prediction(**fields)


@pytest.mark.parametrize("probabilities", [
    [[-1.0, 2.0]], [[0.3, 0.3]], [[0.5]], np.ones((1, 0)), [[1e308, 1e308]], [[2.0, -1.0]],
    [[1.0, 1.0]], [[0.0, 0.0]],
])  # fmt: skip
def test_probabilities_of_a_prediction_are_distributions(probabilities):
    with pytest.raises(ValueError, match="probabilities"), np.errstate(over="ignore"):
        Prediction([1], [1], probabilities)


def test_probabilities_of_a_prediction_are_kept_as_they_are():
    half = np.array([[0.3, 0.3, 0.4]], np.float16)
    assert np.array_equal(Prediction([1], [1], half).probabilities, half.astype(np.float64))


@pytest.mark.parametrize(("call", "message"), [
    *((lambda n=n: quadratic_weighted_kappa([0, 1], [0, 1], n), "num_ranks = ")
      for n in (0, -1, "4", 1.5, True)),
    (lambda: macro_mae([1, 2], [1, 2], [0.5, 0]), "not a rank index"),
    (lambda: epsilon_error([1], [1], [np.nan]), "must be finite"),
    (lambda: epsilon_error([1, 2], [1, 2], 3), "expected one shape"),
    (lambda: ranked_probability_score([0], [[1.0]]), "of a single rank"),
    (lambda: expected_calibration_error([0], [[1.0]]), "of a single rank"),
    (lambda: ranked_probability_score([0], "x"), "probabilities: must be numbers"),
    (lambda: ranked_probability_score([], np.zeros((0, 3))), "N at least 1"),
    (lambda: ranked_probability_score([-1], uniform(1, 3)), "not a rank index"),
    *((lambda m=m: classify_difference(Interval(0, -1, 1), m), "margin = ")
      for m in ("1", None, np.nan, -1, [1])),
    (lambda: compute_metrics(COUNTING, [1, 2, 3], np.array([1, 2, 3])), "must be a Prediction"),
    *((lambda n=n: compute_metrics(DATING, [1, 2], Prediction([1, 2], [1, 2], uniform(2, n))),
       f"probabilities of {n} ranks; task 'dating' has 5") for n in (2, 4, 6, 50)),
    *((lambda by=by: metrics_by(COUNTING, [1, 2, 3], THREE, by), "^by: [124] values for 3 labels")
      for by in (["a", "b"], list("abcd"), "abc", None)),
])  # fmt: skip
def test_the_argument_of_a_metric_is_named(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


@pytest.mark.parametrize("function", [bootstrap, two_way_bootstrap])
@pytest.mark.parametrize(("option", "value"), [
    *(("n_resamples", n) for n in (0, -1, 1.5, "5", None, True)),
    *(("confidence_level", level) for level in (0, 1, 95, "0.9", None, np.nan, True)),
    *(("seed", seed) for seed in (-1, "a", None, 1.5, True)),
    *(("groups", groups) for groups in ("abc", {"a": 1}, [["a"], ["b"], ["c"]], 5, [])),
])  # fmt: skip
def test_bootstraps_name_the_argument(function, option, value):
    statistic = [np.mean] if function is bootstrap else []
    with pytest.raises(ValueError, match=f"^{option}"):
        function(*statistic, [1, 2, 3], **{option: value})


@pytest.mark.parametrize("function", [bootstrap, two_way_bootstrap])
@pytest.mark.parametrize("gap", [None, np.nan, pd.NA, pd.NaT])
def test_bootstraps_name_a_missing_group(function, gap):
    statistic = [np.mean] if function is bootstrap else []
    with pytest.raises(ValueError, match=r"groups\[1\]: is missing"):
        function(*statistic, [1, 2, 3], groups=np.array([1, gap, 3], object))


@pytest.mark.parametrize("errors", [[], [[]], np.ones((2, 2, 2)), "ab", ["a"], GRAD, [1, np.nan]])
def test_two_way_bootstrap_names_invalid_errors(errors):
    with pytest.raises(ValueError, match=r"^errors: "):
        two_way_bootstrap(errors)


def test_ranks_of_any_size_take_no_memory():
    assert macro_mae([1, 1, 1, 5], [1, 1, 1, 1], [10**15, 10**15, 10**15, -4]) == 2.0
    assert max_mae([1, 1, 1, 5], [1, 1, 1, 1], [10**15, 10**15, 10**15, -4]) == 4.0


def test_rows_without_a_value_of_the_column_are_counted():
    for missing in (None, np.nan):
        table = metrics_by(COUNTING, [1, 2, 3], THREE, [missing, "a", "a"])
        assert table["images"].tolist() == [2, 1, 3]
    table = evaluate(Model(), DATA, n_resamples=2).by(DATA.metadata, "lens")
    assert table["images"].tolist() == [1, 1, 1, 3]


@pytest.mark.parametrize(("metadata", "column", "message"), [
    *((pd.DataFrame({"lens": list(values)}), "lens", "^by: ") for values in ("ab", "abcd", "")),
    *((DATA.metadata, column, "^column = ") for column in (None, ["lens"], 0, "Lens")),
    (None, "lens", "its columns: none"),
])  # fmt: skip
def test_evaluation_by_a_column_of_other_images(metadata, column, message):
    with pytest.raises(ValueError, match=message):
        evaluate(Model(), DATA, n_resamples=2).by(metadata, column)


@pytest.mark.parametrize(("model", "data", "message"), [
    (DATA, Model(), "^data = "), (Model, DATA, "^model = <class"), 
    ("corn", DATA, "^model = 'corn'"),
    (None, DATA, "^model = None"), *((Model(), data, "^data = ") for data in (
        "folder", [DATA], None, DATA.metadata, DATA.images, {"test": DATA})),
    *((Model(result), DATA, "^prediction = ") for result in (
        np.array([1, 2, 3]), [1, 2, 3], (THREE, None), None, 0, {"value": [1]})),
    (Model(THREE.subset([0])), DATA, "returned 1 predictions for 3 images"),
    (Model(Prediction([1, 2, 3], [1, 2, 3], uniform(3, 25))), DATA, "probabilities of 25 ranks"),
])  # fmt: skip
def test_evaluate_names_the_argument(model, data, message):
    with pytest.raises((TypeError, ValueError), match=message):
        evaluate(model, data)


@pytest.mark.parametrize("options", [
    *({"n_resamples": n} for n in (0, 1.5, "1", None)), *({"seed": s} for s in (-1, "a", None)),
])  # fmt: skip
def test_evaluate_checks_its_options_before_the_prediction(options):
    model = Model()
    with pytest.raises(ValueError, match=next(iter(options))):
        evaluate(model, DATA, **options)
    assert model.calls == 0

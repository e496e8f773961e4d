"""cross_validate and cross_val_predict against folds trained by hand."""

import warnings

import numpy as np
import pytest
import training_runs as runs

from ordlib import CoOp, LinearProbe, ZeroShot, fit, load_clip
from ordlib.data.splits import split_indices
from ordlib.metrics import accuracy, mae, spearman, two_way_bootstrap
from ordlib.training.cross_validation import cross_val_predict, cross_validate
from ordlib.training.held_out import hold_out_val


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, "cpu")


@pytest.fixture(scope="module")
def data():
    data = runs.make_data("train", 60)
    vars(data)["groups"] = np.array([f"g{i // 6}" for i in range(60)])
    return data


@pytest.fixture(scope="module")
def models(clip):
    return {
        "ridge": lambda seed: LinearProbe(clip, runs.TASK),
        "CoOp": lambda seed: CoOp(clip, runs.TASK, seed=seed),
        "zero-shot": lambda seed: ZeroShot(clip, runs.TASK),
    }


def by_hand(name, models, data, seed):
    """Out-of-fold predictions of one repeat."""
    values, labels = np.empty(60), np.empty(60)
    folds = split_indices(data.ranks, {str(i): 1 / 3 for i in range(3)}, data.groups, seed)
    for rows in folds.values():
        train = data.subset(np.setdiff1d(range(60), rows))
        model = models[name](seed)
        if name == "ridge":
            model.fit(train)
        elif name == "CoOp":
            [kept], [val] = hold_out_val([train], seed)
            fit(model, kept, val, {"epochs": 2, "seed": seed}, progress=False)
        prediction = model.predict(data.subset(rows))
        values[rows], labels[rows] = prediction.value, prediction.label
    return values, labels


@pytest.mark.filterwarnings("ignore")
def test_cross_validate_equals_folds_by_hand(models, data):
    options = {"n_splits": 3, "n_repeats": 2, "reference": "ridge", "progress": False}
    table = cross_validate(models, data, {"epochs": 2}, seed=5, **options)
    assert table.index.tolist() == [*models]
    errors = {}
    for name in models:
        values, labels = np.array([by_hand(name, models, data, s) for s in (5, 6)]).swapaxes(0, 1)
        row = table.loc[name]
        assert row["mae"] == pytest.approx(np.mean([mae(data.values, v) for v in values]))
        hits = [accuracy(data.ranks, runs.TASK.rank_index(x)) for x in labels]
        assert row["accuracy"] == pytest.approx(np.mean(hits))
        correlations = [spearman(data.values, v) for v in values]
        assert row["spearman"] == pytest.approx(np.mean(correlations))
        assert row["mae_low"] <= row["mae"] <= row["mae_high"]
        errors[name] = abs(data.values - values)
    expected = two_way_bootstrap(errors["CoOp"], errors["ridge"], groups=data.groups)
    found = table.loc["CoOp", ["mae_diff", "mae_diff_low", "mae_diff_high"]]
    np.testing.assert_allclose(found.astype(float), expected)
    assert table.loc["ridge", "mae_diff":"mae_diff_high"].isna().all()


@pytest.mark.filterwarnings("ignore")
def test_cross_val_predict_returns_predictions_in_the_order_of_the_images(models, data):
    for name in ("ridge", "CoOp"):
        found = cross_val_predict(models[name], data, {"epochs": 2}, n_splits=3, seed=5)
        values, labels = by_hand(name, models, data, 5)
        np.testing.assert_allclose(found.value, values)
        np.testing.assert_array_equal(found.label, labels)
        if name == "ridge":
            assert found.probabilities is None
        else:
            expected = found.probabilities @ runs.TASK.rank_values
            np.testing.assert_allclose(expected, values, atol=1e-4)


def test_cross_val_predict_gives_each_warning_once(data):
    class Doubtful(LinearProbe):
        def _check_fitted(self, regressor, num_images):
            warnings.warn("doubtful", stacklevel=2)

    encode = lambda part: np.arange(len(part), dtype=float)[:, None]  # noqa: E731
    with pytest.warns(UserWarning, match="doubtful") as caught:
        cross_val_predict(lambda seed: Doubtful(encode, runs.TASK), data, n_splits=3)
    assert len(caught) == 1


def test_cross_val_predict_validates_arguments(models, data):
    with pytest.raises(TypeError, match="model: must be a function that maps a seed"):
        cross_val_predict(models["ridge"](0), data)
    with pytest.raises(ValueError, match="n_splits = 1: must be an integer, 2 or more"):
        cross_val_predict(models["ridge"], data, n_splits=1)


def test_cross_validate_validates_arguments(models, data):
    with pytest.raises(ValueError, match="reference = 'lasso': must be one of ridge, CoOp"):
        cross_validate(models, data, reference="lasso")
    with pytest.raises(TypeError, match=r"models\['a'\]: must be a function that maps a seed"):
        cross_validate({"a": models["ridge"](0)}, data)
    with pytest.raises(ValueError, match="n_splits = 1: must be an integer, 2 or more"):
        cross_validate(models, data, n_splits=1)
    with pytest.raises(ValueError, match="10 groups are too few for 11 splits"):
        cross_validate(models, data, n_splits=11, progress=False)

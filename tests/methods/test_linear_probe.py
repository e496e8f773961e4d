import re

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from ordlib import ImageData, LinearProbe, load_clip, load_data, load_task
from ordlib.methods.linear_probe import ALPHAS, CV_FOLDS, _group_folds


def make_data(groups=None):
    """Labels of counting; the features below need no image."""
    values = np.random.default_rng(0).integers(1, 21, 80).astype(float)
    images, metadata = np.zeros((80, 1, 1, 3), np.uint8), pd.DataFrame({"n": range(80)})
    return ImageData(load_task("counting"), images, values, metadata, "made", "train", groups)


def features(data):
    rng = np.random.default_rng(len(data))
    noise = rng.normal(size=(len(data), 6))
    return np.column_stack([1000 * data.values + rng.normal(0, 9000, len(data)), noise])


def test_linear_probe_equals_ridge_with_best_leave_one_out_alpha():
    data = make_data()
    x, y = features(data), data.values
    z = (x - x.mean(0)) / x.std(0)  # standardized once, before samples are left out
    mses = []
    for alpha in ALPHAS:
        errors = [
            Ridge(alpha).fit(np.delete(z, i, 0), np.delete(y, i)).predict(z[i : i + 1])[0] - y[i]
            for i in range(len(y))
        ]
        mses.append(np.mean(np.square(errors)))
    best = ALPHAS[int(np.argmin(mses))]
    assert ALPHAS[0] < best < ALPHAS[-1]
    # Ridge regression by the normal equations.
    weights = np.linalg.solve(z.T @ z + best * np.eye(z.shape[1]), z.T @ (y - y.mean()))
    expected = (z @ weights + y.mean()).clip(1, 20)
    predicted = LinearProbe(features, data.task).fit(data).predict(data)
    np.testing.assert_allclose(predicted.value, expected, atol=1e-8)


def test_group_folds_keep_groups_together():
    groups = np.repeat(np.arange(8), 10)
    folds = _group_folds(make_data(groups=groups))
    assert len(folds) == CV_FOLDS
    for train, val in folds:
        assert not set(groups[train]) & set(groups[val])
    assert len(_group_folds(make_data(groups=groups % 2))) == 2
    assert _group_folds(make_data()) is None
    assert _group_folds(make_data(groups=groups * 0)) is None


def test_predict_clips_values_and_rounds_labels_to_ranks():
    data = make_data()
    model = LinearProbe(lambda data: 50 * (data.values[:, None] - 10), data.task).fit(data)
    model.encode = lambda data: 5000 * (data.values[:, None] - 10)
    prediction = model.predict(data)
    assert (prediction.value.min(), prediction.value.max()) == (1, 20)
    rank_values = data.task.rank_values
    nearest = [rank_values[np.abs(rank_values - value).argmin()] for value in prediction.value]
    assert prediction.label.tolist() == nearest
    assert prediction.probabilities is None


def test_fit_and_predict_reject_invalid_input():
    data = make_data()
    with pytest.raises(RuntimeError, match="LinearProbe is not fitted: call fit"):
        LinearProbe(features, data.task).predict(data)
    with pytest.raises(ValueError, match=r"shape \(80,\), not \(80, D\)"):
        LinearProbe(lambda data: data.values, data.task).fit(data)
    invalid = np.where(np.arange(80) == 3, np.nan, 1.0)[:, None]
    with pytest.raises(ValueError, match=r"encode\(data\)\[3\].* not finite"):
        LinearProbe(lambda data: invalid, data.task).fit(data)
    with pytest.raises(ValueError, match=r"train.task = 'counting'.*'dating'"):
        LinearProbe(features, load_task("dating")).fit(data)
    with pytest.raises(TypeError, match=r"\['train', 'val'\].* data\['train'\]"):
        LinearProbe(features, data.task).fit({"train": None, "val": None})


@pytest.mark.parametrize(
    ("scale", "end", "problem"), [(0, "1e+08", "little but the mean"), (1, "0.001", "fits noise")]
)
def test_linear_probe_warns_if_the_best_penalty_is_an_end(scale, end, problem):
    rng = np.random.default_rng(2)
    features = rng.normal(size=(60, 40 if scale else 3))
    values = scale * features[:, 0] + (1 - scale) * rng.normal(size=60)
    values = 10 + values.clip(-9, 9)
    data = ImageData(
        load_task("counting"), np.zeros((60, 2, 2, 3), np.uint8), values,
        pd.DataFrame(index=range(60)), "noise", "train",
    )  # fmt: skip
    with pytest.warns(UserWarning, match=rf"strength, {re.escape(end)}, is the last .*{problem}"):
        LinearProbe(lambda _: features, data.task).fit(data)


def test_linear_probe_of_few_features_needs_no_penalty(recwarn):
    features = np.random.default_rng(2).normal(size=(60, 3))
    data = ImageData(
        load_task("counting"), np.zeros((60, 2, 2, 3), np.uint8), 10 + features[:, 0],
        pd.DataFrame(index=range(60)), "no noise", "train",
    )  # fmt: skip
    LinearProbe(lambda _: features, data.task).fit(data)
    assert not recwarn.list


def test_linear_probe_takes_a_backbone_or_its_name():
    train = load_data("dating", "train", num_images=40)
    by_name = LinearProbe("pico-clip", "dating").fit(train).predict(train)
    clip = load_clip("pico-clip", "cpu")
    by_function = LinearProbe(lambda data: clip.encode_images(data), train.task).fit(train)
    np.testing.assert_allclose(by_name.value, by_function.predict(train).value, atol=1e-6)

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import Ridge

from ordlib import ImageData, LinearProbe, load_task
from ordlib.methods import linear_probe as probe
from ordlib.synthetic import pixel_baselines as pixels
from ordlib.synthetic.pixel_baselines import PixelRidge, PixelTrees
from ordlib.tasks import OrdinalTask


def make(count=80, side=96, seed=0, groups=None, task="counting"):
    """Pictures of as many small red squares as the label says, on noise."""
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 21, count).astype(float)
    images = rng.integers(0, 60, (count, side, side, 3), dtype=np.uint8)
    for image, value in zip(images, values, strict=True):
        for cell in rng.permutation(64)[: int(value)]:
            y, x = np.array(divmod(cell, 8)) * (side // 8)
            image[y : y + side // 10, x : x + side // 10, 0] = 250
    records = pd.DataFrame({"n": np.arange(count)})
    task = load_task(task) if isinstance(task, str) else task
    return ImageData(task, images, values, records, f"made{seed}", "train", groups)


def features(data):
    rng = np.random.default_rng(len(data))
    noise = rng.normal(size=(len(data), 6))
    return np.column_stack([1000 * data.values + rng.normal(0, 9000, len(data)), noise])


def naive_ridge(x, y, penalty):
    """Ridge by the normal equations, on standardised columns."""
    mean, spread = x.mean(0), x.std(0)
    z = (x - mean) / spread
    weights = np.linalg.solve(z.T @ z + penalty * np.eye(z.shape[1]), z.T @ (y - y.mean()))
    return lambda new: (new - mean) / spread @ weights + y.mean()


def test_the_probe_is_ridge_with_the_penalty_that_leaves_one_out_best():
    data = make()
    x, y = features(data), data.values
    errors = []
    for penalty in probe.PENALTIES:
        # As the probe does, standardise once, before leaving out.
        z = (x - x.mean(0)) / x.std(0)
        misses = [
            Ridge(penalty).fit(np.delete(z, i, 0), np.delete(y, i)).predict(z[i : i + 1])[0] - y[i]
            for i in range(len(y))
        ]
        errors.append(np.mean(np.square(misses)))
    best = probe.PENALTIES[int(np.argmin(errors))]
    assert probe.PENALTIES[0] < best < probe.PENALTIES[-1]
    predicted = LinearProbe(features, data.task).fit(data).predict(data)
    expected = naive_ridge(x, y, best)(x).clip(1, 20)
    np.testing.assert_allclose(predicted.value, expected, atol=1e-8)


def test_groups_are_left_out_whole():
    groups = np.repeat(np.arange(8), 10)
    for train, held in probe._folds(make(groups=groups)):
        assert not set(groups[train]) & set(groups[held])
    assert len(probe._folds(make(groups=groups))) == probe.FOLDS
    assert len(probe._folds(make(groups=groups % 2))) == 2
    assert probe._folds(make()) is None
    assert probe._folds(make(groups=groups * 0)) is None


def test_predictions_stay_in_range_and_labels_on_ranks():
    data = make()
    model = LinearProbe(lambda data: 50 * (data.values[:, None] - 10), data.task).fit(data)
    model.encode = lambda data: 5000 * (data.values[:, None] - 10)
    prediction = model.predict(data)
    assert (prediction.value.min(), prediction.value.max()) == (1, 20)
    rank_values = data.task.rank_values
    nearest = [rank_values[np.abs(rank_values - value).argmin()] for value in prediction.value]
    assert prediction.label.tolist() == nearest
    assert prediction.probabilities is None


def test_misuse_is_named():
    data = make()
    with pytest.raises(RuntimeError, match=r"PixelRidge is not fitted: call fit\(train\)"):
        PixelRidge(data.task).predict(data)
    with pytest.raises(ValueError, match=r"shape \(80,\) for 80 pictures; it must be \(80, D\)"):
        LinearProbe(lambda data: data.values, data.task).fit(data)
    broken = np.where(np.arange(80) == 3, np.nan, 1.0)[:, None]
    with pytest.raises(ValueError, match="not finite for picture 3"):
        LinearProbe(lambda data: broken, data.task).fit(data)
    with pytest.raises(ValueError, match=r"predicts 'dating'.* labelled with 'counting'"):
        LinearProbe(features, load_task("dating")).fit(data)


@pytest.mark.parametrize("model", [PixelRidge, PixelTrees])
def test_pixel_baselines_learn_and_repeat_themselves(model):
    train, test = make(150), make(60, seed=1)
    one = model(train.task).fit(train).predict(test)
    two = model(train.task).fit(train).predict(test)
    assert np.array_equal(one.value, two.value)
    assert np.abs(one.value - test.values).mean() < 2.5  # a constant is off by 5


def test_thumbnails_and_histograms_against_loops():
    data = make(3)
    found = pixels.thumbnail_features(data)
    for row, image in zip(found, data.images, strict=True):
        thumbnail = image.reshape(12, 8, 12, 8, 3).mean(axis=(1, 3)) / 255
        np.testing.assert_allclose(row[:432], thumbnail.ravel(), atol=1 / 255)
        for channel in range(3):
            counts = np.histogram(image[..., channel], bins=16, range=(0, 256))[0]
            start = 432 + 16 * channel
            np.testing.assert_allclose(row[start : start + 16], counts / 96**2)


def test_edge_energies_against_loops():
    image = make(1).images
    grey = image[0].astype(float).mean(axis=2) / 255
    expected = []
    for _ in range(4):
        across, down = np.abs(grey[:, 1:] - grey[:, :-1]), np.abs(grey[1:] - grey[:-1])
        expected += [across.mean(), across.std(), down.mean(), down.std()]
        expected.append(((across > 0.1).mean() + (down > 0.1).mean()) / 2)
        half = len(grey) // 2
        grey = grey.reshape(half, 2, half, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(pixels.edge_energies(image)[0], expected, rtol=1e-4, atol=1e-5)


def test_pictures_of_any_size_are_scaled(tmp_path):
    task = OrdinalTask(name="own", unit="points", values=(1, 2))
    paths = []
    for i, size in enumerate([(50, 80), (300, 200)]):
        paths.append(tmp_path / f"{i}.png")
        Image.new("RGB", size, (255, 0, 0)).save(paths[-1])
    data = ImageData(task, paths, np.array([1.0, 2.0]), pd.DataFrame({"n": [0, 1]}), "k", "all")
    assert pixels.pixels_of(data).shape == (2, 96, 96, 3)
    np.testing.assert_array_equal(*pixels.thumbnail_features(data))


def test_a_dict_of_splits_is_refused_with_the_way_out():
    model = LinearProbe(lambda data: np.zeros((len(data), 1)), load_task("counting"))
    with pytest.raises(TypeError, match=r"give data\['train'\] \(of \['train', 'val'\]\)"):
        model.fit({"train": None, "val": None})

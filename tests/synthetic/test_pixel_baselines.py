import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ordlib import ImageData, load_task
from ordlib.synthetic import pixel_baselines as pixels
from ordlib.synthetic.pixel_baselines import PixelRidge, PixelTrees
from ordlib.tasks import OrdinalTask


def make_data(count=80, size=96, seed=0):
    """Noise images with as many red squares as the label."""
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 21, count).astype(float)
    images = rng.integers(0, 60, (count, size, size, 3), dtype=np.uint8)
    for image, value in zip(images, values, strict=True):
        for cell in rng.permutation(64)[: int(value)]:
            y, x = np.array(divmod(cell, 8)) * (size // 8)
            image[y : y + size // 10, x : x + size // 10, 0] = 250
    metadata = pd.DataFrame({"n": np.arange(count)})
    return ImageData(load_task("counting"), images, values, metadata, f"made{seed}", "train")


@pytest.mark.parametrize("model", [PixelRidge, PixelTrees])
def test_pixel_baselines_learn_and_are_deterministic(model):
    train, test = make_data(150), make_data(60, seed=1)
    first, second = (model(train.task).fit(train).predict(test).value for _ in range(2))
    assert np.array_equal(first, second)
    assert np.abs(first - test.values).mean() < 2.5  # 5 for a constant


def test_thumbnail_features_equal_naive_loop():
    data = make_data(3)
    for row, image in zip(pixels.thumbnail_features(data), data.images, strict=True):
        thumbnail = image.reshape(12, 8, 12, 8, 3).mean(axis=(1, 3)) / 255
        np.testing.assert_allclose(row[:432], thumbnail.ravel(), atol=1 / 255)
        for channel in range(3):
            counts = np.histogram(image[..., channel], bins=16, range=(0, 256))[0]
            start = 432 + 16 * channel
            np.testing.assert_allclose(row[start : start + 16], counts / 96**2)


def test_edge_energies_equal_naive_loop():
    images = make_data(1).images
    gray = images[0].astype(float).mean(axis=2) / 255
    expected = []
    for _ in range(4):
        across, down = np.abs(gray[:, 1:] - gray[:, :-1]), np.abs(gray[1:] - gray[:-1])
        expected += [across.mean(), across.std(), down.mean(), down.std()]
        expected.append(((across > 0.1).mean() + (down > 0.1).mean()) / 2)
        half = len(gray) // 2
        gray = gray.reshape(half, 2, half, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(pixels.edge_energies(images)[0], expected, rtol=1e-4, atol=1e-5)


def test_pixel_features_resize_images(tmp_path):
    task = OrdinalTask(name="own", unit="points", values=(1, 2))
    paths = []
    for i, size in enumerate([(50, 80), (300, 200)]):
        paths.append(tmp_path / f"{i}.png")
        Image.new("RGB", size, (255, 0, 0)).save(paths[-1])
    data = ImageData(task, paths, np.array([1.0, 2.0]), pd.DataFrame({"n": [0, 1]}), "k", "all")
    assert pixels.pixels_of(data).shape == (2, 96, 96, 3)
    np.testing.assert_array_equal(*pixels.thumbnail_features(data))

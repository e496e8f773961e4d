"""Rendering: determinism, sizes, splits and the disk cache."""

import json
import subprocess
import sys
from math import gcd
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ordlib.synthetic import SPLIT_SIZES, TASKS, render, render_many, render_split

SPLITS = ("pretrain", "train", "val", "test")
SCRIPT = """
from ordlib.synthetic import render_split
data = render_split("counting", "val", side=64, size=60, workers=1)
print(data.fingerprint, int(data.images.sum(dtype="int64")), data.values.sum(), len(data.metadata))
"""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path))
    return tmp_path


def assert_same(first, second):
    """Images, labels and records are equal."""
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert first[2].to_dict("records") == second[2].to_dict("records")


@pytest.mark.parametrize("task", TASKS)
def test_render_is_deterministic_and_ignores_global_random_state(task):
    samples = []
    for seed in (0, 1):
        np.random.seed(seed)
        before = np.random.get_state()[1].copy()
        samples.append(render(task, "train", 7, side=64))
        np.testing.assert_array_equal(before, np.random.get_state()[1])
    first, again = samples
    np.testing.assert_array_equal(first.image, again.image)
    assert (first.value, first.record) == (again.value, again.record)
    assert (first.image.shape, first.image.dtype) == ((64, 64, 3), np.uint8)


# Strong noise is clipped pixel by pixel, so that quality differs most.
@pytest.mark.parametrize(
    ("task", "tolerance"), [("counting", 4), ("dating", 8), ("ageing", 2), ("quality", 11)]
)
@pytest.mark.parametrize("index", range(8))
def test_render_is_equal_at_every_size(task, tolerance, index):
    small = render(task, "val", index, 64)
    for side in (96, 192, 224):
        large, common = render(task, "val", index, side), gcd(64, side)
        a, b = (
            np.asarray(Image.fromarray(sample.image).reduce(len(sample.image) // common), float)
            for sample in (small, large)
        )
        assert np.abs(a - b).mean() < tolerance
        assert np.abs(a.mean((0, 1)) - b.mean((0, 1))).max() < 6
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.96
        assert small.value == large.value
        for name, value in small.record.items():
            measured = name in ("brightness", "contrast", "ink")  # in the pixels of the image
            assert large.record[name] == (pytest.approx(value, abs=0.06) if measured else value)


@pytest.mark.parametrize("task", TASKS)
def test_render_many_does_not_depend_on_order(task):
    forward, backward = (render_many(task, "val", i, 64, workers=1) for i in ([0, 1, 2], [2, 1, 0]))
    assert_same(forward, [part[::-1] for part in backward])


def test_render_many_does_not_depend_on_workers():
    assert_same(*(render_many("counting", "train", range(120), 64, workers=n) for n in (1, 2)))


@pytest.mark.parametrize("task", TASKS)
def test_splits_share_no_images(task):
    splits = [*SPLITS, "distractors"] if task == "counting" else SPLITS
    images = [render(task, split, index, 64).image for split in splits for index in range(4)]
    assert len({image.tobytes() for image in images}) == len(images)


@pytest.mark.parametrize("task", TASKS)
def test_metadata_is_flat_and_complete(task):
    _, _, records = render_many(task, "train", range(12), 64)
    assert not records.isna().any().any()
    for row in records.to_dict("records"):
        assert all(isinstance(value, str | int | float) for value in row.values()), row


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (render, ("juggling", "train", 0), "juggling.*counting"),
        (render, ("counting", "training", 0), "training.*val"),
        (render, ("dating", "distractors", 0), "only counting"),
        (render, ("counting", "train", -1), "negative"),
        (render, ("counting", "train", 0, 63), "side = 63"),
        (render, ("counting", "train", 0, 337), "side = 337"),
        (render_split, ("counting", "pretrain"), "size="),
        (render_split, ("counting", "val", 64, 0), "size = 0"),
        (render_many, ("counting", "val", []), "one or more"),
        (render_many, ("counting", "val", [0, -2]), r"-2.*negative"),
    ],
)
def test_rendering_rejects_invalid_arguments(cache, function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)
    assert not list(cache.iterdir())


@pytest.mark.parametrize(("task", "ranks", "columns"), [("counting", 20, 5), ("ageing", 90, 30)])
def test_labels_are_uniform_and_no_number_predicts_them(task, ranks, columns):
    train = render_split(task, "train", 64)
    labels, counts = np.unique(train.values, return_counts=True)
    assert labels.tolist() == list(range(1, ranks + 1))
    expected = 2000 / ranks
    assert np.abs(counts - expected).max() < 3 * np.sqrt(expected)
    numbers = train.metadata.select_dtypes("number")
    assert len(numbers.columns) >= columns
    leaks = numbers.corrwith(pd.Series(train.values), method="spearman").abs()
    assert (leaks < 0.55).all(), leaks


def test_split_sizes():
    assert SPLIT_SIZES == {"train": 2000, "val": 400, "test": 1000, "distractors": 1000}


def test_render_split_returns_the_cached_split(cache, monkeypatch):
    first = render_split("counting", "val", side=64, size=5)
    rendered = render_many("counting", "val", range(5), 64)
    assert_same((first.images, first.values, first.metadata), rendered)
    with pytest.raises(ValueError, match="read-only"):
        first.images[0] = 0

    refuse = Mock(side_effect=AssertionError("rendered again"))
    monkeypatch.setattr("ordlib.synthetic.rendering.render_many", refuse)
    again = render_split("counting", "val", side=64, size=5)
    assert again.fingerprint == first.fingerprint
    np.testing.assert_array_equal(again.images, first.images)
    with pytest.raises(AssertionError, match="rendered again"):
        render_split("counting", "val", side=64, size=6)


def test_render_split_interrupted_leaves_no_files(cache, monkeypatch):
    monkeypatch.setattr(
        "ordlib.synthetic.rendering.json.dumps", Mock(side_effect=KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        render_split("counting", "val", side=64, size=2)
    assert not list((cache / "rendered").iterdir())


@pytest.mark.slow
def test_render_split_in_two_processes(cache):
    command = [sys.executable, "-c", SCRIPT]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert outputs[0] == outputs[1]
    folders = list((cache / "rendered").iterdir())
    assert [folder.name for folder in folders] == [outputs[0].split()[0]]
    images, values, _ = render_many("counting", "val", range(60), 64)
    assert outputs[0].split()[1:] == [str(images.sum(dtype="int64")), str(values.sum()), "60"]


def coarse(image: np.ndarray) -> list[list[int]]:
    """Means of 4 x 4 blocks over all channels."""
    return image.reshape(4, 16, 4, 16, 3).mean((1, 3, 4)).round().astype(int).tolist()


@pytest.mark.parametrize("task", TASKS)
def test_images_equal_those_of_dataset_version(task):
    """If images change, change rendering.DATASET_VERSION and pictures.json.

    Block means with a tolerance, since Pillow versions and CPUs round differently.
    """
    for expected in json.loads(Path(__file__).with_name("pictures.json").read_text())[task]:
        sample = render(task, "val", expected["index"], side=64)
        assert sample.value == pytest.approx(expected["value"], abs=0.01)
        assert np.abs(np.subtract(coarse(sample.image), expected["blocks"])).max() <= 3

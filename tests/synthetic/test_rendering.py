"""Rendering: determinism, sizes, splits and the disk cache."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
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


@pytest.mark.parametrize("task", TASKS)
def test_render_is_deterministic(task):
    first, again = (render(task, "train", 7, side=64) for _ in range(2))
    np.testing.assert_array_equal(first.image, again.image)
    assert first.value == again.value
    assert first.record == again.record
    assert first.image.shape == (64, 64, 3)
    assert first.image.dtype == np.uint8


@pytest.mark.parametrize("task", TASKS)
def test_render_ignores_global_random_state(task):
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    first = render(task, "train", 3, side=64).image
    np.testing.assert_array_equal(before, np.random.get_state()[1])
    np.random.seed(1)
    np.testing.assert_array_equal(first, render(task, "train", 3, side=64).image)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("index", [0, 5])
def test_render_is_similar_at_every_size(task, index):
    """Words, labels and coarse pixels are equal."""
    small, middle, large = (render(task, "val", index, side=side) for side in (64, 96, 224))
    assert small.value == middle.value == large.value

    def words(sample):
        return {key: word for key, word in sample.record.items() if isinstance(word, str)}

    assert words(small) == words(middle) == words(large)
    coarse = [
        np.asarray(Image.fromarray(sample.image).resize((16, 16), Image.Resampling.BOX), float)
        for sample in (small, middle, large)
    ]
    assert np.abs(coarse[0] - coarse[1]).mean() < 6
    assert np.abs(coarse[0] - coarse[2]).mean() < 6


@pytest.mark.parametrize("task", TASKS)
def test_render_many_does_not_depend_on_order(task):
    forward = render_many(task, "val", [0, 1, 2], 64, workers=1)
    backward = render_many(task, "val", [2, 1, 0], 64, workers=1)
    np.testing.assert_array_equal(forward[0], backward[0][::-1])
    np.testing.assert_array_equal(forward[1], backward[1][::-1])
    assert forward[2].to_dict("records") == backward[2].to_dict("records")[::-1]


def test_render_many_does_not_depend_on_workers():
    alone = render_many("counting", "train", range(120), 64, workers=1)
    together = render_many("counting", "train", range(120), 64, workers=2)
    np.testing.assert_array_equal(alone[0], together[0])
    np.testing.assert_array_equal(alone[1], together[1])
    assert alone[2].equals(together[2])


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
    ("arguments", "message"),
    [
        (("juggling", "train", 0), "juggling.*counting"),
        (("counting", "training", 0), "training.*val"),
        (("dating", "distractors", 0), "only counting"),
        (("counting", "train", -1), "negative"),
        (("counting", "train", 0, 63), "side = 63"),
        (("counting", "train", 0, 337), "side = 337"),
    ],
)
def test_render_rejects_invalid_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        render(*arguments)


def test_render_split_and_render_many_reject_invalid_arguments(cache):
    with pytest.raises(ValueError, match="size="):
        render_split("counting", "pretrain")
    with pytest.raises(ValueError, match="size = 0"):
        render_split("counting", "val", size=0)
    with pytest.raises(ValueError, match="one or more"):
        render_many("counting", "val", [])
    with pytest.raises(ValueError, match=r"-2.*negative"):
        render_many("counting", "val", [0, -2])
    assert not list(cache.iterdir())


def test_split_sizes():
    assert SPLIT_SIZES == {"train": 2000, "val": 400, "test": 1000, "distractors": 1000}


def test_render_split_returns_the_cached_split(cache, monkeypatch):
    first = render_split("counting", "val", side=64, size=5)
    images, values, records = render_many("counting", "val", range(5), 64)
    np.testing.assert_array_equal(first.images, images)
    np.testing.assert_array_equal(first.values, values)
    assert first.metadata.to_dict("records") == records.to_dict("records")

    def refuse(*_):
        raise AssertionError("rendered again")

    monkeypatch.setattr("ordlib.synthetic.rendering.render_many", refuse)
    again = render_split("counting", "val", side=64, size=5)
    assert again.fingerprint == first.fingerprint
    np.testing.assert_array_equal(again.images, first.images)
    with pytest.raises(AssertionError, match="rendered again"):
        render_split("counting", "val", side=64, size=6)


def test_render_split_images_are_read_only(cache):
    images = render_split("counting", "val", side=64, size=2).images
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_render_split_interrupted_leaves_no_files(cache, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("ordlib.synthetic.rendering.json.dumps", interrupt)
    with pytest.raises(KeyboardInterrupt):
        render_split("counting", "val", side=64, size=2)
    assert not list((cache / "world").iterdir())


def test_render_split_in_two_processes(cache):
    command = [sys.executable, "-c", SCRIPT]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert outputs[0] == outputs[1]
    folders = list((cache / "world").iterdir())
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

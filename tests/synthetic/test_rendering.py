"""The rendered world as a whole: addresses, determinism, splits and the disk cache."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

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
def test_address_names_one_picture(task):
    first, again = (render(task, "train", 7, side=64) for _ in range(2))
    np.testing.assert_array_equal(first.image, again.image)
    assert first.value == again.value
    assert first.record == again.record
    assert first.image.shape == (64, 64, 3)
    assert first.image.dtype == np.uint8


@pytest.mark.parametrize("task", TASKS)
def test_global_random_state_is_neither_used_nor_changed(task):
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    first = render(task, "train", 3, side=64).image
    np.testing.assert_array_equal(before, np.random.get_state()[1])
    np.random.seed(1)
    np.testing.assert_array_equal(first, render(task, "train", 3, side=64).image)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("index", [0, 5])
def test_same_picture_at_every_side(task, index):
    """The words, the label and, seen from afar, the pixels agree."""
    from PIL import Image

    small, middle, large = (render(task, "val", index, side=side) for side in (64, 96, 224))
    assert small.value == middle.value == large.value

    def words(picture):
        return {key: word for key, word in picture.record.items() if isinstance(word, str)}

    assert words(small) == words(middle) == words(large)
    coarse = [
        np.asarray(Image.fromarray(picture.image).resize((16, 16), Image.Resampling.BOX), float)
        for picture in (small, middle, large)
    ]
    assert np.abs(coarse[0] - coarse[1]).mean() < 6
    assert np.abs(coarse[0] - coarse[2]).mean() < 6


@pytest.mark.parametrize("task", TASKS)
def test_order_does_not_matter(task):
    forward = render_many(task, "val", [0, 1, 2], 64, workers=1)
    backward = render_many(task, "val", [2, 1, 0], 64, workers=1)
    np.testing.assert_array_equal(forward[0], backward[0][::-1])
    np.testing.assert_array_equal(forward[1], backward[1][::-1])
    assert forward[2].to_dict("records") == backward[2].to_dict("records")[::-1]


def test_number_of_workers_does_not_matter():
    alone = render_many("counting", "train", range(120), 64, workers=1)
    together = render_many("counting", "train", range(120), 64, workers=2)
    np.testing.assert_array_equal(alone[0], together[0])
    np.testing.assert_array_equal(alone[1], together[1])
    assert alone[2].equals(together[2])


@pytest.mark.parametrize("task", TASKS)
def test_splits_share_no_picture(task):
    splits = [*SPLITS, "distractors"] if task == "counting" else SPLITS
    pictures = [render(task, split, index, 64).image for split in splits for index in range(4)]
    assert len({picture.tobytes() for picture in pictures}) == len(pictures)


@pytest.mark.parametrize("task", TASKS)
def test_records_are_flat_and_keep_their_columns(task):
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
        (("counting", "train", 0, 63), "63 is outside"),
        (("counting", "train", 0, 337), "337 is outside"),
    ],
)
def test_bad_address_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        render(*arguments)


def test_bad_requests_are_named(cache):
    with pytest.raises(ValueError, match="size="):
        render_split("counting", "pretrain")
    with pytest.raises(ValueError, match="below one"):
        render_split("counting", "val", size=0)
    with pytest.raises(ValueError, match="one or more"):
        render_many("counting", "val", [])
    with pytest.raises(ValueError, match=r"-2.*negative"):
        render_many("counting", "val", [0, -2])
    assert not list(cache.iterdir())


def test_split_sizes_are_the_designs():
    assert SPLIT_SIZES == {"train": 2000, "val": 400, "test": 1000, "distractors": 1000}


def test_cache_gives_back_what_was_rendered(cache, monkeypatch):
    first = render_split("counting", "val", side=64, size=5)
    images, values, records = render_many("counting", "val", range(5), 64)
    np.testing.assert_array_equal(first.images, images)
    np.testing.assert_array_equal(first.values, values)
    assert first.metadata.to_dict("records") == records.to_dict("records")

    def refuse(*_):
        raise AssertionError("rendered again in spite of the cache")

    monkeypatch.setattr("ordlib.synthetic.rendering.render_many", refuse)
    again = render_split("counting", "val", side=64, size=5)
    assert again.fingerprint == first.fingerprint
    np.testing.assert_array_equal(again.images, first.images)
    with pytest.raises(AssertionError, match="rendered again"):
        render_split("counting", "val", side=64, size=6)


def test_cached_pictures_cannot_be_changed(cache):
    images = render_split("counting", "val", side=64, size=2).images
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_interrupted_rendering_leaves_nothing(cache, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("ordlib.synthetic.rendering.json.dumps", interrupt)
    with pytest.raises(KeyboardInterrupt):
        render_split("counting", "val", side=64, size=2)
    assert not list((cache / "world").iterdir())


def test_two_processes_may_write_at_once(cache):
    command = [sys.executable, "-c", SCRIPT]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert said[0] == said[1]
    folders = list((cache / "world").iterdir())
    assert [folder.name for folder in folders] == [said[0].split()[0]]
    images, values, _ = render_many("counting", "val", range(60), 64)
    assert said[0].split()[1:] == [str(images.sum(dtype="int64")), str(values.sum()), "60"]


def coarse(image: np.ndarray) -> list[list[int]]:
    """The mean of every one of 4 x 4 blocks, over colours."""
    return image.reshape(4, 16, 4, 16, 3).mean((1, 3, 4)).round().astype(int).tolist()


@pytest.mark.parametrize("task", TASKS)
def test_pictures_are_those_that_the_version_names(task):
    """Fails when pictures change: then rendering.DATASET_VERSION has to, and this file with it.

    Block means, with some room, as other versions of Pillow and other CPUs round otherwise.
    """
    for expected in json.loads(Path(__file__).with_name("pictures.json").read_text())[task]:
        picture = render(task, "val", expected["index"], side=64)
        assert picture.value == pytest.approx(expected["value"], abs=0.01)
        assert np.abs(np.subtract(coarse(picture.image), expected["blocks"])).max() <= 3

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ordlib import ImageData, OrdinalTask
from ordlib.data.leakage import warn_about_labels, warn_about_splits, warn_about_validation

TASK = OrdinalTask(name="fingers", unit="fingers", values=(0, 1, 2, 4))


def make_data(values, groups=None, images=None):
    images = np.zeros((len(values), 4, 4, 3), np.uint8) if images is None else images
    groups = None if groups is None else np.array(groups)
    metadata = pd.DataFrame(index=range(len(values)))
    return ImageData(TASK, images, np.array(values, float), metadata, "made", "all", groups)


def warnings_of(function, *args) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*args)
    return [str(warning.message) for warning in caught]


def test_warn_about_labels_that_are_no_rank():
    (message,) = warnings_of(warn_about_labels, make_data([0, 3, 3, 4]))
    assert message.startswith("label 3 of task 'fingers' is no rank; 2 such labels")
    assert warnings_of(warn_about_labels, make_data([0, 1, 4])) == []
    # Opinion scores lie between ranks.
    assert warnings_of(warn_about_labels, make_data([0, 2.5, 3])) == []


@pytest.mark.parametrize(
    ("groups", "expected"), [("aabb", True), ("abcd", False), ("aaaa", False), ("abab", False)]
)
def test_warn_about_groups_that_equal_the_labels(groups, expected):
    messages = warnings_of(warn_about_labels, make_data([1, 1, 2, 2], list(groups)))
    assert ["is it the label column?" in message for message in messages] == [True] * expected


def test_warn_about_splits_names_shared_groups_and_unused_ranks():
    data = make_data([0, 1, 2, 0, 1], list("aabbc"))
    parts = {"train": data.subset([0, 1, 2]), "val": data.subset([3]), "test": data.subset([4])}
    shared, unused = warnings_of(warn_about_splits, parts)
    assert shared.startswith("1 groups are in both 'train' and 'val' (b, ...)")
    assert unused == "1 of 4 ranks of task 'fingers' have no training images: 4"


def test_warn_about_validation_that_is_the_training_set():
    data = make_data([0, 1, 2], images=[Path("a"), Path("b"), Path("c")])
    other = replace(data, images=[Path("b"), Path("d"), Path("a")], fingerprint="other")
    for val in (data, data.subset([2, 0])):
        (message,) = warnings_of(warn_about_validation, [data], [other, val])
        assert message.startswith("all validation images of task 'fingers' are training images")
    assert warnings_of(warn_about_validation, [data], [other]) == []
    rendered = make_data([0, 1, 2])
    assert len(warnings_of(warn_about_validation, [rendered], [rendered])) == 1
    assert warnings_of(warn_about_validation, [rendered], [rendered.subset([0])]) == []


def test_warn_about_splits_finds_images_by_content(tmp_path):
    for name, color in {"a": "red", "b": "blue", "c": "red"}.items():
        Image.new("RGB", (8, 8), color).save(tmp_path / f"{name}.png")
    images = [tmp_path / f"{name}.png" for name in "abc"]
    data = make_data([0, 1, 2], images=images)
    parts = {"a": data.subset([0]), "b": data.subset([1, 2])}
    (message,) = warnings_of(warn_about_splits, parts)
    assert message.startswith("1 images (by content) are in both 'a' and 'b' (a.png and c.png")
    assert warnings_of(warn_about_splits, {"a": data.subset([0]), "b": data.subset([1])}) == []
    assert warnings_of(warn_about_splits, {"a": replace(data, split="a")}) == []

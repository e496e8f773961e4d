"""Arguments that a notebook may pass to the data functions by mistake: accepted, or named."""

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from ordlib import ImageData, load_data, load_folder, load_published, load_task

COUNTING, DATING = load_task("counting"), load_task("dating")
ONE, PAIRS = [("0.png", "1")], [(f"{i}.png", i + 1) for i in range(4)]
FRAME = pd.DataFrame(PAIRS, columns=["path", "label"])
SERIES = pd.Series(dict(PAIRS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for i in range(4):
        Image.new("RGB", (9, 9), (50 * i, 0, 0)).save(folder / f"{i}.png")
    (folder / "labels.csv").write_text(FRAME.to_csv(index=False))
    return folder


@pytest.mark.parametrize("labels", [
    dict(PAIRS), SERIES, FRAME.to_numpy(), tuple(PAIRS), FRAME.set_index("path"),
    FRAME.set_axis([9, 3, 3, 1]), FRAME.astype({"label": "category"}), FRAME.astype(object),
    FRAME.assign(path=[Path(path) for path in FRAME["path"]]), FRAME.astype({"label": "Int64"}),
    FRAME.assign(label=FRAME["label"].astype(float)), "labels.csv", Path("labels.csv"),
])  # fmt: skip
def test_labels_in_memory(folder, labels):
    data = load_folder(folder, labels, "counting")
    assert [path.name for path in data.images] == [f"{i}.png" for i in range(4)]
    assert data.values.tolist() == [1, 2, 3, 4]


def test_labels_of_a_generator_and_of_a_relative_folder(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    data = load_folder(folder.name, (pair for pair in PAIRS), "counting")
    monkeypatch.chdir("/")  # Paths do not depend on the working directory.
    assert data[3].getpixel((0, 0)) == (150, 0, 0)
    assert load_folder(str(folder), "labels.csv", "counting").values.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(("options", "message"), [
    *(({"path": path}, "path = ") for path in (None, 3, b"x", ["x"], Image.new("L", (1, 1)))),
    ({"path": ""}, "path = '': is empty; give '.'"),
    ({"path": "a\0b"}, "no such folder"),
    *(({"labels": labels}, "entry 0, .* is no .path, label. pair") for labels in (
        5, b"labels.csv", [1, 2, 3, 4], ["0.png"], [("0.png", 1, "a")], {"0.png"}, [None])),
    ({"labels": [("0.png", 1), ("1.png",)]}, r"entry 1, \('1.png',\), is no"),
    ({"labels": ""}, "labels = ''"),
    ({"labels": []}, "no images below its header"),
    ({"labels": {}}, "no images below its header"),
    ({"labels": pd.DataFrame()}, "no column 'path'"),
    ({"labels": pd.concat([FRAME, FRAME[["label"]]], axis=1)}, "duplicate column names"),
    ({"labels": pd.concat({"a": FRAME}, axis=1)}, "no column 'path'"),
    ({"labels": FRAME.assign(label=[1, None, 3, 4])}, "row 1, column 'label': label '' is missing"),
    ({"labels": FRAME.assign(label=[1, [2], 3, 4])}, "row 1, column 'label'"),
    ({"labels": FRAME.assign(label=[True] * 4)}, "row 0, column 'label': label 'True'"),
    ({"labels": FRAME.assign(label=pd.to_datetime(["2020"] * 4))}, "label '2020-01-01"),
    *(({f"{name}_column": column}, f"no column {re.escape(repr(column))}")
      for name in ("image", "label", "group", "split") for column in (["path"], 1, ("a",))),
    ({"group_pattern": 5}, "group_pattern = 5"),
    ({"split_pattern": b"(x)"}, "split_pattern = b'.x.'"),
    *(({"seed": seed, "splits": (0.5, 0.5)}, "seed = ") for seed in (-1, 1.5, "a", None, True)),
    *(({"splits": splits}, "splits = .* must be a dict of fractions") for splits in (
        {"train": "a", "test": "b"}, {"train": 0.5, "test": None}, {0: 0.5, 1: 0.5}, 0.8,
        {"a": float("nan"), "b": 0.5}, ("train", "test"), {"a": [0.5], "b": 0.5}, {"a": True},
        np.array([0.5, 0.5]), "ab", (1,), {"a": float("inf"), "b": -float("inf")})),
    *(({"splits": splits}, "must be above 0 and sum to 1") for splits in ({}, (80, 20), (1, 0))),
    *(({"first_label": label, "task": DATING}, r"^first_label = .*: must be an integer$")
      for label in ("1", 1.5, float("nan"), True, [1])),
    ({"first_label": 10**400, "task": DATING}, "no rank of task 'dating'"),
    *(({"check": check}, "check = ") for check in ("Decode", True, ["decode"], None)),
    *(({"task": task}, "task = ") for task in (None, 3, {"name": "x"}, "x.toml", ["counting"])),
])  # fmt: skip
def test_load_folder_names_the_argument(folder, options, message):
    arguments = {"path": folder, "labels": FRAME, "task": COUNTING} | options
    with pytest.raises((TypeError, ValueError, OSError), match=message):
        load_folder(**arguments)


def make(**changes):
    fields = {
        "task": COUNTING, "images": np.zeros((3, 8, 8, 3), np.uint8), "values": [1.0, 2, 3],
        "metadata": pd.DataFrame({"a": [1, 2, 3]}), "fingerprint": "f", "split": "s",
    }  # fmt: skip
    return ImageData(**fields | changes)


SHUFFLED = [2, 1, 0]


@pytest.mark.parametrize("values", [
    (1, 2, 3), [1, 2, 3], np.array([1, 2, 3], np.uint8), np.array([1, 2, 3], np.float16),
    pd.Series([1, 2, 3], SHUFFLED), pd.Series([1.0, 2, 3], [7, 8, 9]), torch.tensor([1.0, 2, 3]),
    pd.array([1, 2, 3], "Int64"), ["1", "2", "3"],
])  # fmt: skip
def test_values_are_selected_by_position(values):
    data = make(values=values)
    assert data.subset([0, 2]).values.tolist() == [1, 3]
    assert data.values.dtype == np.float64


@pytest.mark.parametrize("groups", [["a", "b", "c"], pd.Series(["a", "b", "c"], SHUFFLED)])
def test_groups_are_selected_by_position(groups):
    assert make(groups=groups).subset([0]).groups.tolist() == ["a"]


@pytest.mark.parametrize(
    "kind",
    [
        list,
        tuple,
        lambda x: pd.Series(x, [*SHUFFLED[::-1], 9]),
        lambda x: np.array(x, object),
        lambda x: list(map(str, x)),
    ],
)
def test_image_paths_are_selected_by_position(folder, kind):
    images = kind([folder / f"{i}.png" for i in range(4)])
    data = make(images=images, values=[1, 2, 3, 4], metadata=FRAME)
    data.check_files()
    assert [data[i].getpixel((0, 0))[0] for i in (0, 3)] == [0, 150]
    assert data.subset([2]).images == [folder / "2.png"]


RGB = np.zeros((8, 8, 3), np.uint8)


@pytest.mark.parametrize(("changes", "message"), [
    *(({"task": task}, "^task = ") for task in ("counting", None, {}, type(COUNTING))),
    *(({"metadata": data}, "^metadata = ") for data in (None, {"a": [1, 2, 3]}, [1, 2, 3])),
    *(({"values": values}, "counting/s: values: must be numbers") for values in (
        (x for x in [1, 2, 3]), ["a", "b", "c"], {1, 2, 3}, [[1], [1, 2], [3]],
        torch.ones(3, requires_grad=True), torch.ones(3).bfloat16(), [1, 2, 10**400])),
    *(({"values": np.ones(shape)}, "values have shape") for shape in ((3, 1), (3, 2), (3, 0))),
    *(({"values": [1, value, 3]}, "of image 1 is outside") for value in (
        None, 0, -1, 21, float("inf"), np.nan)),
    ({"groups": np.ones((3, 1))}, "groups have shape"),
    *(({"groups": ["a", gap, "b"]}, "group of image 1 is missing") for gap in (None, np.nan)),
    ({"groups": [1.0, np.nan, 2.0]}, "group of image 1 is missing"),
    ({"groups": "abc"}, "groups"),
    *(({"images": images}, "counting/s: images = ") for images in (
        None, 5, "abc", b"abc", (x for x in RGB))),
    *(({"images": np.zeros(shape, dtype)}, r"images\[0\]: is a (ndarray|uint8).*, not a path")
      for shape, dtype in (((3, 8, 8, 3), float), ((3, 8, 8), np.uint8), ((3, 8, 8, 4), np.uint8),
                           ((3, 3, 8, 8), np.uint8), ((3, 8, 8, 3), int), ((3, 0, 8, 3), np.uint8),
                           ((3, 8, 8, 3), bool), ((3, 1, 8, 8, 3), np.uint8), ((3,), np.uint8))),
    *(({"images": [RGB, image, RGB]}, r"images\[1\]: is a") for image in (
        None, 5, b"0.png", Image.new("RGB", (8, 8)), RGB / 255, RGB[..., 0], RGB[:0],
        torch.zeros(8, 8, 3, dtype=torch.uint8), [[1]])),
    ({"images": []}, "contains no images"),
    ({"images": [RGB]}, "1 images, 3 values"),
    ({"bit_depth": "8"}, "bit_depth = '8'"),
])  # fmt: skip
def test_image_data_names_the_field(changes, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make(**changes)


@pytest.mark.parametrize("index", [slice(0, 2), 1.5, "0", None, [0, 1], (0, 1), np.array([0, 1])])
def test_an_index_that_is_none_is_named(folder, index):
    disk = make(images=[folder / f"{i}.png" for i in range(3)])
    for data in (make(), disk):
        with pytest.raises(TypeError, match=r"must be one index; data.subset\(indices\) selects"):
            data[index]


@pytest.mark.parametrize("indices", [
    5, slice(0, 2), {0, 1}, "train", [0.0], [[0, 1]], (i for i in range(2)), [None], None,
    [[True, False, True]], np.array(True), ["0"], {0: 1},
])  # fmt: skip
def test_indices_that_are_none_are_named(indices):
    with pytest.raises(TypeError, match=r"^indices = .*: must be a list of indices or a mask"):
        make().subset(indices)


@pytest.mark.parametrize("indices", [
    [0, 2], (0, 2), range(0, 3, 2), np.array([0, 2], np.uint8), pd.Index([0, 2]), [-3, -1],
    [True, False, True], pd.Series([True, False, True], SHUFFLED),
])  # fmt: skip
def test_indices_of_any_kind(indices):
    assert make().subset(indices).values.tolist() == [1, 3]


@pytest.mark.parametrize(("function", "message"), [
    *((lambda task=task: load_data(task, "val"), "task = ") for task in (None, ["counting"], 3)),
    *((lambda size=size: load_data("counting", "val", size, 2), "image_size = ")
      for size in (64.5, "64", None, True)),
    *((lambda count=count: load_data("counting", "val", 64, count), "num_images = ")
      for count in (1.5, "5", True)),
    (lambda: load_data("counting", None), "split = None"),
    *((lambda root=root: load_published("aadb", root), "root = ")
      for root in (None, 5, b"x", "", ["x"], "/proc/nowhere")),
    *((lambda name=name: load_published(name, "."), "name = ")
      for name in (None, ["aadb"], "Aadb")),
    *((lambda name=name: load_task(name), "task = ")
      for name in (None, ["counting"], {}, 3, "Dating")),
])  # fmt: skip
def test_other_data_functions_name_the_argument(function, message):
    with pytest.raises((TypeError, ValueError, OSError), match=message):
        function()


@pytest.mark.skipif(os.name == "nt", reason="bytes are not paths there")
def test_faults_of_arguments_cost_no_images(folder, monkeypatch):
    monkeypatch.setattr("ordlib.data.validation.inspect_images", None)
    for options in ({"seed": -1}, {"splits": {0: 1}}, {"first_label": "1"}, {"label_column": [1]}):
        with pytest.raises((TypeError, ValueError), match=next(iter(options)).split("_")[0]):
            load_folder(folder, FRAME, COUNTING, **options)

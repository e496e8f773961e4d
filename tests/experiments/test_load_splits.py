"""Own images of ``ordlib train``: columns, split folders, and the command that repeats them."""

import shlex
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from ordlib import cli
from ordlib.experiments import train as module
from ordlib.experiments.train import load_splits, reproduce_command
from ordlib.training import TrainingConfig

TOML = 'name = "grades"\nunit = "grades"\nvalues = ["bad", "fair", "good"]\n'
COLUMNS = {
    "image_column": "file",
    "label_column": "grade",
    "group_column": "person",
    "split_column": "part",
    "first_label": 1,
}


@pytest.fixture
def task(tmp_path) -> str:
    (tmp_path / "grades.toml").write_text(TOML)
    return str(tmp_path / "grades.toml")


def save_images(folder: Path, paths: list[str]) -> Path:
    for i, path in enumerate(paths):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (i, i, i)).save(folder / path)
    return folder


def test_load_splits_reads_columns_of_any_name(task, tmp_path):
    folder = save_images(tmp_path / "images", [f"{i}.png" for i in range(9)])
    rows = [f"{i}.png,{i % 3 + 1}.0,p{i}.0,{('Train', 'val', 'test')[i // 3]}" for i in range(9)]
    (folder / "t.csv").write_text("\n".join(["file,grade,person,part", *rows]))
    splits = load_splits(task, 64, folder, Path("t.csv"), COLUMNS)
    assert {name: part.values.tolist() for name, part in splits.items()} == {
        name: [0, 1, 2] for name in ("train", "val", "test")
    }
    assert splits["train"].groups.tolist() == ["p0.0", "p1.0", "p2.0"]


def test_load_splits_reads_split_folders(task, tmp_path):
    ranks = ("bad", "fair", "good")
    paths = [f"{split}/{rank}/a.png" for split in ("train", "val", "test") for rank in ranks]
    splits = load_splits(task, 64, save_images(tmp_path / "images", paths))
    assert {name: len(part) for name, part in splits.items()} == {"train": 3, "val": 3, "test": 3}
    for path in paths[-3:]:
        (tmp_path / "images" / path).unlink()
        (tmp_path / "images" / path).parent.rmdir()
    (tmp_path / "images" / "test").rmdir()
    with pytest.raises(ValueError, match=r"images: the folder has no 'test', only"):
        load_splits(task, 64, tmp_path / "images")


def test_load_splits_deals_out_class_folders(task, tmp_path):
    paths = [f"{rank}/{i}.png" for rank in ("bad", "fair", "good") for i in range(10)]
    splits = load_splits(task, 64, save_images(tmp_path / "images", paths))
    assert [len(splits[name]) for name in ("train", "val", "test")] == [18, 6, 6]


def test_reproduce_command_repeats_the_columns(task, monkeypatch):
    given = {}

    def train_and_save(*args, **kwargs):
        given.update(kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "train_and_save", train_and_save)
    where = (Path("my images"), Path("t.csv"))
    line = reproduce_command("coop", task, "x", TrainingConfig(), "pico-clip", {}, *where, COLUMNS)
    CliRunner().invoke(cli.app, shlex.split(line)[1:])
    assert given["columns"] == COLUMNS
    assert (given["data"], given["labels"]) == where

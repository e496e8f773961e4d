"""A component from a name, a task and a seed: its files, its card, and the command on it."""

import csv
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_splits import noise
from typer.testing import CliRunner

from ordlib import load_component
from ordlib.cli import app
from ordlib.experiments import train as module
from ordlib.experiments.train import load_splits, train_and_save
from ordlib.methods.corn import CORN
from ordlib.metrics import compute_metrics
from ordlib.synthetic.load import load_data
from ordlib.training import TrainingConfig
from ordlib.training.fit import CHECKPOINT_NAME
from ordlib.utils.device import device_description, versions

LAUNCHER = (
    *("-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1"),
    *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
)
# What the tests of training replace by an empty folder.
CACHE = os.environ.get("ORDLIB_CACHE")
SHIPPED = Path(module.__file__).parents[1] / "components" / "weights"
CONFIG = TrainingConfig(
    epochs=3, batch_size=8, seed=4, learning_rate=0.01, lr_multipliers={"adapter": 0.5}
)


@pytest.fixture(autouse=True)
def few_pictures(monkeypatch):
    monkeypatch.setattr(module, "load_data", noise)


@pytest.fixture
def corn(tiny_clip_folder):
    """Train a small CORN into a folder."""

    def make(folder: Path, config: TrainingConfig = CONFIG, **options: object):
        clip = str(tiny_clip_folder)
        return train_and_save(
            "corn", "dating", folder, config=config, backbone=clip, device="cpu", options=options
        )

    return make


def card_in(folder: Path) -> dict:
    return json.loads((folder / "card.json").read_text("utf-8"))


def test_the_card_says_all_that_is_known(corn, clip, tiny_clip_folder, tmp_path):
    model, history = corn(tmp_path / "mine", adapter=True)
    card, test = card_in(tmp_path / "mine"), noise("dating", "test", 64)
    weights = (tmp_path / "mine" / "model.safetensors").read_bytes()
    expected = compute_metrics(test.task, test.values, model.predict(test))
    assert card == {
        "description": "CORN on the rendered dating task; image encoder: frozen.",
        "command": "ordlib train corn --task dating --output mine --backbone "
        f"{tiny_clip_folder} --epochs 3 --batch-size 8 --learning-rate 0.01 "
        "--lr-multiplier adapter=0.5 --seed 4 --set adapter=true",
        "data": {
            "train": "dating-train",
            "val": "dating-val",
            "test": "dating-test",
            "image_size": 64,
        },
        "seed": 4,
        "hyperparameters": asdict(CONFIG),
        "steps": 6,
        "best_epoch": int(history.loc[history["mae"].idxmin(), "epoch"]),
        "device": device_description(clip.device),
        "train_seconds": history.attrs["seconds"],
        "versions": versions(),
        "metrics": pytest.approx(expected, abs=1e-6, nan_ok=False),
        "sha256": hashlib.sha256(weights).hexdigest(),
    }


def test_an_interrupted_run_goes_on(corn, tmp_path, monkeypatch):
    corn(tmp_path / "straight")
    calls, loss = [], CORN.loss

    def interrupted(self, features, values):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return loss(self, features, values)

    monkeypatch.setattr(CORN, "loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        corn(tmp_path / "cut")
    assert [path.name for path in (tmp_path / "cut").iterdir()] == [CHECKPOINT_NAME]
    corn(tmp_path / "cut")
    # One epoch of two steps was kept, and the two others were still to do.
    assert len(calls) == 4 + 4
    straight, cut = card_in(tmp_path / "straight"), card_in(tmp_path / "cut")
    for name in ("steps", "best_epoch", "metrics", "sha256"):
        assert cut[name] == straight[name]
    assert not (tmp_path / "cut" / CHECKPOINT_NAME).exists()


def test_an_undefined_metric_is_null_on_the_card(corn, tmp_path, monkeypatch):
    monkeypatch.setattr(
        module, "compute_metrics", lambda *_: {"mae": 1.0, "spearman": float("nan")}
    )
    corn(tmp_path)
    assert card_in(tmp_path)["metrics"] == {"mae": 1.0, "spearman": None}


@pytest.mark.parametrize(
    ("method", "options", "error", "told"),
    [
        ("magic", {}, ValueError, "method = 'magic': must be one of coop, corn, finetuned"),
        ("corn", {"seed": 3}, TypeError, "option seed = 3: corn has no such; there are image_encoder, ad"),
        ("l2rclip", {"rank_pos_embed": 3}, ValueError, "rank_pos_embed = 3: must be one of learned, sinu"),
        ("corn", {"lora_r": True}, ValueError, "option lora_r = True: must be int"),
        ("finetuned", {"templates": 0}, ValueError, "option templates = 0: must be tuple"),
        ("finetuned", {"templates": ("a",)}, ValueError, "option templates = .*: must be tuple"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_told_before_anything_is_loaded(
    method, options, error, told, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "load_clip", None)
    with pytest.raises(error, match=told):
        train_and_save(method, "dating", tmp_path / "x", config=CONFIG, options=options)
    assert not (tmp_path / "x").exists()


def test_a_card_of_two_stages_reproduces_its_component(tiny_clip_folder, tmp_path):
    words = ["train", "l2rclip", "--task", "dating", "--output", str(tmp_path / "one")]
    words += ["--device", "cpu", "--backbone", str(tiny_clip_folder)]
    words += ["--epochs", "3", "--prompt-epochs", "2", "--image-encoder", "lora"]
    words += ["--lr-multiplier", "image_encoder=0.5", "--set", "rank_pos_embed=learned"]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0, found.output
    one = card_in(tmp_path / "one")
    assert (one["hyperparameters"]["prompt_epochs"], one["steps"]) == (2, 3)
    line = shlex.split(one["command"])
    assert line[:2] == ["ordlib", "train"]
    again = [str(tmp_path / "two") if word == "one" else word for word in line[1:]]
    found = CliRunner().invoke(app, [*again, "--device", "cpu"])
    assert found.exit_code == 0, found.output
    two = card_in(tmp_path / "two")
    for name in ("hyperparameters", "best_epoch", "steps", "metrics", "sha256"):
        assert two[name] == one[name]
    names = {path.name for path in (tmp_path / "two").iterdir()}
    assert names == {"card.json", "config.json", "model.safetensors"}


SPLITS = ["train"] * 6 + ["val"] * 3 + ["test"] * 3
RIPENESS = """name = "ripeness"
unit = "steps"
values = ["green", "yellow", "brown"]
templates = ["a photo of a {rank} {fruit}"]
placeholders = {fruit = ["banana", "pear"]}
"""


@pytest.fixture
def own(tmp_path):
    """Write twelve pictures, a task's file and a table; return what the command takes for it."""

    def write(columns: dict[str, list[str]], table: str = "ripe.csv") -> list[str]:
        folder, task = tmp_path / "fruit", tmp_path / "ripeness.toml"
        folder.mkdir(exist_ok=True)
        task.write_text(RIPENESS)
        names = [f"{i}.png" for i in range(12)]
        for i, name in enumerate(names):
            Image.new("RGB", (64, 64), (20 * i, 99, 0)).save(folder / name)
        columns = {"path": names, "label": ["green", "yellow", "brown"] * 4} | columns
        with (folder / table).open("w", newline="") as file:
            csv.writer(file).writerows([[*columns], *zip(*columns.values(), strict=True)])
        return ["--task", str(task), "--data", str(folder), "--labels", table]

    return write


@pytest.fixture
def call(tiny_clip_folder):
    """Train CORN for an epoch, by the command."""

    def invoke(folder: Path, *words: str):
        more = ["--output", str(folder), "--epochs", "1", "--device", "cpu"]
        backbone = ["--backbone", str(tiny_clip_folder)]
        return CliRunner().invoke(app, ["train", "corn", *words, *more, *backbone])

    return invoke


def test_a_task_and_pictures_of_ones_own_are_learned(own, call, clip, tmp_path):
    words = own({"split": SPLITS})
    found = call(tmp_path / "out", *words)
    assert found.exit_code == 0, found.output
    model, card = load_component(tmp_path / "out", clip), card_in(tmp_path / "out")
    assert model.task == module._read_task(words[1])
    assert model.task.values == ("green", "yellow", "brown")
    assert model.task.placeholders == {"fruit": ("banana", "pear")}
    assert card["description"] == "CORN on the ripeness task; image encoder: frozen."
    splits = load_splits(words[1], 64, Path(words[3]), Path(words[5]))
    for split, rows in {"train": range(6), "val": range(6, 9), "test": range(9, 12)}.items():
        data = splits[split]
        assert [path.name for path in data.images] == [f"{row}.png" for row in rows]
        assert data.values.tolist() == [row % 3 for row in rows]
        assert card["data"][split] == data.fingerprint
    test = splits["test"]
    expected = compute_metrics(test.task, test.values, model.predict(test))
    assert card["metrics"] == {
        name: None if np.isnan(value) else pytest.approx(value, abs=1e-6)
        for name, value in expected.items()
    }
    # And the card's command does the same again.
    again = [str(tmp_path / "two") if w == "out" else w for w in shlex.split(card["command"])[1:]]
    found = CliRunner().invoke(app, [*again, "--device", "cpu"])
    assert found.exit_code == 0, found.output
    for name in ("hyperparameters", "data", "steps", "metrics", "sha256"):
        assert card_in(tmp_path / "two")[name] == card[name]


@pytest.mark.parametrize("groups", [None, ["a", "b", "c", "d", "e", "f"] * 2])
def test_pictures_without_splits_are_dealt_out(groups, own, call, tmp_path):
    words = own({} if groups is None else {"group": groups})
    found = call(tmp_path / "out", *words)
    assert found.exit_code == 0, found.output
    splits = load_splits(words[1], 64, Path(words[3]), Path(words[5]))
    assert card_in(tmp_path / "out")["data"] == {
        **{split: data.fingerprint for split, data in splits.items()},
        "image_size": 64,
    }
    names = [path.name for data in splits.values() for path in data.images]
    assert sorted(names) == sorted(f"{i}.png" for i in range(12))
    assert len(splits["train"]) > max(len(splits["val"]), len(splits["test"]))
    if groups is not None:
        homes = [set(data.groups) for data in splits.values()]
        assert sum(map(len, homes)) == len(set(groups))


def test_pictures_in_subfolders_of_a_built_in_task_need_no_table(call, tmp_path):
    for i in range(10):
        path = tmp_path / "shelf" / str(1 + i % 2) / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 64), (20 * i, 99, 0)).save(path)
    found = call(tmp_path / "out", "--task", "counting", "--data", str(tmp_path / "shelf"))
    assert found.exit_code == 0, found.output
    card = card_in(tmp_path / "out")
    assert card["description"] == "CORN on the counting task; image encoder: frozen."
    assert "--labels" not in card["command"]


def test_a_split_that_is_missing_is_told(own, call, tmp_path):
    found = call(tmp_path / "out", *own({"split": ["train"] * 9 + ["test"] * 3}))
    assert found.exit_code == 1
    assert isinstance(found.exception, SystemExit)
    told = "column 'split' has 'train', 'test' and not 'val': it must hold train, val and test"
    assert found.stderr.strip() == f"{tmp_path / 'fruit' / 'ripe.csv'}: {told}"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda folder: (folder / "ripe.csv").unlink(), "there is no label file ripe.csv"),
        (lambda folder: (folder / "ripe.csv").write_text("path\n0.png\n"), "no column 'label'"),
        (lambda folder: (folder / "3.png").unlink(), "3.png"),
        (
            lambda folder: (folder / "../ripeness.toml").write_text("name = "),
            "be read as a TOML file",
        ),
        (
            lambda folder: (folder / "../ripeness.toml").write_text("size = 3"),
            "ripeness.toml: size is no",
        ),
        (lambda folder: (folder / "../ripeness.toml").unlink(), "be read as a TOML file"),
    ],
)
def test_faults_of_ones_own_files_are_told(change, told, own, call, tmp_path):
    words = own({"split": SPLITS})
    change(tmp_path / "fruit")
    found = call(tmp_path / "out", *words)
    assert found.exit_code == 1
    assert isinstance(found.exception, SystemExit)
    assert told in found.stderr
    assert not (tmp_path / "out").exists()


def test_the_columns_are_those_of_the_table_that_is_read(own, tmp_path, monkeypatch):
    """A table in the folder is read before one of its name elsewhere."""
    words = own({"split": SPLITS})
    (tmp_path / "ripe.csv").write_text("path,label\n0.png,green\n")
    monkeypatch.chdir(tmp_path)
    splits = load_splits(words[1], 64, Path(words[3]), Path("ripe.csv"))
    assert {name: len(data) for name, data in splits.items()} == {"train": 6, "val": 3, "test": 3}


def test_the_folder_is_named_even_where_its_path_is_not(corn, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    corn(Path(), TrainingConfig(epochs=1))
    assert "--output here " in card_in(Path())["command"]


def test_a_list_has_no_columns_and_is_dealt_out(own, tmp_path):
    words = own({})
    (tmp_path / "fruit" / "list.txt").write_text("".join(f"{i}.png green\n" for i in range(12)))
    splits = load_splits(words[1], 64, Path(words[3]), Path("list.txt"))
    assert [len(splits[name]) for name in ("train", "val", "test")] == [7, 2, 3]


@pytest.mark.slow
def test_a_shipped_cards_command_ends_twice_in_the_same_bits(tmp_path, monkeypatch):
    """On the rendered pictures, which are drawn first where the cache lacks them."""
    monkeypatch.setattr(module, "load_data", load_data)
    monkeypatch.delenv("ORDLIB_CACHE")
    if CACHE is not None:
        monkeypatch.setenv("ORDLIB_CACHE", CACHE)
    shipped = card_in(SHIPPED / "numclip-dating")
    words, digests = shlex.split(shipped["command"]), set()
    for folder in (tmp_path / "one", tmp_path / "two"):
        # Given again, an option replaces the card's.
        more = ["--epochs", "2", "--device", "cpu", "--output", str(folder)]
        found = CliRunner().invoke(app, [*words[1:], *more])
        assert found.exit_code == 0, found.output
        assert re.search(r"^val mae \d+\.\d{3} in ", found.stdout, re.MULTILINE)
        card = card_in(folder)
        assert (card["hyperparameters"]["epochs"], card["data"]["train"]) == (
            2,
            shipped["data"]["train"],
        )
        digests.add(hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest())
    assert len(digests) == 1


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_python_m_and_a_launcher_run_the_command(processes, own, tiny_clip_folder, tmp_path):
    """Of two processes, which share each batch of four by gloo, as of one."""
    words = ["train", "corn", *own({"split": SPLITS}), "--batch-size", "4", "--epochs", "1"]
    words += ["--backbone", str(tiny_clip_folder), "--output", str(tmp_path / "out")]
    launcher = (*LAUNCHER, "--num_processes", "2") if processes == 2 else ()
    command = [sys.executable, *launcher, "-m", "ordlib", *words, "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("loads it") == processes
    assert card_in(tmp_path / "out")["steps"] == 1

"""Training of a component: its files, its card, and the command on it."""

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
import pandas as pd
import pytest
from commands import fail, run
from PIL import Image
from small_splits import noise
from training_runs import Interrupted, changed_loss

from ordlib import load_component
from ordlib.experiments import train as module
from ordlib.experiments.train import load_splits, train_and_save
from ordlib.methods.corn import CORN
from ordlib.metrics import compute_metrics
from ordlib.metrics.evaluate import evaluate
from ordlib.synthetic.load import load_data
from ordlib.training import TrainingConfig
from ordlib.training.fit import CHECKPOINT_NAME
from ordlib.utils.device import device_description, versions

LAUNCHER = (
    *("-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1"),
    *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
)
# Replaced by an empty folder in the other tests.
CACHE = os.environ.get("ORDLIB_CACHE")
SHIPPED = Path(module.__file__).parents[1] / "components" / "weights"
CONFIG = TrainingConfig(
    epochs=3, batch_size=8, seed=4, learning_rate=0.01, lr_multipliers={"adapter": 0.5}
)


@pytest.fixture(autouse=True)
def few_images(monkeypatch):
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


def rerun(card: dict, folder: Path) -> None:
    """Run the command of a card, and compare the results."""
    program, *words = shlex.split(card["command"])
    assert program == "ordlib"
    run(*words, "--output", folder, "--device", "cpu")  # the last --output wins
    again = card_in(folder)
    for name in ("hyperparameters", "data", "best_epoch", "steps", "metrics", "sha256"):
        assert again[name] == card[name]


def test_train_and_save_writes_a_card(corn, clip, tiny_clip_folder, tmp_path):
    model, history = corn(tmp_path / "mine", adapter=True)
    card, test = card_in(tmp_path / "mine"), noise("dating", "test", 64)
    weights = (tmp_path / "mine" / "model.safetensors").read_bytes()
    expected = compute_metrics(test.task, test.values, model.predict(test))
    evaluation = evaluate(model, test)
    assert card["history"]["mae"] == pytest.approx(history["mae"].tolist(), abs=1e-6)
    assert [*card["history"]] == ["epoch", "loss", "mae", "best"]
    del card["history"]
    assert card == {
        "description": "CORN on the rendered dating task; image encoder: frozen.",
        "command": "ordlib train corn --task dating --output mine --backbone "
        f"{tiny_clip_folder} --epochs 3 --batch-size 8 --learning-rate 0.01 "
        "--lr-multiplier adapter=0.5 --seed 4 --set adapter=true",
        "data": {split: f"dating-{split}" for split in module.SPLITS} | {"image_size": 64},
        "seed": 4,
        "hyperparameters": asdict(CONFIG) | {"milestones": []},
        "steps": 6,
        "best_epoch": int(history.loc[history["mae"].idxmin(), "epoch"]),
        "device": device_description(clip.device),
        "train_seconds": history.attrs["seconds"],
        "versions": versions(),
        "num_calibration_images": 200,
        "metrics": pytest.approx(expected, abs=1e-6, nan_ok=False),
        "intervals": {
            name: pytest.approx(interval[1:], abs=1e-6)
            for name, interval in evaluation.intervals.items()
        },
        "sha256": hashlib.sha256(weights).hexdigest(),
    }


def test_train_and_save_resumes_bit_equal(corn, tmp_path):
    corn(tmp_path / "straight")
    with changed_loss(CORN, 4) as calls:
        with pytest.raises(Interrupted):
            corn(tmp_path / "resumed")
        assert [path.name for path in (tmp_path / "resumed").iterdir()] == [CHECKPOINT_NAME]
        corn(tmp_path / "resumed")
    # One of three epochs of two steps was saved.
    assert len(calls) == 4 + 4
    straight, resumed = card_in(tmp_path / "straight"), card_in(tmp_path / "resumed")
    for name in ("steps", "best_epoch", "metrics", "sha256"):
        assert resumed[name] == straight[name]
    assert not (tmp_path / "resumed" / CHECKPOINT_NAME).exists()


def test_train_and_save_writes_undefined_metrics_as_null(corn, tmp_path, monkeypatch):
    monkeypatch.setattr("ordlib.metrics.ordinal.spearman", lambda *_: float("nan"))
    corn(tmp_path)
    assert card_in(tmp_path)["metrics"]["spearman"] is None


@pytest.mark.parametrize(
    ("method", "options", "error", "message"),
    [
        ("magic", {}, ValueError, "method = 'magic': must be one of coop, corn, finetuned"),
        ("corn", {"seed": 3}, TypeError, "seed = 3: unknown option of corn; available options: im"),
        ("l2rclip", {"rank_pos_embed": 3}, ValueError, "rank_pos_embed = 3: must be one of"),
        ("corn", {"lora_r": True}, ValueError, "lora_r = True: must be int"),
        ("finetuned", {"templates": 0}, ValueError, "templates = 0: must be tuple"),
        ("finetuned", {"templates": ("a",)}, ValueError, "templates = .*: must be tuple"),
    ],
)
def test_train_and_save_validates_before_loading(
    method, options, error, message, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "load_clip", None)
    with pytest.raises(error, match=message):
        train_and_save(method, "dating", tmp_path / "x", config=CONFIG, options=options)
    assert not (tmp_path / "x").exists()


def test_train_and_save_in_two_stages_is_reproducible(tiny_clip_folder, tmp_path):
    words = ["train", "l2rclip", "--task", "dating", "--output", tmp_path / "one"]
    words += ["--device", "cpu", "--backbone", tiny_clip_folder]
    words += ["--epochs", "3", "--prompt-epochs", "2", "--image-encoder", "lora"]
    run(*words, "--lr-multiplier", "image_encoder=0.5", "--set", "rank_pos_embed=learned")
    card = card_in(tmp_path / "one")
    assert (card["hyperparameters"]["prompt_epochs"], card["steps"]) == (2, 3)
    rerun(card, tmp_path / "two")
    names = {path.name for path in (tmp_path / "two").iterdir()}
    assert names == {"README.md", "card.json", "config.json", "model.safetensors"}


SPLITS = ["train"] * 6 + ["val"] * 3 + ["test"] * 3
RIPENESS = """name = "ripeness"
unit = "steps"
values = ["green", "yellow", "brown"]
templates = ["a photo of a {rank} {fruit}"]
placeholders = {fruit = ["banana", "pear"]}
"""


@pytest.fixture
def custom_data(tmp_path):
    """Write twelve images, a task file and a label file; return the options of the command."""

    def write(**columns: list[str]) -> list[str]:
        folder, task = tmp_path / "fruit", tmp_path / "ripeness.toml"
        folder.mkdir()
        task.write_text(RIPENESS)
        names = [f"{i}.png" for i in range(12)]
        for i, name in enumerate(names):
            Image.new("RGB", (64, 64), (20 * i, 99, 0)).save(folder / name)
        table = pd.DataFrame({"path": names, "label": ["green", "yellow", "brown"] * 4} | columns)
        table.to_csv(folder / "ripe.csv", index=False)
        return ["--task", str(task), "--data", str(folder), "--labels", "ripe.csv"]

    return write


def splits_of(words: list[str], labels: str = "ripe.csv"):
    return load_splits(words[1], 64, Path(words[3]), Path(labels))


@pytest.fixture
def train_corn(tiny_clip_folder):
    """The words of a command that trains CORN for one epoch."""
    more = ["--epochs", "1", "--device", "cpu", "--backbone", tiny_clip_folder]
    return lambda folder, *words: ["train", "corn", *words, "--output", folder, *more]


def test_command_train_on_custom_task_and_images(custom_data, train_corn, clip, tmp_path):
    words = custom_data(split=SPLITS)
    run(*train_corn(tmp_path / "out", *words))
    model, card = load_component(tmp_path / "out", clip), card_in(tmp_path / "out")
    assert model.task == module._read_task(words[1])
    assert model.task.values == ("green", "yellow", "brown")
    assert model.task.placeholders == {"fruit": ("banana", "pear")}
    assert card["description"] == "CORN on the ripeness task; image encoder: frozen."
    splits = splits_of(words)
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
    rerun(card, tmp_path / "two")


@pytest.mark.parametrize("columns", [{}, {"group": [*"abcdef"] * 2}])
def test_load_splits_without_split_column(columns, custom_data, train_corn, tmp_path):
    words = custom_data(**columns)
    run(*train_corn(tmp_path / "out", *words))
    splits = splits_of(words)
    fingerprints = {split: data.fingerprint for split, data in splits.items()}
    assert card_in(tmp_path / "out")["data"] == fingerprints | {"image_size": 64}
    names = [path.name for data in splits.values() for path in data.images]
    assert sorted(names) == sorted(f"{i}.png" for i in range(12))
    assert len(splits["train"]) > max(len(splits["val"]), len(splits["test"]))
    if columns:
        assert sum(len(set(data.groups)) for data in splits.values()) == 6


def test_command_train_on_subfolders_needs_no_label_file(train_corn, tmp_path):
    for i in range(10):
        path = tmp_path / "shelf" / str(1 + i % 2) / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 64), (20 * i, 99, 0)).save(path)
    run(*train_corn(tmp_path / "out", "--task", "counting", "--data", tmp_path / "shelf"))
    card = card_in(tmp_path / "out")
    assert card["description"] == "CORN on the counting task; image encoder: frozen."
    assert "--labels" not in card["command"]


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("fruit/ripe.csv", None, "ripe.csv"),
        ("fruit/ripe.csv", lambda _: "path\n0.png\n", "a single column, 'path'"),
        ("fruit/ripe.csv", lambda text: text.replace("val", "test"),
         "fruit/ripe.csv: column 'split' has no 'val', only 'train', 'test'"),
        ("fruit/3.png", None, "3.png"),
        ("ripeness.toml", lambda _: "name = ", "not a readable TOML"),
        ("ripeness.toml", lambda _: "size = 3", "unknown field"),
        ("ripeness.toml", lambda _: "unit = 'a'", "missing field"),
        ("ripeness.toml", None, "not a readable TOML file"),
    ],
)  # fmt: skip
def test_command_train_reports_invalid_files(
    file, change, message, custom_data, train_corn, tmp_path
):
    words, path = custom_data(split=SPLITS), tmp_path / file
    if change is None:
        path.unlink()
    else:
        path.write_text(change(path.read_text()))
    fail(message, *train_corn(tmp_path / "out", *words))
    assert not (tmp_path / "out").exists()


def test_load_splits_prefers_the_label_file_in_the_folder(custom_data, tmp_path, monkeypatch):
    words = custom_data(split=SPLITS)
    (tmp_path / "ripe.csv").write_text("path,label\n0.png,green\n")
    monkeypatch.chdir(tmp_path)
    assert [len(splits_of(words)[name]) for name in module.SPLITS] == [6, 3, 3]


def test_train_and_save_resolves_the_output_folder_name(corn, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    corn(Path(), TrainingConfig(epochs=1))
    assert "--output here " in card_in(Path())["command"]


def test_load_splits_of_a_text_list(custom_data, tmp_path):
    words = custom_data()
    (tmp_path / "fruit" / "list.txt").write_text("".join(f"{i}.png green\n" for i in range(12)))
    assert [len(splits_of(words, "list.txt")[name]) for name in module.SPLITS] == [7, 2, 3]


@pytest.mark.slow
def test_command_of_a_shipped_card_is_deterministic(tmp_path, monkeypatch):
    """On the synthetic images, which are rendered first if they are not cached."""
    monkeypatch.setattr(module, "load_data", load_data)
    monkeypatch.delenv("ORDLIB_CACHE")
    if CACHE is not None:
        monkeypatch.setenv("ORDLIB_CACHE", CACHE)
    shipped = card_in(SHIPPED / "numclip-dating")
    _, *words = shlex.split(shipped["command"])
    digests = set()
    for folder in (tmp_path / "one", tmp_path / "two"):
        # Repeated options override those of the card.
        found = run(*words, "--epochs", "2", "--device", "cpu", "--output", folder)
        assert re.search(r"^val mae \d+\.\d{3} in ", found.stdout, re.MULTILINE)
        card = card_in(folder)
        assert card["hyperparameters"]["epochs"] == 2
        assert card["data"]["train"] == shipped["data"]["train"]
        digests.add(hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest())
    assert len(digests) == 1


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_python_m_and_accelerate_launch_run_the_command(
    processes, custom_data, train_corn, tmp_path
):
    """Two processes share each batch of four by gloo."""
    words = train_corn(tmp_path / "out", *custom_data(split=SPLITS), "--batch-size", "4")
    launcher = (*LAUNCHER, "--num_processes", "2") if processes == 2 else ()
    command = [sys.executable, *launcher, "-m", "ordlib", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("load it with") == 1  # by one of them
    assert card_in(tmp_path / "out")["steps"] == 1

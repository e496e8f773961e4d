"""A component from a name, a task and a seed: its files, its card, and the command on it."""

import hashlib
import json
import shlex
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from small_splits import noise
from typer.testing import CliRunner

from ordlib import load_component
from ordlib.hardware import describe, versions
from ordlib.metrics import score
from ordlib.models.corn import Corn
from ordlib.training import TrainingPlan
from ordlib.training import run as module
from ordlib.training.__main__ import app
from ordlib.training.fitting import STATE
from ordlib.training.run import METHODS, command, train_component

PLAN = TrainingPlan(epochs=3, batch=8, seed=4, learning_rate=0.01, rates={"adapter": 0.5})


@pytest.fixture(autouse=True)
def few_pictures(monkeypatch):
    monkeypatch.setattr(module, "load_data", noise)


@pytest.fixture
def corn(tiny_clip_folder):
    """Train a small CORN into a folder."""

    def make(folder: Path, plan: TrainingPlan = PLAN, **options: object):
        clip = str(tiny_clip_folder)
        return train_component(
            "corn", "dating", folder, plan=plan, backbone=clip, device="cpu", options=options
        )

    return make


def card_in(folder: Path) -> dict:
    return json.loads((folder / "card.json").read_text("utf-8"))


def test_the_card_says_all_that_is_known(corn, clip, tiny_clip_folder, tmp_path):
    model, history = corn(tmp_path / "mine", adapter=True)
    card, test = card_in(tmp_path / "mine"), noise("dating", "test", 64)
    weights = (tmp_path / "mine" / "model.safetensors").read_bytes()
    expected = score(test.task, test.values, model.predict(test))
    assert card == {
        "what": "Corn on the rendered task of dating, picture tower frozen.",
        "command": "python -m ordlib.training corn dating --output mine --backbone "
        f"{tiny_clip_folder} --epochs 3 --batch 8 --learning-rate 0.01 --rate adapter=0.5 "
        "--seed 4 --option adapter=true",
        "data": {"train": "dating-train", "val": "dating-val", "test": "dating-test", "side": 64},
        "seed": 4,
        "plan": asdict(PLAN),
        "steps": 6,
        "best_epoch": int(history.loc[history["mae"].idxmin(), "epoch"]),
        "device": describe(clip.device),
        "seconds": history.attrs["seconds"],
        "versions": versions(),
        "test": pytest.approx(expected, abs=1e-6, nan_ok=False),
        "sha256": hashlib.sha256(weights).hexdigest(),
    }


def test_nothing_unfinished_is_left(corn, tmp_path):
    model, _ = corn(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["card.json", "config.json", "model.safetensors"]
    assert model.options.seed == PLAN.seed


def test_what_is_kept_predicts_as_what_was_trained(corn, clip, tmp_path):
    model, _ = corn(tmp_path)
    test = noise("dating", "test", 64)
    kept = load_component(tmp_path, clip)
    assert type(kept) is Corn
    assert np.array_equal(kept.predict(test).value, model.predict(test).value)


def test_an_interrupted_run_goes_on(corn, tmp_path, monkeypatch):
    corn(tmp_path / "straight")
    calls, loss = [], Corn.loss

    def interrupted(self, features, values):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return loss(self, features, values)

    monkeypatch.setattr(Corn, "loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        corn(tmp_path / "cut")
    assert [path.name for path in (tmp_path / "cut").iterdir()] == [STATE]
    corn(tmp_path / "cut")
    # One epoch of two steps was kept, and the two others were still to do.
    assert len(calls) == 4 + 4
    straight, cut = card_in(tmp_path / "straight"), card_in(tmp_path / "cut")
    for name in ("steps", "best_epoch", "test", "sha256"):
        assert cut[name] == straight[name]
    assert not (tmp_path / "cut" / STATE).exists()


def test_an_unfinished_run_of_another_plan_is_refused(corn, tmp_path, monkeypatch):
    def full(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(Corn, "save_pretrained", full)
        with pytest.raises(OSError, match="disk full"):
            corn(tmp_path)
    with pytest.raises(ValueError, match=r"plan.epochs was 3 there and is 4 now"):
        corn(tmp_path, TrainingPlan(**asdict(PLAN) | {"epochs": 4}))
    calls = []
    monkeypatch.setattr(Corn, "loss", lambda *_: calls.append(1))
    corn(tmp_path)
    assert (tmp_path / "card.json").is_file()
    assert not calls


def test_an_undefined_metric_is_null_on_the_card(corn, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "score", lambda *_: {"mae": 1.0, "spearman": float("nan")})
    corn(tmp_path)
    assert card_in(tmp_path)["test"] == {"mae": 1.0, "spearman": None}


def test_the_folder_is_named_even_where_its_path_is_not(corn, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    corn(Path(), TrainingPlan(epochs=1))
    assert "--output here " in card_in(Path())["command"]


@pytest.mark.parametrize(
    ("method", "options", "error", "told"),
    [
        ("magic", {}, ValueError, "method = 'magic': must be one of coop, corn, finetuned"),
        ("corn", {"form": "paper"}, TypeError, "option form = 'paper': corn has no such; there "
         "are tower, adapter"),
        ("corn", {"seed": 3}, TypeError, "option seed = 3: corn has no such"),
        ("l2rclip", {"positions": 3}, ValueError, "positions = 3: must be one of learned, sinu"),
        ("corn", {"adapter": "no"}, ValueError, "option adapter = 'no': must be bool"),
        ("corn", {"lora_rank": True}, ValueError, "option lora_rank = True: must be int"),
        ("coop", {"context": float("nan")}, ValueError, r"option context = nan: must be int \| No"),
        ("finetuned", {"templates": 0}, ValueError, "option templates = 0: must be tuple"),
        ("finetuned", {"templates": ("a",)}, ValueError, "option templates = .*: must be tuple"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_told_before_anything_is_loaded(
    method, options, error, told, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "load_clip", None)
    with pytest.raises(error, match=told):
        train_component(method, "dating", tmp_path / "x", plan=PLAN, options=options)
    assert not (tmp_path / "x").exists()


def test_a_card_of_two_stages_reproduces_its_component(tiny_clip_folder, tmp_path):
    words = ["l2rclip", "dating", "--output", str(tmp_path / "one"), "--device", "cpu"]
    words += ["--backbone", str(tiny_clip_folder), "--epochs", "3", "--words-first", "2"]
    words += ["--tower", "lora", "--rate", "tower=0.5", "--option", "positions=learned"]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0, found.output
    one = card_in(tmp_path / "one")
    assert (one["plan"]["words_first"], one["steps"]) == (2, 3)
    line = shlex.split(one["command"])
    assert line[:3] == ["python", "-m", "ordlib.training"]
    again = [str(tmp_path / "two") if word == "one" else word for word in line[3:]]
    found = CliRunner().invoke(app, [*again, "--device", "cpu"])
    assert found.exit_code == 0, found.output
    two = card_in(tmp_path / "two")
    for name in ("plan", "best_epoch", "steps", "test", "sha256"):
        assert two[name] == one[name]
    names = {path.name for path in (tmp_path / "two").iterdir()}
    assert names == {"card.json", "config.json", "model.safetensors"}


@pytest.mark.parametrize("method", METHODS)
def test_a_methods_own_defaults_are_options_that_it_takes(method):
    options = asdict(METHODS[method].Options())
    del options["seed"]
    module._check_options(method, options)


def test_a_command_of_defaults_is_short():
    words = "python -m ordlib.training corn dating --output mine"
    assert command("corn", "dating", "mine", TrainingPlan(), "pico-clip", {}) == words

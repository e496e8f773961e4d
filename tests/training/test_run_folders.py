"""Arguments of fit, its folder, and its checkpoints: wrong, of others, forged, or in the way."""

import json
import os
from dataclasses import replace

import pytest
import torch
import training_runs as runs
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from ordlib import CoOp, LinearProbe, ZeroShot, fit
from ordlib.training import TrainingConfig
from ordlib.training.checkpoint import _digest
from ordlib.training.fit import CHECKPOINT_NAME

CONFIG = replace(runs.CONFIG, epochs=1)
pytestmark = pytest.mark.filterwarnings("ignore:the best epoch")


@pytest.fixture(scope="module")
def data():
    return runs.make_data("train", 24)


@pytest.fixture(scope="module")
def val():
    return runs.make_data("val", 12)


@pytest.fixture(scope="module")
def checkpoint(clip, data, val, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    fit(CoOp(clip, runs.TASK), data, val, CONFIG, checkpoint_dir=folder, progress=False)
    return (folder / CHECKPOINT_NAME).read_bytes()


ARGUMENTS = {
    "class": (lambda m, d, v: (type(m), d, v), "model = .*fit trains a method"),
    "zero-shot": (lambda m, d, v: (ZeroShot(m.clip, m.task), d, v), "fit trains a method"),
    "probe": (lambda m, d, v: (LinearProbe(m.clip, m.task), d, v), "call model.fit"),
    "swapped": (lambda m, d, v: (d, m, v), "model = ImageData"),
    "model alone": (lambda m, d, v: (m, m, v), "train = CoOp"),
    "train of text": (lambda m, d, v: (m, "train", v), "train = 'train': must be an ImageData"),
    "train None": (lambda m, d, v: (m, None, v), "train = None: must be an ImageData"),
    "train a number": (lambda m, d, v: (m, 3, v), "train = 3: must be an ImageData"),
    "val of text": (lambda m, d, v: (m, d, "val"), "val = 'val': must be an ImageData"),
    "val of arrays": (lambda m, d, v: (m, d, v.images), "val = array"),
    "no train": (lambda m, d, v: (m, [], v), "train: is empty"),
    "no val": (lambda m, d, v: (m, d, []), "val: is empty"),
    "two train": (lambda m, d, v: (m, [d, d], v), "train: 2 data sets; CoOp takes one"),
    "two val": (lambda m, d, v: (m, d, [v, v]), "val: 2 data sets"),
    "config of text": (lambda m, d, v: (m, d, v, "epochs=2"), "config = 'epochs=2': must be a"),
    "config a number": (lambda m, d, v: (m, d, v, 5), "config = 5: must be a TrainingConfig"),
    "config a class": (lambda m, d, v: (m, d, v, TrainingConfig), "config = .*must be a Train"),
}


@pytest.mark.parametrize(("make", "message"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_fit_names_the_argument(clip, data, val, make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        fit(*make(CoOp(clip, runs.TASK), data, val), progress=False)


@pytest.mark.parametrize("gamma", [1.5, 1e200])
def test_gamma_lowers_the_learning_rate(gamma):
    with pytest.raises(ValueError, match=r"gamma = .*must be at most 1"):
        TrainingConfig(epochs=3, schedule="multi_step", milestones=(1,), gamma=gamma)


FOLDERS = {
    "file": lambda p: (p / "f").write_text("") or p / "f",
    "file above": lambda p: (p / "f").write_text("") or p / "f" / "x",
    "pipe": lambda p: os.mkfifo(p / "f") or p / "f",
    "link to itself": lambda p: (p / "f").symlink_to(p / "f") or p / "f",
    "empty": lambda p: "",
    "null character": lambda p: "a\0b",
}


@pytest.mark.parametrize("make", FOLDERS.values(), ids=FOLDERS)
def test_fit_names_a_checkpoint_dir_that_is_no_folder(clip, data, val, tmp_path, make):
    model = CoOp(clip, runs.TASK)
    with pytest.raises((OSError, ValueError), match=r"is not a folder|checkpoint_dir = "):
        fit(model, data, val, CONFIG, checkpoint_dir=make(tmp_path), progress=False)


@pytest.mark.parametrize("name", ["~/run", "run", "link"])
def test_fit_resumes_from_the_folder_that_it_was_given(
    clip, data, val, tmp_path, monkeypatch, name
):
    """Also if the current folder changes during the training."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("run")
    (tmp_path / "run").mkdir()
    (tmp_path / "other").mkdir()
    model = CoOp(clip, runs.TASK)
    during(monkeypatch, 2, lambda: os.chdir("other"))
    fit(model, data, val, CONFIG, checkpoint_dir=name, progress=False)
    assert [path.name for path in (tmp_path / "run").iterdir()] == [CHECKPOINT_NAME]
    assert [*(tmp_path / "other").iterdir()] == []


def forge(content, path, change):
    """Write a checkpoint with other content and the digest of it."""
    path.write_bytes(content)
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    run, state = (json.loads(metadata[name]) for name in ("fingerprint", "trainer_state"))
    change(run, state, tensors)
    metadata = {"fingerprint": json.dumps(run), "trainer_state": json.dumps(state)}
    metadata["digest"] = _digest(tensors, metadata)
    save_file(tensors, path, metadata)


def drop(prefix):
    return lambda run, state, tensors: [
        tensors.pop(name) for name in [*tensors] if name.startswith(prefix)
    ]


FORGED = {
    "no config": lambda run, state, tensors: run.pop("config"),
    "config a list": lambda run, state, tensors: run.update(config=[]),
    "no patience": lambda run, state, tensors: run["config"].pop("patience"),
    "no epochs": lambda run, state, tensors: run["config"].pop("epochs"),
    "no epoch": lambda run, state, tensors: state.pop("epoch"),
    "epoch of text": lambda run, state, tensors: state.update(epoch="x"),
    "unknown state": lambda run, state, tensors: state.update(newer=1),
    "no weights": drop("model/"),
    "no best weights": drop("best/"),
    "a weight missing": lambda run, state, tensors: tensors.pop(
        next(name for name in tensors if name.startswith("best/"))
    ),
    "a weight too many": lambda run, state, tensors: tensors.update({"model/x": torch.ones(1)}),
    "another optimizer": lambda run, state, tensors: tensors.update(
        {"optimizer/5/0/step": torch.ones(1)}
    ),
    "optimizer of text": lambda run, state, tensors: tensors.update(
        {"optimizer/0/x/step": torch.ones(1)}
    ),
    "optimizer without a number": lambda run, state, tensors: tensors.update(
        {"optimizer/0": torch.ones(1)}
    ),
}


@pytest.mark.parametrize("change", FORGED.values(), ids=FORGED)
def test_fit_names_a_checkpoint_of_another_version(clip, data, val, checkpoint, tmp_path, change):
    path = tmp_path / CHECKPOINT_NAME
    forge(checkpoint, path, change)
    config = replace(CONFIG, epochs=2)
    with pytest.raises(ValueError, match=r"no intact training checkpoint .*delete it") as caught:
        fit(CoOp(clip, runs.TASK), data, val, config, checkpoint_dir=tmp_path, progress=False)
    assert str(path) in str(caught.value)


IN_THE_WAY = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": os.mkdir,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("checkpoint"),
}


@pytest.mark.parametrize("make", IN_THE_WAY.values(), ids=IN_THE_WAY)
def test_fit_names_what_is_in_the_place_of_the_checkpoint(clip, data, val, tmp_path, make):
    make(tmp_path / CHECKPOINT_NAME)
    with pytest.raises(ValueError, match=f"{CHECKPOINT_NAME}: no intact training checkpoint"):
        fit(CoOp(clip, runs.TASK), data, val, CONFIG, checkpoint_dir=tmp_path, progress=False)


def during(monkeypatch, step, act):
    """Do something before a step of training."""
    count, loss = 0, CoOp.loss

    def acting(*arguments):
        nonlocal count
        count += 1
        if count == step:
            act()
        return loss(*arguments)

    monkeypatch.setattr(CoOp, "loss", acting)


def test_two_runs_do_not_replace_each_others_checkpoints(
    clip, data, val, checkpoint, tmp_path, monkeypatch
):
    path = tmp_path / CHECKPOINT_NAME
    during(monkeypatch, 2, lambda: path.write_bytes(checkpoint))
    config = replace(CONFIG, seed=6)
    with pytest.warns(UserWarning, match=r"another run has written it: give each run a folder"):
        fit(CoOp(clip, runs.TASK), data, val, config, checkpoint_dir=tmp_path, progress=False)
    assert path.read_bytes() == checkpoint


@pytest.mark.parametrize("step", [2, 5])
def test_a_folder_that_is_deleted_during_a_run_is_made_again(
    clip, data, val, tmp_path, monkeypatch, step
):
    folder = tmp_path / "run"

    def delete():
        for path in [*folder.glob("*"), *tmp_path.glob("run")]:
            path.rmdir() if path.is_dir() else path.unlink()

    during(monkeypatch, step, delete)
    config = replace(CONFIG, epochs=2)
    fit(CoOp(clip, runs.TASK), data, val, config, checkpoint_dir=folder, progress=False)
    assert [path.name for path in folder.iterdir()] == [CHECKPOINT_NAME]


def on_disk(data, folder):
    paths = [folder / f"{i}.png" for i in range(len(data))]
    for path, image in zip(paths, data.images, strict=True):
        Image.fromarray(image).save(path)
    return replace(data, images=paths)


@pytest.mark.parametrize("encoder", ["frozen", "lora"])
def test_an_image_that_changes_during_a_run_is_named(
    clip, data, val, tmp_path, monkeypatch, encoder
):
    files = on_disk(data.subset(range(16)), tmp_path)
    during(monkeypatch, 2, lambda: Image.new("RGB", (64, 64)).save(tmp_path / "3.png"))
    model = CoOp(clip, runs.TASK, image_encoder=encoder)
    with pytest.warns(UserWarning, match=r"1 image files changed during the training.*3\.png"):
        fit(model, files, val, CONFIG, progress=False)


@pytest.mark.parametrize("damage", ["delete", "truncate", "empty", "text"])
def test_an_image_that_is_lost_during_a_run_is_named(
    clip, data, val, tmp_path, monkeypatch, damage
):
    path, files = tmp_path / "3.png", on_disk(data, tmp_path)
    content = {"truncate": path.read_bytes()[:100], "empty": b"", "text": b"image"}.get(damage)
    during(monkeypatch, 1, path.unlink if content is None else lambda: path.write_bytes(content))
    model = CoOp(clip, runs.TASK, image_encoder="lora")
    with pytest.raises(OSError, match=r"3\.png"):
        fit(model, files, val, replace(CONFIG, epochs=2), progress=False)

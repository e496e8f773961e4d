import json
import os
from contextlib import suppress

import damage
import pytest
import torch
from safetensors import safe_open

from ordlib.components import io
from ordlib.components.io import load_checkpoint, read_card, save_checkpoint

# The tensor is a non-contiguous view.
OLD = ({"method": "A", "n": [1, 2]}, {"x": torch.arange(6.0).view(2, 3).T}, {"seed": 0})
NEW = ({"method": "B", "n": [3]}, {"x": torch.arange(4.0) + 1}, {"seed": 1})
FILES = ["model.safetensors", "card.json", "config.json", "README.md"]


@pytest.fixture
def folder(tmp_path):
    save_checkpoint(tmp_path / "mine", *OLD)
    return tmp_path / "mine"


def test_save_checkpoint_round_trip(folder):
    config, tensors = load_checkpoint(folder)
    sha256 = config.pop("sha256")
    assert config == OLD[0]
    assert tensors.keys() == {"x"}
    assert torch.equal(tensors["x"], OLD[1]["x"])
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert list(file.keys()) == ["x"]
        assert not file.metadata()
    assert read_card(folder) == OLD[2] | {"sha256": sha256}


@pytest.mark.parametrize("position", [0, 60, -1])
def test_load_checkpoint_detects_changed_byte(folder, position):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model.safetensors: sha256 = .*config.json has .*"):
        load_checkpoint(folder)


def test_load_checkpoint_missing_file(folder):
    for name in ("model.safetensors", "config.json"):
        (folder / name).unlink()
        with pytest.raises(FileNotFoundError, match=f"mine: not a component, {name} is missing"):
            load_checkpoint(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        *((text, "config.json: damaged") for text in ("", '{"method": ', "[1]", "null")),
        ('{"method": "A"}', "config.json has None"),
    ],
)
def test_load_checkpoint_damaged_config(folder, content, message):
    (folder / "config.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        load_checkpoint(folder)


def test_load_checkpoint_not_safetensors_despite_correct_hash(folder):
    (folder / "model.safetensors").write_bytes(b"text")
    sha256 = io.hashlib.sha256(b"text").hexdigest()
    (folder / "config.json").write_text(json.dumps({"sha256": sha256}))
    with pytest.raises(ValueError, match="not a safetensors file"):
        load_checkpoint(folder)


class Crash(Exception):
    pass


def crash_at(monkeypatch, step):
    """Raise at one step of the sequence of writes, flushes and renames; return the steps taken."""
    taken = []

    def crashing(real):
        def call(*arguments, **options):
            taken.append(arguments)
            if len(taken) == step:
                raise Crash
            return real(*arguments, **options)

        return call

    monkeypatch.setattr(io.os, "fsync", crashing(io.os.fsync))
    monkeypatch.setattr(io.os, "replace", crashing(io.os.replace))
    monkeypatch.setattr(io.Path, "write_bytes", crashing(io.Path.write_bytes))
    return taken


def assert_is(folder, component):
    config, tensors = load_checkpoint(folder)
    assert (config["method"], read_card(folder)["seed"]) == (
        component[0]["method"],
        component[2]["seed"],
    )
    assert torch.equal(tensors["x"], component[1]["x"])


def test_save_checkpoint_crash_leaves_old_or_new_component(tmp_path, monkeypatch):
    found, step, taken = [], 1, [None]
    while len(taken) >= step - 1:  # until no step is left to crash at
        folder = tmp_path / str(step)
        save_checkpoint(folder, *OLD)
        with monkeypatch.context() as patch:
            taken = crash_at(patch, step)
            with suppress(Crash):
                save_checkpoint(folder, *NEW)
        found.append(load_checkpoint(folder)[0]["method"])
        assert_is(folder, {"A": OLD, "B": NEW}[found[-1]])
        save_checkpoint(folder, *OLD)
        assert_is(folder, OLD)
        assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
        step += 1
    # The config's rename decides.
    assert found == sorted(found)
    assert {"A", "B"} == set(found)


def test_save_checkpoint_removes_what_killed_processes_left(folder):
    left = ["model.safetensors." + "0" * 16, "card.json." + "a" * 16]
    for name in left:
        (folder / name).write_text("half")
    (folder / ".ordlib-tmp-abcd").mkdir()
    (folder / "card.json.bak").write_text("mine")
    save_checkpoint(folder, *NEW)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES, "card.json.bak"])
    assert_is(folder, NEW)


def test_save_checkpoint_files_are_readable_for_others(folder):
    mask = os.umask(0)
    os.umask(mask)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o666 & ~mask}


def test_save_checkpoint_validates_json_before_writing(folder):
    for config, card in (({"n": float("nan")}, {}), ({}, {"n": float("inf")}), ({}, {"n": {1}})):
        with pytest.raises((ValueError, TypeError)):
            save_checkpoint(folder, config, NEW[1], card)
        assert load_checkpoint(folder)[0]["method"] == "A"


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_load_checkpoint_refuses_weights_that_are_not_finite(folder, value):
    damage.edit_tensors(lambda tensors: tensors["x"].fill_(value))(folder)
    with pytest.raises(ValueError, match=r"model.safetensors: x contains NaN or infinite"):
        load_checkpoint(folder)

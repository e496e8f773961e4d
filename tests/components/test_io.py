import json

import pytest
import torch
from safetensors import safe_open

from ordlib.components import io
from ordlib.components.io import load_checkpoint, read_json, save_checkpoint

# The tensor is a non-contiguous view.
OLD = ({"method": "A", "n": [1, 2]}, {"x": torch.arange(6.0).view(2, 3).T}, {"seed": 0})
NEW = ({"method": "B", "n": [3]}, {"x": torch.arange(4.0) + 1}, {"seed": 1})
FILES = ["model.safetensors", "card.json", "config.json"]


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
    assert read_json(folder / "card.json") == OLD[2] | {"sha256": sha256}


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


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("when", ["before", "half", "after"])
def test_save_checkpoint_crash_leaves_old_or_detectable_files(folder, monkeypatch, name, when):
    real = io.atomic_write

    class Crashing:
        """Atomic write that crashes before, halfway, or right after the rename."""

        def __init__(self, path):
            self.path, self.inner = path, real(path)

        def __enter__(self):
            self.temporary = self.inner.__enter__()
            if self.path.name == name and when == "before":
                raise Crash
            return self.temporary

        def __exit__(self, *error):
            if self.path.name == name and when == "half":
                self.temporary.write_bytes(self.temporary.read_bytes()[:7])
                raise Crash
            self.inner.__exit__(*error)
            if self.path.name == name:
                raise Crash

    monkeypatch.setattr(io, "atomic_write", Crashing)
    with pytest.raises(Crash):
        save_checkpoint(folder, *NEW)
    if name == "model.safetensors" and when != "after":
        config, tensors = load_checkpoint(folder)
        assert config["method"] == "A"
        assert torch.equal(tensors["x"], OLD[1]["x"])
    elif name == "config.json" and when == "after":
        config, tensors = load_checkpoint(folder)
        assert config["method"] == "B"
        assert torch.equal(tensors["x"], NEW[1]["x"])
        assert read_json(folder / "card.json")["seed"] == 1
    else:
        with pytest.raises(ValueError, match="damaged or exchanged"):
            load_checkpoint(folder)


def test_save_checkpoint_validates_json_before_writing(folder):
    for config, card in (({"n": float("nan")}, {}), ({}, {"n": float("inf")}), ({}, {"n": {1}})):
        with pytest.raises((ValueError, TypeError)):
            save_checkpoint(folder, config, NEW[1], card)
        assert load_checkpoint(folder)[0]["method"] == "A"


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_load_checkpoint_refuses_weights_that_are_not_finite(folder, value):
    save_checkpoint(folder, {"method": "A"}, {"y": torch.ones(2), "x": torch.tensor([value])}, {})
    with pytest.raises(ValueError, match=r"model.safetensors: x contains NaN or infinite"):
        load_checkpoint(folder)

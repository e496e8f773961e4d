"""Components on disk: what was written comes back, and nothing else passes for it."""

import json

import pytest
import torch
from safetensors import safe_open

from ordlib.components import io as serialization
from ordlib.components.io import load_checkpoint, read_json, save_checkpoint

# A view, to be kept as it looks.
OLD = ({"method": "A", "n": [1, 2]}, {"x": torch.arange(6.0).view(2, 3).T}, {"seed": 0})
NEW = ({"method": "B", "n": [3]}, {"x": torch.arange(4.0) + 1}, {"seed": 1})
FILES = ["model.safetensors", "card.json", "config.json"]


@pytest.fixture
def folder(tmp_path):
    save_checkpoint(tmp_path / "mine", *OLD)
    return tmp_path / "mine"


def test_it_comes_back(folder):
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


@pytest.mark.parametrize("place", [0, 60, -1])
def test_a_byte_changed_is_noticed(folder, place):
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model.safetensors has sha256 .*, its config says .*"):
        load_checkpoint(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"mine is no component: it lacks {name}"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        *((text, "config.json is damaged") for text in ("", '{"method": ', "[1]", "null")),
        ('{"method": "A"}', "its config says None"),
    ],
)
def test_a_damaged_config(folder, content, says):
    (folder / "config.json").write_text(content)
    with pytest.raises(ValueError, match=says):
        load_checkpoint(folder)


def test_no_safetensors_in_spite_of_the_right_hash(folder):
    (folder / "model.safetensors").write_bytes(b"nothing of the kind")
    sha256 = serialization.hashlib.sha256(b"nothing of the kind").hexdigest()
    (folder / "config.json").write_text(json.dumps({"sha256": sha256}))
    with pytest.raises(ValueError, match=r"is no safetensors file"):
        load_checkpoint(folder)


class Crash(Exception):
    pass


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("when", ["before", "half", "after"])
def test_a_crash_leaves_the_old_one_or_is_found_out(folder, monkeypatch, name, when):
    real = serialization.atomic_write

    class Crashing:
        """Writing a file that ends early: before, halfway, or right after it is in place."""

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

    monkeypatch.setattr(serialization, "atomic_write", Crashing)
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


def test_what_json_cannot_say_is_refused_before_anything_is_written(folder):
    for config, card in (({"n": float("nan")}, {}), ({}, {"n": float("inf")}), ({}, {"n": {1}})):
        with pytest.raises((ValueError, TypeError)):
            save_checkpoint(folder, config, NEW[1], card)
        assert load_checkpoint(folder)[0]["method"] == "A"

"""Backbones of components are found where they are, after folders have moved."""

import json
import shutil

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from ordlib import CORN, OrdinalTask, load_clip, load_component
from ordlib.clip.checkpoints import BUNDLED, REVISIONS, hash_weights
from ordlib.components.backbones import find_backbone, relative_path

TASK = OrdinalTask(name="ripeness", unit="days", values=(1, 2, 3))


def make(folder, value):
    """A folder with weights; returns their hash."""
    folder.mkdir(parents=True)
    save_file({"x": torch.tensor([float(value)])}, folder / "model.safetensors")
    return hash_weights(folder)


def config(name, sha256, path=None):
    return {"backbone": {"name": name, "sha256": sha256} | ({"path": path} if path else {})}


@pytest.fixture(autouse=True)
def _places(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)


def test_name_then_path_then_bundled_then_hub_cache(tmp_path):
    component, absolute = tmp_path / "component", tmp_path / "absolute"
    sha256 = make(absolute, 1)
    assert make(tmp_path / "beside", 1) == sha256
    make(tmp_path / "a" / "b", 2)
    make(tmp_path / "hub" / "models--a--b" / "snapshots" / ("1" * 40), 3)
    make(tmp_path / "hub" / "models--a--b" / "snapshots" / ("2" * 40), 1)
    found = find_backbone(component, config(str(absolute), sha256, "../beside"))
    assert found == (str(absolute), None)
    assert find_backbone(component, config("absolute", sha256)) == ("absolute", None)
    # Other weights lie under the name by now.
    named = config("a/b", sha256, "../beside")
    assert find_backbone(component, named) == (str(tmp_path / "beside"), None)
    shutil.rmtree(tmp_path / "beside")
    # load_clip("a/b") would load the folder, whose weights are others.
    assert find_backbone(component, named) == ("a/b", None)
    shutil.rmtree(tmp_path / "a")
    assert find_backbone(component, named) == ("a/b", "2" * 40)
    bundled = hash_weights(BUNDLED / "pico-clip")
    gone = config("/gone/clip", bundled, "../gone")
    assert find_backbone(component, gone) == ("pico-clip", None)


@pytest.mark.parametrize("path", ["../gone", "/etc", "\0", "../" * 99, "a" * 300, "component", "."])
@pytest.mark.parametrize("name", ["/gone/clip", "gone", "owner/gone", "\0", "a" * 300])
def test_backbone_that_is_nowhere(name, path, tmp_path):
    sha256 = "f" * 64
    with pytest.raises(FileNotFoundError, match=r"pass clip=load_clip") as caught:
        find_backbone(tmp_path / "component", config(name, sha256, path))
    assert sha256 in str(caught.value)
    assert "which is not on this machine" in str(caught.value)
    assert len(str(caught.value)) < 700


def test_pinned_or_other_weights_are_left_to_load_clip(tmp_path):
    make(tmp_path / "clip", 1)
    for name in ("clip", *REVISIONS):
        assert find_backbone(tmp_path / "component", config(name, "f" * 64)) == (name, None)
    with pytest.raises(FileNotFoundError, match="from_open_clip"):
        find_backbone(tmp_path, config("open_clip:ViT-B-32", "f" * 64))


@pytest.mark.parametrize("backbone", [None, {}, {"name": 3, "sha256": "f"}, {"name": "x"}])
def test_damaged_config_is_named(backbone, tmp_path):
    with pytest.raises(ValueError, match=r"component/config.json: backbone"):
        find_backbone(tmp_path / "component", {"backbone": backbone})


def test_relative_path_of_local_folders_only(tmp_path):
    make(tmp_path / "clips" / "mine", 1)
    folder = tmp_path / "models" / "component"
    for name in ("clips/mine", str(tmp_path / "clips" / "mine")):
        assert relative_path(name, folder) == {"path": "../../clips/mine"}
    assert relative_path("pico-clip", folder) == relative_path("owner/name", folder) == {}


@pytest.mark.parametrize("how", ["absolute", "relative"])
def test_component_and_backbone_that_moved_together(how, tiny_clip_folder, tmp_path, monkeypatch):
    shutil.copytree(tiny_clip_folder, tmp_path / "old" / "clip")
    clip = load_clip("old/clip" if how == "relative" else tmp_path / "old" / "clip", "cpu")
    model = CORN(clip, TASK, seed=3)
    model.save_pretrained(tmp_path / "old" / "models" / "corn")
    saved = json.loads((tmp_path / "old" / "models" / "corn" / "config.json").read_text())
    assert saved["backbone"]["path"] == "../../clip"
    (tmp_path / "old").rename(tmp_path / "new")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    loaded = load_component(tmp_path / "new" / "models" / "corn", device="cpu")
    assert loaded.clip.folder.resolve() == tmp_path / "new" / "clip"
    state = loaded.saved_state_dict()
    assert all(torch.equal(state[n], t) for n, t in model.saved_state_dict().items())
    # The backbone alone is gone; given, it loads.
    (tmp_path / "new" / "clip").rename(tmp_path / "far")
    with pytest.raises(FileNotFoundError, match="clip=") as caught:
        load_component(tmp_path / "new" / "models" / "corn")
    assert clip.weights_hash in str(caught.value)
    given = load_clip(tmp_path / "far", "cpu")
    assert load_component(tmp_path / "new" / "models" / "corn", given).clip is given

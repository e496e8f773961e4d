import json
import shutil
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
import torch
from clips import build_tiny_clip
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import ordlib
from ordlib import (
    CoOp,
    FineTuned,
    ImageData,
    NumCLIP,
    OrdinalTask,
    RankingAdapter,
    TrainingConfig,
    fit,
    list_components,
    load_clip,
    load_component,
    load_task,
)
from ordlib.components import registry
from ordlib.methods import METHODS

CORN_OPTIONS = {"image_encoder": "lora", "adapter": False, "lora_target_modules": r".*\.k_proj"}
NON_DEFAULT = {
    "CoOp": {"tune_rank_embeddings": False, "n_ctx": 3, "lora_r": 2},
    "CORN": CORN_OPTIONS,
    "FineTuned": {"templates": (1, 0), "image_encoder": "full"},
    "L2RCLIP": {"attention_over": "both", "alpha": 0.2, "rank_pos_embed": "sinusoidal"},
    "NumCLIP": {"fcrc_form": "released", "bin_anchor": "edge", "tune_context": True, "seed": 3},
    "NumCLIP-bare": {"regressor": False, "text_to_image_loss": False, "image_encoder": "lora"},
    "OrdinalCLIP": {"num_base_ranks": 4, "interpolation_type": "inverse"},
    "OrdinalCLIP-random": {"init_from_words": False, "template": "so {rank} it is"},
}
# Tuples and mappings in every field, which JSON converts.
RIPENESS = OrdinalTask(
    name="ripeness", unit="days", values=("green", "yellow", "spotted", "brown"),
    positions=(0, 2.5, 3, 7), rank_names=("one", "two", "three", "stars"),
    templates=("a photo of {rank} {fruit}", "{rank} {fruit}", "one {rank}"),
    placeholders={"fruit": ("star", "photo")}, bin_edges=(-1, 2, 5),
    bin_phrases=("unripe", "ripe", "too ripe"), bin_templates=("{rank} photo",),
    upper_edge=10, decode="argmax",
)  # fmt: skip
# Methods with class-agnostic prompts drop the placeholder.
PLAIN = replace(RIPENESS, templates=("one {rank}",), placeholders={})


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, device="cpu")


@pytest.fixture(scope="module")
def other_clip(tiny_clip_folder, tmp_path_factory):
    folder = build_tiny_clip(tmp_path_factory.mktemp("clips") / "other-clip")
    path = folder / "model.safetensors"
    weights = load_file(path)
    weights["visual_projection.weight"] += 1
    save_file(weights, path, {"format": "pt"})
    return load_clip(folder, device="cpu")


@pytest.fixture
def data(noise_images):
    values = np.array([0.0, 2.5, 3.0, 7.0, 0.0, 2.5, 7.0])
    metadata = pd.DataFrame({"index": range(7)})
    return ImageData(RIPENESS, noise_images, values, metadata, "seven", "train")


@pytest.fixture
def saved(clip, data, tmp_path):
    """A saved CoOp and its folder."""
    model = CoOp(clip, data.task)
    model.save_pretrained(tmp_path / "mine", {"description": "a trial", "device": "cpu"})
    return model, tmp_path / "mine"


def edit_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def assert_same(a, b):
    assert np.array_equal(a.value, b.value)
    assert np.array_equal(a.label, b.label)
    assert (a.probabilities is None) == (b.probabilities is None)
    assert a.probabilities is None or np.array_equal(a.probabilities, b.probabilities)


def test_every_method_has_a_case():
    assert {case.split("-")[0] for case in NON_DEFAULT} >= METHODS.keys() - {"RankingAdapter"}


@pytest.mark.parametrize("case", NON_DEFAULT)
def test_save_pretrained_round_trip(clip, data, tmp_path, case):
    method, options = getattr(ordlib, case.split("-")[0]), NON_DEFAULT[case]
    model = method(clip, data.task, **options)
    fit(model, data, data, TrainingConfig(epochs=2), progress=False)
    model.save_pretrained(tmp_path / "mine", {"seed": 3})
    for loaded in (
        method.from_pretrained(tmp_path / "mine", clip),
        load_component(tmp_path / "mine", clip),
    ):
        assert type(loaded) is method
        assert loaded.task == (RIPENESS if method in (ordlib.CORN, FineTuned) else PLAIN)
        assert loaded.options == model.options == method.Config(**options)
        state = loaded.trainable_state_dict()
        assert all(torch.equal(state[name], t) for name, t in model.trainable_state_dict().items())
        assert_same(loaded.predict(data), model.predict(data))
    assert loaded.card["seed"] == 3
    # Only what was trained is in the file.
    with safe_open(tmp_path / "mine" / "model.safetensors", "pt") as file:
        names = set(file.keys())
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert names == trained | {"ood.mean", "ood.precision"}
    if options.get("image_encoder") == "lora":
        encoder = {name for name in names if ".encoder." in name}
        assert encoder
        assert all("lora_" in name for name in encoder)


def test_load_component_different_backbone_or_damaged_weights(saved, other_clip):
    model, folder = saved
    loaders = (CoOp.from_pretrained, load_component)
    for load in loaders:
        with pytest.raises(ValueError, match=r"tiny-clip.*other-clip") as caught:
            load(folder, other_clip)
        assert model.clip.weights_hash[:8] in str(caught.value)
        assert other_clip.weights_hash[:8] in str(caught.value)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    for load in loaders:
        with pytest.raises(ValueError, match=r"model.safetensors: .*damaged"):
            load(folder, model.clip)


def test_load_component_restores_resize_and_refuses_another(clip, saved, data, tmp_path):
    squash = load_clip(clip.folder, "cpu", resize="squash")
    model = CoOp(squash, data.task)
    model.save_pretrained(tmp_path / "squash")
    assert load_component(tmp_path / "squash").clip.resize == "squash"
    for load in (CoOp.from_pretrained, load_component):
        with pytest.raises(
            ValueError, match=r"trained with resize='squash', the backbone has 'crop'"
        ):
            load(tmp_path / "squash", clip)
    # Components from before the option were trained with the crop.
    _, folder = saved
    edit_config(folder, backbone={"name": clip.name, "sha256": clip.weights_hash})
    assert load_component(folder).clip.resize == "crop"
    with pytest.raises(ValueError, match="trained with resize='crop', the backbone has 'squash'"):
        load_component(folder, squash)


def test_load_component_refuses_equal_weights_with_other_settings(saved, tmp_path):
    model, folder = saved
    copy = shutil.copytree(model.clip.folder, tmp_path / "relu")
    vision = json.loads((copy / "config.json").read_text())["vision_config"]
    edit_config(copy, vision_config=vision | {"hidden_act": "relu"})
    other = load_clip(copy, device="cpu")
    assert other.weights_hash == model.clip.weights_hash
    for load in (CoOp.from_pretrained, load_component):
        with pytest.raises(ValueError, match=r"another config, tokenizer or image .*relu, whose"):
            load(folder, other)
    # Components from before that hash are compared by the weights alone.
    edit_config(folder, backbone={"name": other.name, "sha256": other.weights_hash})
    load_component(folder, other)


def test_load_component_refuses_a_backbone_that_has_changed_in_memory(saved):
    model, folder = saved
    changed = load_clip(model.clip.folder, device="cpu")
    changed.model.visual_projection.weight.data.mul_(2)
    with pytest.raises(ValueError, match=r"weights have changed since it was loaded.*load_clip"):
        load_component(folder, changed)


def test_load_component_finds_backbone_by_name_or_in_another_folder(saved, tmp_path, data):
    model, folder = saved
    copy = shutil.copytree(model.clip.folder, tmp_path / "renamed")
    for clip in (None, load_clip(copy, device="cpu")):
        assert_same(load_component(folder, clip).predict(data), model.predict(data))


@pytest.mark.parametrize("method", ["OrdinalMethod", "os.system", None, 3])
def test_load_component_unknown_method(saved, clip, method):
    with pytest.raises(ValueError, match=r"CoOp.*NumCLIP"):
        NumCLIP.from_pretrained(saved[1], clip)
    edit_config(saved[1], method=method)
    with pytest.raises(ValueError, match=rf"mine/config.json: method = {method!r}: .* CoOp, CORN"):
        load_component(saved[1], clip)


def test_load_component_missing_card_and_mismatched_options(saved, clip):
    (saved[1] / "card.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"card\.json is missing"):
        load_component(saved[1], clip)
    options = asdict(saved[0].options) | {"n_ctx": 9}
    edit_config(saved[1], options=options)
    with pytest.raises(ValueError, match=r"prompt_learner\.context"):
        load_component(saved[1], clip)


def test_save_pretrained_overwrites_component(saved, clip, data):
    other = type(saved[0])(clip, data.task, seed=2)
    other.save_pretrained(saved[1])
    loaded = load_component(saved[1], clip)
    assert "description" not in loaded.card
    assert_same(loaded.predict(data), other.predict(data))


def test_list_components(saved, clip, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "COMPONENTS", tmp_path / "shipped")
    with pytest.raises(FileNotFoundError, match=r"no component 'b'; .* none"):
        load_component("b", clip)
    assert list_components().empty
    card = {"description": "B", "device": "tpu", "metrics": {"mae": 1.5}}
    saved[0].save_pretrained(tmp_path / "shipped" / "b", card)
    FineTuned(clip, saved[0].task).save_pretrained(tmp_path / "shipped" / "a", {"device": "cpu"})
    # A CLIP checkpoint in the same folder is not a component.
    (tmp_path / "shipped" / "clip").mkdir()
    (tmp_path / "shipped" / "clip" / "config.json").write_text("{}")
    table = list_components()
    assert table.index.tolist() == ["a", "b"]
    assert table.loc["b"].tolist() == ["CoOp", "ripeness", clip.name, 1.5, "tpu", "B"]
    assert table.loc["a", ["method", "device"]].tolist() == ["FineTuned", "cpu"]
    assert type(load_component("a", clip)) is FineTuned
    with pytest.raises(FileNotFoundError, match=r"no component 'c'.* a, b"):
        load_component("c", clip)
    # A ranking adapter's card has one result per task and set, and no single MAE.
    tasks = [load_task("dating"), load_task("ageing")]
    card = {"description": "Orders.", "device": "abacus", "results": [{"task": "ageing"}]}
    RankingAdapter(clip, tasks).save_pretrained(tmp_path / "shipped" / "r", card)
    table = list_components()
    assert table.index.tolist() == ["a", "b", "r"]
    assert np.isnan(table.loc["r", "mae"])
    fields = table.loc["r"].drop("mae").tolist()
    assert fields == ["RankingAdapter", "dating, ageing", clip.name, "abacus", "Orders."]
    assert [*load_component("r", clip).tasks.values()] == tasks

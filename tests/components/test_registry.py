"""Every method comes back from disk as it was, for its own backbone and task only."""

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

from ordlib import (
    CORN,
    CoOp,
    FineTuned,
    ImageData,
    NumCLIP,
    OrdinalCLIP,
    OrdinalTask,
    RankingAdapter,
    TrainingConfig,
    fit,
    list_components,
    load_clip,
    load_component,
    load_task,
)
from ordlib.components import registry as components

OTHER_THAN_DEFAULT = {
    "CoOp": (CoOp, {"tune_rank_embeddings": False, "n_ctx": 3, "lora_r": 2}),
    "CORN": (
        CORN,
        {"image_encoder": "lora", "adapter": False, "lora_target_modules": r".*\.k_proj"},
    ),
    "FineTuned": (FineTuned, {"templates": (1, 0), "image_encoder": "full"}),
    "NumCLIP": (
        NumCLIP,
        {"fcrc_form": "released", "bin_anchor": "edge", "tune_context": True, "seed": 3},
    ),
    "NumCLIP, bare": (
        NumCLIP,
        {"regressor": False, "text_to_image_loss": False, "image_encoder": "lora"},
    ),
    "OrdinalCLIP": (OrdinalCLIP, {"num_base_ranks": 4, "interpolation_type": "inverse"}),
    "OrdinalCLIP, random": (OrdinalCLIP, {"init_from_words": False, "template": "so {rank} it is"}),
}
# Tuples in every field, and placeholders: all that JSON turns into something else.
RIPENESS = OrdinalTask(
    name="ripeness", unit="days", values=("green", "yellow", "spotted", "brown"),
    positions=(0, 2.5, 3, 7), rank_names=("one", "two", "three", "stars"),
    templates=("a photo of {rank} {fruit}", "{rank} {fruit}", "one {rank}"),
    placeholders={"fruit": ("star", "photo")}, bin_edges=(-1, 2, 5),
    bin_phrases=("unripe", "ripe", "too ripe"), bin_templates=("{rank} photo",),
    upper_edge=10, decode="argmax",
)  # fmt: skip
# Methods whose prompts name no fruit keep none of it.
PLAIN = replace(
    RIPENESS, templates=("one {rank}",), bin_templates=("{rank} photo",), placeholders={}
)
every_method = pytest.mark.parametrize("case", OTHER_THAN_DEFAULT)


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
def data(pictures):
    values = np.array([0.0, 2.5, 3.0, 7.0, 0.0, 2.5, 7.0])
    records = pd.DataFrame({"place": range(7)})
    return ImageData(RIPENESS, pictures, values, records, "seven", "train")


@pytest.fixture
def saved(clip, data, tmp_path):
    """A CoOp and its folder."""
    model = CoOp(clip, data.task)
    model.save_pretrained(tmp_path / "mine", {"description": "a trial", "device": "cpu"})
    return model, tmp_path / "mine"


def edit_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


def same(one, other):
    assert np.array_equal(one.value, other.value)
    assert np.array_equal(one.label, other.label)
    assert (one.probabilities is None) == (other.probabilities is None)
    if one.probabilities is not None:
        assert np.array_equal(one.probabilities, other.probabilities)


@every_method
def test_a_trained_method_comes_back(clip, data, tmp_path, case):
    method, options = OTHER_THAN_DEFAULT[case]
    model = method(clip, data.task, **options)
    fit(model, data, data, TrainingConfig(epochs=2), progress=False)
    model.save_pretrained(tmp_path / "mine", {"seed": 3})
    for loaded in (
        method.from_pretrained(tmp_path / "mine", clip),
        load_component(tmp_path / "mine", clip),
    ):
        assert type(loaded) is method
        assert loaded.task == (RIPENESS if method in (CORN, FineTuned) else PLAIN)
        assert loaded.options == model.options == method.Config(**options)
        state = loaded.trainable_state_dict()
        assert all(torch.equal(state[name], t) for name, t in model.trainable_state_dict().items())
        same(loaded.predict(data), model.predict(data))
    assert loaded.card["seed"] == 3
    # Only what was trained is in the file.
    with safe_open(tmp_path / "mine" / "model.safetensors", "pt") as file:
        names = set(file.keys())
    assert names == {name for name, p in model.named_parameters() if p.requires_grad}
    if options.get("image_encoder") == "lora":
        tower = {name for name in names if ".encoder." in name}
        assert tower
        assert all("lora_" in name for name in tower)


def test_another_backbone_is_refused_with_both_names(saved, other_clip):
    model, folder = saved
    for load in (CoOp.from_pretrained, load_component):
        with pytest.raises(ValueError, match=r"tiny-clip.*does not fit .*other-clip") as refused:
            load(folder, other_clip)
        assert model.clip.weights_hash[:8] in str(refused.value)
        assert other_clip.weights_hash[:8] in str(refused.value)


def test_the_backbone_is_found_by_its_name_and_may_lie_elsewhere(saved, tmp_path, data):
    model, folder = saved
    copy = shutil.copytree(model.clip.folder, tmp_path / "renamed")
    for clip in (None, load_clip(copy, device="cpu")):
        same(load_component(folder, clip).predict(data), model.predict(data))


@pytest.mark.parametrize("method", ["OrdinalMethod", "os.system", None, 3])
def test_another_and_an_unknown_method_are_refused(saved, clip, method):
    with pytest.raises(ValueError, match="CoOp, not a NumCLIP"):
        NumCLIP.from_pretrained(saved[1], clip)
    edit_config(saved[1], method=method)
    with pytest.raises(ValueError, match=rf"mine: method = {method!r}: .* CoOp, CORN"):
        load_component(saved[1], clip)


@pytest.mark.parametrize("load", [CoOp.from_pretrained, load_component])
def test_changed_weights_are_refused(saved, clip, load):
    path = saved[1] / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"model.safetensors .*damaged"):
        load(saved[1], clip)


def test_a_missing_card_is_told(saved, clip):
    (saved[1] / "card.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"it lacks card\.json"):
        load_component(saved[1], clip)


def test_options_that_do_not_fit_the_weights_are_refused(saved, clip):
    options = asdict(saved[0].options) | {"n_ctx": 9}
    edit_config(saved[1], options=options)
    with pytest.raises(ValueError, match=r"the tensor prompt_learner\.context is"):
        load_component(saved[1], clip)


def test_a_new_one_takes_the_place_of_an_old_one(saved, clip, data):
    other = OrdinalCLIP(clip, data.task, seed=2)
    other.save_pretrained(saved[1])
    loaded = load_component(saved[1], clip)
    assert type(loaded) is OrdinalCLIP
    assert "description" not in loaded.card
    same(loaded.predict(data), other.predict(data))


def test_those_that_come_with_ordlib_are_listed(saved, clip, tmp_path, monkeypatch):
    monkeypatch.setattr(components, "COMPONENTS", tmp_path / "shipped")
    with pytest.raises(FileNotFoundError, match="no component 'b'; there are none as yet"):
        load_component("b", clip)
    assert list_components().empty
    card = {"description": "B", "device": "tpu", "test": {"mae": 1.5}}
    saved[0].save_pretrained(tmp_path / "shipped" / "b", card)
    FineTuned(clip, saved[0].task).save_pretrained(tmp_path / "shipped" / "a", {"device": "cpu"})
    # A CLIP lies there, too, and is no component.
    (tmp_path / "shipped" / "clip").mkdir()
    (tmp_path / "shipped" / "clip" / "config.json").write_text("{}")
    table = list_components()
    assert table.index.tolist() == ["a", "b"]
    assert table.loc["b"].tolist() == ["CoOp", "ripeness", clip.name, 1.5, "tpu", "B"]
    assert table.loc["a", ["method", "device"]].tolist() == ["FineTuned", "cpu"]
    assert type(load_component("a", clip)) is FineTuned
    with pytest.raises(FileNotFoundError, match=r"no component 'c'.* a, b"):
        load_component("c", clip)
    # An adapter's card tells tests by task and set: there is no one error for the table.
    tasks = [load_task("dating"), load_task("ageing")]
    card = {"description": "Orders.", "device": "abacus", "test": {"rows": [{"task": "ageing"}]}}
    RankingAdapter(clip, tasks).save_pretrained(tmp_path / "shipped" / "r", card)
    table = list_components()
    assert table.index.tolist() == ["a", "b", "r"]
    row = table.loc["r"]
    told = [row[name] for name in ("method", "task", "backbone", "device", "description")]
    assert told == ["RankingAdapter", "dating, ageing", clip.name, "abacus", "Orders."]
    assert np.isnan(row["mae"])
    assert table.loc["b", "mae"] == 1.5
    loaded = load_component("r", clip)
    assert type(loaded) is RankingAdapter
    assert [*loaded.tasks.values()] == tasks

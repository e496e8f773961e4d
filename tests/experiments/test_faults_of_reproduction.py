"""Wrong folders, options and stored results of reproductions and tables: named before the work."""

import json
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import build_tiny_clip
from published_fixtures import adience

from ordlib import TrainingConfig
from ordlib.experiments import reproduce as module
from ordlib.experiments.pretrain_clip.config import PretrainingConfig, find_size
from ordlib.experiments.reproduce import Reproduction, reproduce
from ordlib.experiments.results import cached_json, load_results, make_results, save_results


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Backbone and data set."""
    adience(root := tmp_path_factory.mktemp("adience"))
    return {"backbone": str(build_tiny_clip(tmp_path_factory.mktemp("clip"))), "root": root}


@pytest.fixture(scope="module")
def setting(inputs):
    def make(**changes):
        fields = {"dataset": "adience", "method": "zero-shot", "folds": (0,), **inputs}
        return Reproduction(**fields | changes)

    return make


def run(setting, output):
    with warnings.catch_warnings(action="ignore"):
        return reproduce(setting, output, "cpu", progress=lambda line: None)


@pytest.fixture(scope="module")
def finished(setting, tmp_path_factory):
    run(setting(), folder := tmp_path_factory.mktemp("finished"))
    return folder


@pytest.fixture
def output(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "output")


@pytest.fixture
def no_work(monkeypatch):
    monkeypatch.setattr(module, "_train_and_test", None)


@pytest.mark.parametrize(("changes", "message"), [
    ({"folds": (0, 99)}, "fold = 99: must be one of 0, 1, 2, 3, 4"),
    ({"folds": (0, -1)}, "fold = -1: must be one of"),
    ({"folds": (0, None)}, "fold = None: must be one of"),
    ({"options": {"x": 1}}, "x = 1: unknown option of zero-shot; available options: "),
    ({"options": {"clip": 3}}, "clip = 3: unknown option of zero-shot"),
    ({"options": {"image_encoder": "lora"}}, "image_encoder = 'lora': unknown option of zero-shot"),
    ({"method": "probe", "options": {"task": 3}}, "task = 3: unknown option of probe"),
    ({"method": "coop", "options": {"seed": 3}}, "seed = 3: unknown option of coop"),
    ({"method": "coop", "options": {"n_ctx": "x"}}, "n_ctx = 'x': must be"),
    ({"shots": 3}, "shots = 3: zero-shot needs no training"),
    ({"draw": "long tail"}, "draw = 'long tail': zero-shot needs no training"),
])  # fmt: skip
def test_settings_are_checked_before_the_first_model(setting, tmp_path, no_work, changes, message):
    with pytest.raises((ValueError, TypeError), match=message):
        run(setting(**changes), tmp_path)
    assert os.listdir(tmp_path) == []


def read_only(path):
    path.write_text("old")
    path.chmod(0o444)


DAMAGES = {
    "folder": lambda path: path.mkdir(), "read-only": read_only,
    "link to itself": lambda path: path.symlink_to(path.name),
}  # fmt: skip


@pytest.mark.parametrize("name", ["results.json", "report.md"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_outputs_that_cannot_be_written_are_named(setting, tmp_path, no_work, name, damage):
    damage(tmp_path / name)
    with pytest.raises(OSError, match=rf"{name} .*; move it, or choose another folder"):
        run(setting(), tmp_path)
    assert os.listdir(tmp_path) == [name]


def test_a_file_in_the_place_of_the_models_is_named(setting, tmp_path, no_work):
    (tmp_path / "models").write_text("old")
    with pytest.raises(OSError, match="models is not a folder; move it"):
        run(setting(), tmp_path)


@pytest.mark.parametrize(("changes", "name"), [
    ({"method": "coop"}, "method"), ({"resize": "squash"}, "resize"),
    ({"options": {"decode": "argmax"}}, "options"), ({"skip_missing": True}, "skip_missing"),
    ({"protocol": "ranking adapter", "folds": None}, "protocol"),
    ({"config": TrainingConfig(epochs=3)}, "config"), ({"method": "probe", "shots": 1}, "method"),
])  # fmt: skip
def test_results_of_another_setting_are_kept(setting, output, changes, name):
    before = (output / "results.json").read_bytes()
    with pytest.raises(ValueError, match=rf"results\.json: has the results of {name} .*another"):
        run(setting(**changes), output)
    assert (output / "results.json").read_bytes() == before


def test_folds_are_added_to_results(setting, output):
    results = run(setting(folds=(0, 1), protocol="five folds"), output)
    assert len(results["models"]) == 2


@pytest.mark.parametrize("content", ["[1]", "null", "[[]]", "[{}]", "3", '"x"', '{"a": 1}', "[]"])
def test_stored_models_of_another_kind_are_named(setting, output, content):
    (path,) = (output / "models").glob("*.json")
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"damaged .*delete .*{path.name}"):
        run(setting(), output)


# Tables ----------------------------------------------------------------------------------------


def test_numbers_of_numpy_and_torch_are_stored(tmp_path):
    rows = [{"a": np.float32(1.5), "b": np.int64(2), "c": np.bool_(True), "d": torch.tensor(3.0)}]
    save_results(tmp_path / "x.json", "x", "ordlib", rows, seeds=np.int64(3))
    stored = json.loads((tmp_path / "x.json").read_text())
    assert stored["records"] == [{"a": 1.5, "b": 2, "c": True, "d": 3.0}]
    assert stored["seeds"] == 3
    assert cached_json(tmp_path / "y.json", lambda: {"a": np.int64(4)}) == {"a": 4}


@pytest.mark.parametrize("value", [float("nan"), np.float32("nan"), np.float64("inf"), -np.inf])
def test_values_that_are_not_finite_are_named(tmp_path, value):
    with pytest.raises(ValueError, match=r"records\[1\]\['a'\] = .*: must be finite"):
        save_results(tmp_path / "x.json", "x", "ordlib", [{}, {"a": value}])


@pytest.mark.parametrize("value", [{1}, b"x", object(), Path("x")])
def test_values_that_json_does_not_have_are_named(tmp_path, value):
    for store in (lambda: save_results(tmp_path / "x.json", "x", "ordlib", [{"a": value}]),
                  lambda: cached_json(tmp_path / "x.json", lambda: {"a": value})):  # fmt: skip
        with pytest.raises(TypeError, match="cannot be stored as JSON"):
            store()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["../published", "", None, 3, ["methods"], Path("methods")])
def test_names_of_tables_that_are_none_are_named(name):
    for function in (load_results, make_results):
        with pytest.raises(ValueError, match=r"table = .*: no such results table; available"):
            function(name)


@pytest.mark.parametrize(("field", "value"), [
    ("learning_rate", float("inf")), ("learning_rate", "1e-3"), ("seed", 2**70), ("seed", 1.5),
    ("seed", True), ("num_images", 3000.0), ("batch_size", 8.0), ("batch_size", True),
    ("samples_seen", float("nan")), ("samples_seen", 1e6), ("size", "small"), ("precision", None),
    ("count_caption_fraction", None), ("count_caption_fraction", "0.5"), ("precision", []),
    ("distractor_number_fraction", True), ("count_caption_fraction", float("nan")),
])  # fmt: skip
def test_pretraining_config_names_values_of_another_type(field, value):
    with pytest.raises(ValueError, match=f"{field} = .*: must be"):
        PretrainingConfig(**{field: value})


@pytest.mark.parametrize("name", [None, [], 3, "Small", "large"])
def test_find_size_names_other_sizes(name):
    with pytest.raises(ValueError, match=r"size = .*: must be one of small"):
        find_size(name)

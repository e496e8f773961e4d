"""Results do not depend on the modes and defaults of torch that a caller has set."""

import copy
import multiprocessing
import os
import pickle
import sys
import threading
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import training_runs as runs
from ranking_runs import make_adapter, val_data
from training_fixtures import cache_folder, clip, training_cache  # noqa: F401

from ordlib import CoOp, NumCLIP, ZeroShot, fit, load_clip, load_component
from ordlib.clip.feature_cache import cached_image_features

fit_module = sys.modules[fit.__module__]
CONFIG = replace(runs.CONFIG, epochs=1)
KINDS = ("frozen", "lora")


@contextmanager
def default_dtype(dtype):
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def default_device(device):
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@contextmanager
def grad_disabled():
    torch.set_grad_enabled(False)
    try:
        yield
    finally:
        torch.set_grad_enabled(True)


@contextmanager
def autocast_in_inference():
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        yield


MODES = {
    "no_grad": torch.no_grad,
    "grad disabled": grad_disabled,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "autocast in inference_mode": autocast_in_inference,
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "meta device": lambda: default_device("meta"),
    "meta device of a block": lambda: torch.device("meta"),
    "deterministic": deterministic,
    "anomaly detection": torch.autograd.detect_anomaly,
    "numpy raises": lambda: np.errstate(all="raise"),
    "strings of pandas": lambda: pd.option_context("mode.string_storage", "python"),
}
MODES = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)


def train(model, data, val):
    fit(model, data, val, CONFIG, progress=False)
    return model


@pytest.fixture(scope="module")
def data():
    return runs.make_data("train", 24)


@pytest.fixture(scope="module")
def val():
    return runs.make_data("val", 12)


@pytest.fixture(scope="module")
def trained(clip, data, val):  # noqa: F811
    kinds = {kind: NumCLIP(clip, runs.TASK, image_encoder=kind) for kind in KINDS}
    return {kind: train(model, data, val) for kind, model in kinds.items()}


def assert_equal(model, other, val):
    assert runs.states_equal(model.trainable_state_dict(), other.trainable_state_dict())
    assert np.array_equal(model.predict(val).value, other.predict(val).value)


pytestmark = pytest.mark.filterwarnings("ignore:the best epoch", "ignore:Anomaly Detection")


@MODES
@pytest.mark.parametrize("kind", KINDS)
def test_build_and_fit_in_a_mode(clip, trained, data, val, kind, mode):  # noqa: F811
    with mode():
        model = train(NumCLIP(clip, runs.TASK, image_encoder=kind), data, val)
    assert_equal(model, trained[kind], val)


@MODES
def test_build_in_a_mode_and_fit_outside(clip, trained, data, val, mode):  # noqa: F811
    with mode():
        model = NumCLIP(clip, runs.TASK, image_encoder="lora")
        model.predict(val)
    assert_equal(train(model, data, val), trained["lora"], val)


@MODES
def test_load_save_and_cache_in_a_mode(tiny_clip_folder, tmp_path, monkeypatch, trained, val, mode):
    model = trained["frozen"]
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "cache"))
    with mode():
        loaded = load_clip(tiny_clip_folder, "cpu")
        features = cached_image_features(loaded, val)
        model.save_pretrained(tmp_path / "mine")
        again = load_component(tmp_path / "mine", loaded)
    assert loaded.weights_unchanged
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "other"))
    assert torch.equal(features, cached_image_features(model.clip, val))
    assert_equal(again, model, val)


@MODES
def test_text_features_that_are_kept_do_not_depend_on_the_mode(clip, trained, val, mode):  # noqa: F811
    expected, kept = (copy.deepcopy(trained["frozen"]) for _ in range(2))
    kept._encoded_prompts = None
    zero_shots = [ZeroShot(clip, runs.TASK) for _ in range(2)]
    with mode(), torch.no_grad():
        kept.predict(val)
        zero_shots[0].text_features()
    assert np.array_equal(kept.predict(val).value, expected.predict(val).value)
    assert torch.equal(*(each.text_features() for each in zero_shots))


@pytest.mark.parametrize("mode", [torch.inference_mode, autocast_in_inference])
def test_prompts_of_an_adapter_that_are_kept_can_be_trained(tiny_clip_folder, mode):
    adapter, fresh = (make_adapter(tiny_clip_folder) for _ in range(2))
    for prompt in {prompt for part in val_data() for prompt in adapter.prompts(part)}:
        with mode():
            kept = adapter.encode_prompt(prompt)
        assert not kept.is_inference()
        assert torch.equal(kept, fresh.encode_prompt(prompt))


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "train mode": lambda model: copy.deepcopy(model).train(),
    "float64 and back": lambda model: copy.deepcopy(model).double().float(),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", COPIES.values(), ids=COPIES)
def test_copy_of_a_model_is_equal(trained, val, kind, make):
    assert_equal(make(trained[kind]), trained[kind], val)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_fit_in_a_child_that_was_forked_during_a_fit():
    """The thread that has the lock is not in the child."""

    def child():
        os._exit(0 if fit_module._LOCK.acquire(timeout=2) else 1)

    held, done = threading.Event(), threading.Event()

    def hold():
        with fit_module._LOCK:
            held.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(10)
    done.set()
    thread.join()
    assert process.exitcode == 0


CHANGES = {
    "half": (lambda model: model.half(), "is torch.float16 on cpu: call model.float"),
    "double": (lambda model: model.double(), "is torch.float64 on cpu: call model.float"),
    "meta": (lambda model: model.to("meta"), "is torch.float32 on meta"),
    "nan": (lambda model: first(model).fill_(torch.nan), "contains NaN or infinite values"),
    "infinite": (lambda model: first(model).fill_(torch.inf), "contains NaN or infinite values"),
    "edited backbone": (lambda model: model.clip.model.text_projection.weight.data.mul_(2),
                        "have changed since it was loaded"),
    "half backbone": (lambda model: model.clip.model.half(), "have changed since it was loaded"),
    "tuned backbone": (lambda model: model.clip.model.requires_grad_(True), "require gradients"),
    "frozen by hand": (lambda model: model.requires_grad_(False), "set_frozen_groups"),
}  # fmt: skip


def first(model):
    return next(iter(model.trainable_state_dict().values()))


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
def test_changed_model_is_refused_before_training(tiny_clip_folder, data, val, change, message):
    model = CoOp(load_clip(tiny_clip_folder, "cpu"), runs.TASK)
    change(model)
    with pytest.raises(ValueError, match=message):
        fit(model, data, val, CONFIG, progress=False)


@pytest.mark.parametrize("name", ["half", "double", "nan", "infinite", "meta", "edited backbone"])
def test_changed_model_is_not_saved_over_another(tiny_clip_folder, tmp_path, name):
    model = CoOp(load_clip(tiny_clip_folder, "cpu"), runs.TASK)
    model.save_pretrained(tmp_path / "mine")
    before = {path.name: path.read_bytes() for path in (tmp_path / "mine").iterdir()}
    change, message = CHANGES[name]
    change(model)
    with pytest.raises(ValueError, match=message):
        model.save_pretrained(tmp_path / "mine")
    assert {path.name: path.read_bytes() for path in (tmp_path / "mine").iterdir()} == before


def test_weights_that_no_component_contains_are_not_trained(clip, data, val):  # noqa: F811
    model = NumCLIP(clip, runs.TASK, image_encoder="lora").requires_grad_(True)
    with pytest.raises(ValueError, match="requires a gradient, but a saved"):
        fit(model, data, val, CONFIG, progress=False)


def test_no_mode_is_left_set(clip, data, val):  # noqa: F811
    with default_dtype(torch.float64), torch.no_grad(), nullcontext():
        train(CoOp(clip, runs.TASK), data, val)
        assert torch.get_default_dtype() == torch.float64
        assert not torch.is_grad_enabled()

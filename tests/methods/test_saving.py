import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from damage import seal
from safetensors.torch import load_file, save_file

from ordlib import CoOp, ImageData, LinearProbe, OrdinalTask, load_clip, load_component
from ordlib import fit as ordlib_fit
from ordlib.methods import saving
from ordlib.methods.ood import MahalanobisOOD
from ordlib.metrics.conformal import ConformalCalibration
from ordlib.synthetic.pixel_baselines import PixelRidge, PixelTrees

TASK = OrdinalTask(name="ripeness", unit="days", values=("green", "yellow", "spotted", "brown"))


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, "cpu")


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "cache"))


def images(seed=0, count=40):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)
    values = rng.integers(0, 4, count).astype(float)
    return ImageData(TASK, pixels, values, pd.DataFrame({"i": range(count)}), f"n{seed}", "train")


def mean_color(data):
    return data.images.mean((1, 2))


def fit(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # noise has no labels
        model.fit(images())
    model.calibrations["ripeness"] = ConformalCalibration((0.5, 1.0), 1.5)
    return model


def assert_same(a, b):
    for field in ("value", "label"):
        assert np.array_equal(getattr(a, field), getattr(b, field))


def test_linear_probe_round_trip_is_bit_equal(clip, tmp_path):
    probe = fit(LinearProbe(clip, TASK))
    probe.save_pretrained(tmp_path, {"seed": 3})
    expected = probe.predict(images(1))
    assert len(np.unique(expected.value)) > 1
    for loaded in (
        LinearProbe.from_pretrained(tmp_path, clip),
        LinearProbe.from_pretrained(tmp_path, str(clip.folder)),
        load_component(tmp_path, clip),
        load_component(tmp_path, device="cpu"),
    ):
        assert type(loaded) is LinearProbe
        assert_same(loaded.predict(images(1)), expected)
        assert loaded.task == TASK
        assert loaded.calibrations == probe.calibrations
    assert load_component(tmp_path, clip).card["seed"] == 3
    tensors = load_file(tmp_path / "model.safetensors")
    assert {name: tuple(t.shape) for name, t in tensors.items()} == {
        "mean": (24,), "scale": (24,), "coef": (24,), "intercept": ()}  # fmt: skip
    # From the tensors by hand.
    mean, scale, coef, intercept = (
        tensors[n].numpy() for n in ("mean", "scale", "coef", "intercept")
    )
    features = clip.encode_images(images(1)).double().numpy()
    naive = ((features - mean) / scale @ coef + intercept).clip(0, 3)
    np.testing.assert_allclose(expected.value, naive, atol=1e-9)


def test_pixel_ridge_round_trip_is_bit_equal(tmp_path):
    ridge = fit(PixelRidge(TASK))
    ridge.save_pretrained(tmp_path)
    for loaded in (PixelRidge.from_pretrained(tmp_path), load_component(tmp_path)):
        assert type(loaded) is PixelRidge
        assert_same(loaded.predict(images(1)), ridge.predict(images(1)))
        assert loaded.calibrations == ridge.calibrations


def test_linear_probe_on_a_function_needs_it(clip, tmp_path):
    probe = fit(LinearProbe(mean_color, TASK))
    probe.save_pretrained(tmp_path)
    loaded = LinearProbe.from_pretrained(tmp_path, mean_color)
    assert_same(loaded.predict(images(1)), probe.predict(images(1)))
    for load in (lambda: load_component(tmp_path), lambda: load_component(tmp_path, clip)):
        with pytest.raises(ValueError, match=r"from_pretrained\(folder, function\)"):
            load()


def test_pixel_trees_are_not_saved(tmp_path):
    with pytest.raises(
        TypeError, match=r"PixelTrees cannot be saved: .*pickle, which can run code"
    ):
        fit(PixelTrees(TASK)).save_pretrained(tmp_path / "trees")
    assert not (tmp_path / "trees").exists()


def test_unfitted_probe_and_another_class_or_backbone(clip, even_clip_folder, tmp_path):
    with pytest.raises(RuntimeError, match=r"LinearProbe is not fitted"):
        LinearProbe(clip, TASK).save_pretrained(tmp_path / "x")
    fit(LinearProbe(clip, TASK)).save_pretrained(tmp_path / "x")
    with pytest.raises(ValueError, match=r"holds a LinearProbe, not a PixelRidge"):
        PixelRidge.from_pretrained(tmp_path / "x")
    with pytest.raises(ValueError, match=r"does not fit .*even-clip.*clip="):
        load_component(tmp_path / "x", load_clip(even_clip_folder, "cpu"))


CHANGES = {
    "missing": (lambda t: t.pop("mean"), "mean is missing"),
    "extra": (lambda t: t.update(x=torch.ones(2)), "x is .*expected none"),
    "shape": (lambda t: t.update(coef=torch.ones(9)), r"coef is \(9,\)"),
    "scale": (lambda t: t["scale"].zero_(), "scale must be above 0"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_damaged_probe(case, clip, tmp_path):
    change, message = CHANGES[case]
    fit(LinearProbe(clip, TASK)).save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = {name: t.clone() for name, t in load_file(path).items()}
    change(tensors)
    save_file(tensors, path)
    seal(tmp_path)
    with pytest.raises(ValueError, match=rf"model.safetensors: the tensor {message}"):
        load_component(tmp_path, clip)


@pytest.fixture
def coop(clip):
    model = CoOp(clip, TASK, image_encoder="lora")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.02, generator=torch.Generator().manual_seed(0))
    model.ood_detector = MahalanobisOOD(np.full(24, 1 / 3), np.eye(24), 3.0)
    return model


def test_float16_is_smaller_and_predicts_the_same(coop, clip, tmp_path):
    sizes, dtypes = {}, {}
    for dtype in (None, "float16"):
        folder = tmp_path / str(dtype)
        coop.save_pretrained(folder, dtype=dtype)
        tensors = load_file(folder / "model.safetensors")
        dtypes[dtype] = {n.startswith("ood."): t.dtype for n, t in tensors.items()}
        sizes[dtype] = sum(t.nbytes for n, t in tensors.items() if not n.startswith("ood."))
    assert dtypes[None] == {False: torch.float32, True: torch.float32}
    assert dtypes["float16"] == {False: torch.float16, True: torch.float32}
    assert sizes["float16"] == sizes[None] / 2
    exact, half = (load_component(tmp_path / str(dtype), clip) for dtype in (None, "float16"))
    difference = np.abs(half.predict(images(1)).value - exact.predict(images(1)).value)
    assert 0 < difference.max() <= 1e-3 * 3
    # Saving in float16 leaves the model as it was, and so does the default.
    assert_same(coop.predict(images(1)), exact.predict(images(1)))


def test_float16_that_changes_predictions_is_refused(clip, tmp_path):
    probe = fit(LinearProbe(clip, TASK))
    # Large terms that cancel in float64, not in float16.
    scaler, ridge = probe._regressor
    ridge.intercept_ = ridge.intercept_ + 3000.5
    ridge.coef_ = ridge.coef_ * 0
    scaler.mean_ = scaler.mean_ * 0
    ridge.coef_[0], scaler.mean_[0], scaler.scale_[0] = 1.0, 3000.0, 1.0
    assert len(np.unique(probe.predict(images(1)).value)) > 1
    with pytest.raises(
        ValueError, match=r"predictions would change by up to .* of the range of rip"
    ):
        probe.save_pretrained(tmp_path / "x", dtype="float16")
    assert not (tmp_path / "x").exists()


def test_float16_overflow_and_unknown_dtype_are_refused(coop, tmp_path):
    with torch.no_grad():
        next(p for p in coop.parameters() if p.requires_grad).fill_(1e6)
    with pytest.raises(ValueError, match=r"is too large for it; leave dtype out"):
        coop.save_pretrained(tmp_path / "x", dtype="float16")
    for dtype in ("bfloat16", torch.float16, 16):
        with pytest.raises(ValueError, match=r"dtype = .*: must be one of float16, or None"):
            coop.save_pretrained(tmp_path / "x", dtype=dtype)
    assert not (tmp_path / "x").exists()


def test_float16_limit_is_a_thousandth_of_the_range(coop, tmp_path, monkeypatch):
    assert saving.MAX_HALF_DIFFERENCE == 1e-3
    monkeypatch.setattr(saving, "MAX_HALF_DIFFERENCE", 1e-9)
    with pytest.raises(ValueError, match="predictions would change"):
        coop.save_pretrained(tmp_path / "x", dtype="float16")


@pytest.mark.parametrize(
    "make", [lambda clip: CoOp(clip, TASK), lambda clip: LinearProbe(clip, TASK)]
)
def test_card_is_added_to_that_of_a_loaded_model(clip, tmp_path, make):
    model = make(clip)
    if isinstance(model, LinearProbe):
        fit(model)
    model.save_pretrained(tmp_path, {"seed": 3, "license": "mit"})
    model = load_component(tmp_path, clip)
    model.save_pretrained(tmp_path, {"license": "cc0-1.0"})
    model = load_component(tmp_path, clip)
    assert (model.card["seed"], model.card["license"]) == (3, "cc0-1.0")
    # Of another training, the old card says nothing.
    if isinstance(model, LinearProbe):
        fit(model)
    else:
        train, config = images(), {"epochs": 1}
        ordlib_fit(model, train, images(1, 20), config, calibration=None, progress=False)
    assert model.card == {}


@pytest.mark.parametrize(
    ("card", "error"),
    [({"licence": "mit"}, "the hub spells it 'license'"), (["mit"], r"card = \['mit'\]: must be")],
)
def test_cards_that_would_be_lost_are_refused(clip, tmp_path, card, error):
    with pytest.raises((TypeError, ValueError), match=error):
        CoOp(clip, TASK).save_pretrained(tmp_path / "x", card)
    assert not (tmp_path / "x").exists()

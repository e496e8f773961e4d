"""Exported files predict as their models; what cannot be exported is refused by name."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from open_clips import build
from PIL import Image
from siglips import BUILDERS
from small_adapter import noise, small_adapter
from typer.testing import CliRunner

import ordlib
from ordlib import CORN, ClipBackbone, ImageData, LinearProbe, ZeroShot, export_onnx, load_clip
from ordlib.cli import app
from ordlib.clip.preprocessing import Preprocessor
from ordlib.components import export
from ordlib.components.io import WEIGHTS

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
# Sides, modes and aspect ratios that the preprocessing meets.
SIZES = [(64, 64), (65, 64), (640, 479), (99, 301), (20, 33), (1, 60), (200, 190)]
MODES = ["RGB", "RGBA", "LA", "L", "P", "1", "CMYK"]


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORDLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, "cpu")


@torch.no_grad()
def trained(method: type | str, clip: ClipBackbone, task: str = "dating", **options: object):
    """A model whose parameters are as far from the first ones as training moves them."""
    model = getattr(ordlib, method)(clip, task, **options)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.trainable_state_dict().values():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.add_(0.2 * (parameter.std(correction=0) + 0.1) * noise)
    return model


def random_images(count: int = 5, side: int = 64) -> np.ndarray:
    rng = np.random.default_rng(7)
    blocks = rng.integers(0, 256, (count, side // 8, side // 8, 3), dtype=np.uint8)
    return blocks.repeat(8, 1).repeat(8, 2)


def image_data(task: ordlib.OrdinalTask, images: np.ndarray) -> ImageData:
    values, rows = np.full(len(images), task.range[0]), pd.DataFrame(index=range(len(images)))
    return ImageData(task, images, values, rows, "images", "test")


def assert_equal(onnx: object, model: object, images: np.ndarray) -> None:
    """Compare all outputs with ``model.predict``, in batches of one and of all images."""
    expected = model.predict(image_data(model.task, images))
    names = [output.name for output in onnx.session.get_outputs()]
    for rows in (slice(None), slice(1)):
        found = dict(zip(names, onnx.session.run(None, {"images": images[rows]}), strict=True))
        np.testing.assert_allclose(found["value"], expected.value[rows], rtol=0, atol=1e-4)
        ranks = model.task.rank_index(expected.label[rows])
        np.testing.assert_array_equal(found["label_index"], ranks)
        assert ("probabilities" in found) == (expected.probabilities is not None)
        if expected.probabilities is not None:
            probabilities = expected.probabilities[rows]
            np.testing.assert_allclose(found["probabilities"], probabilities, rtol=0, atol=1e-4)
    # Otherwise a constant would pass.
    assert np.ptp(expected.value) > 0.01


@pytest.fixture(scope="module")
def exported(clip, onnx_model, tmp_path_factory):
    """A calibrated NumCLIP with LoRA, the component, and its file by the command."""
    folder = tmp_path_factory.mktemp("exported")
    model = trained("NumCLIP", clip, image_encoder="lora")
    model.calibrate_intervals(noise("dating", "val"))
    model.save_pretrained(folder)
    result = CliRunner().invoke(app, ["export", str(folder), str(folder / "model.onnx")])
    assert result.exit_code == 0, result.output
    assert result.output == f"{folder / 'model.onnx'}: dating, 0.3 MB\n"
    return model, folder, onnx_model(folder / "model.onnx")


def test_export_command_writes_a_file_that_equals_predict(exported):
    model, folder, onnx = exported
    images = random_images()
    assert_equal(onnx, model, images)
    # As the table of `predict` of files: at the temperature of the intervals' calibration.
    probabilities = model.predict(image_data(model.task, images)).probabilities
    scaled = model.calibrations["dating"].scale(probabilities)
    found = [row["probabilities"] for row in onnx.predict([*map(Image.fromarray, images)])]
    np.testing.assert_allclose([[*row.values()] for row in found], scaled, rtol=0, atol=1e-4)
    assert np.abs(scaled - probabilities).max() > 0.01
    # LoRA is in the weights; no text encoder, and no paths of this machine.
    encoder = sum(tensor.nbytes for tensor in model.clip.image_encoder.state_dict().values())
    content = (folder / "model.onnx").read_bytes()
    assert encoder < len(content) < encoder + 30_000
    assert str(EXAMPLES.parents[1]).encode() not in content
    assert model.clip.name.encode() not in content  # a path
    assert onnx.metadata["backbone"] == Path(model.clip.name).name


def test_exported_file_describes_itself(exported, clip):
    model, folder, onnx = exported
    metadata = onnx.metadata
    weights = (folder / WEIGHTS).read_bytes()
    assert metadata["component_sha256"] == hashlib.sha256(weights).hexdigest()
    assert metadata["backbone_sha256"] == clip.weights_hash
    assert metadata["ordlib_version"] == ordlib.__version__
    names = ("method", "task", "unit", "image_size")
    assert [metadata[name] for name in names] == ["NumCLIP", "dating", "decades", "64"]
    labels, values = (json.loads(metadata[f"rank_{name}"]) for name in ("labels", "values"))
    assert (labels, values) == ([*model.task.values], [0, 1, 2, 3, 4])
    # OpenAI's, with which a user could normalize pixels.
    mean, std = (json.loads(metadata[name]) for name in ("mean", "std"))
    assert mean == pytest.approx([0.48145466, 0.4578275, 0.40821073], abs=2e-6)
    assert std == pytest.approx([0.26862954, 0.26130258, 0.27577711], abs=2e-6)


def test_check_equal_detects_another_model(exported, clip):
    model, folder, _ = exported
    images = random_images(8)
    export.check_equal(folder / "model.onnx", model, images)
    other = trained("NumCLIP", clip)
    with pytest.raises(FloatingPointError, match="value: onnxruntime and NumCLIP differ by"):
        export.check_equal(folder / "model.onnx", other, images)


METHODS = ["NumCLIP", "CoOp", "OrdinalCLIP", "L2RCLIP", "FineTuned", "CORN"]


@torch.no_grad()
@pytest.mark.parametrize("image_encoder", ["frozen", "lora", "full"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("task", ["ageing", "dating"])
def test_graph_equals_predict(clip, method, task, image_encoder):
    """What is converted: LoRA merged, text constant. NumCLIP has fewer bins than ages."""
    model, images = trained(method, clip, task, image_encoder=image_encoder), random_images()
    graph = export._Graph(model, clip, export._head(model)).eval()
    found = dict(zip(graph.output_names, graph(torch.from_numpy(images)), strict=True))
    expected = model.predict(image_data(model.task, images))
    np.testing.assert_allclose(found["value"], expected.value, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(found["label_index"], model.task.rank_index(expected.label))
    assert ("probabilities" in found) == (expected.probabilities is not None)
    if expected.probabilities is not None:
        np.testing.assert_allclose(found["probabilities"], expected.probabilities, atol=1e-4)
    assert not any("lora" in name for name, _ in graph.encoder.named_modules())


CASES = [
    ("NumCLIP", {"image_encoder": "full"}, "ageing"),
    ("CoOp", {"adapter": False, "tune_logit_scale": True, "text_encoder": "full"}, "dating"),
    ("OrdinalCLIP", {"image_encoder": "lora"}, "dating"),
    ("L2RCLIP", {}, "dating"),
    ("FineTuned", {"image_encoder": "lora"}, "quality"),
    ("CORN", {"image_encoder": "lora"}, "counting"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "options", "task"), CASES, ids=lambda case: str(case)[:12])
def test_every_method_equals_predict(clip, onnx_model, tmp_path, method, options, task):
    model = trained(method, clip, task, **options)
    export_onnx(model, tmp_path / "model.onnx")
    assert_equal(onnx_model(tmp_path / "model.onnx"), model, random_images())


@pytest.mark.slow
def test_decoding_by_argmax_and_baselines_equal_predict(clip, onnx_model, tmp_path):
    task = replace(ordlib.load_task("dating"), decode="argmax")
    probe = LinearProbe(clip, "dating").fit(noise("dating", "train", 60))
    for model in (trained("CoOp", clip, task), ZeroShot(clip, "dating", templates=(0,)), probe):
        export_onnx(model, tmp_path / "model.onnx")
        assert_equal(onnx_model(tmp_path / "model.onnx"), model, random_images(20))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["siglip", "siglip2"])
def test_siglip_equals_predict(kind, onnx_model, tmp_path):
    model = trained("NumCLIP", load_clip(BUILDERS[kind](tmp_path / kind), "cpu"), "dating")
    export_onnx(model, tmp_path / "model.onnx")
    assert_equal(onnx_model(tmp_path / "model.onnx"), model, random_images())


@pytest.mark.parametrize("resize", ["crop", "squash", "pad", "squash_crop"])
@pytest.mark.parametrize("edge", [64, 75])
def test_square_of_the_example_equals_the_preprocessing(onnx_model, tmp_path, resize, edge):
    """With the edge of the model, and with one that leaves an odd margin."""
    # From 85 pixels "squash_crop" crops 74, whose margin of 5.5 is rounded to 6.
    side = 74 if resize == "squash_crop" else 64
    size = {"crop_size": {"height": side, "width": side}, "size": {"shortest_edge": edge}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(size))
    preprocess = Preprocessor(tmp_path, side, resize)
    onnx = onnx_model.__new__(onnx_model)
    onnx.resize, onnx.image_size = json.loads(json.dumps(preprocess.resize_steps())), side
    rng = np.random.default_rng(0)
    for width, height in SIZES:
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        np.testing.assert_array_equal(onnx.square(image), preprocess.resize_image(image))


def test_read_of_the_example_equals_load_image(onnx_model, tmp_path):
    onnx = onnx_model.__new__(onnx_model)
    onnx.resize = {"min_side": 128}
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    for mode in MODES:
        image = Image.fromarray(rng.integers(0, 256, (290, 270, 4), dtype=np.uint8), "RGBA")
        for suffix in ("png", "jpg", "webp"):
            path = tmp_path / f"image.{suffix}"
            try:
                image.convert(mode).save(path, exif=exif)
            except OSError:
                continue  # JPEG has no transparency
            expected = ordlib.data.image_io.load_image(path, 128)
            assert expected.width > expected.height
            np.testing.assert_array_equal(onnx.read(path), expected)


def refused(model: object, folder: Path, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        export_onnx(model, folder / "model.onnx")
    assert [*folder.iterdir()] == []


def test_export_onnx_refuses_what_it_cannot_export(clip, tmp_path, tiny_clip_folder):
    refused(small_adapter(tiny_clip_folder), tmp_path, "RankingAdapter takes a prompt at run time")
    columns = {"object": "plural"}
    zero_shot = ZeroShot(clip, "counting", templates=(0,), placeholder_columns=columns)
    refused(zero_shot, tmp_path, "ZeroShot has placeholder_columns")
    refused(LinearProbe(len, "dating"), tmp_path, "LinearProbe takes features from a function")
    refused(LinearProbe(clip, "dating"), tmp_path, "LinearProbe is not fitted")

    class Constant(ordlib.methods.base.OrdinalMethod):
        def _build(self):
            pass

        def loss(self, features, values):
            pass

        def predict_from_features(self, features):
            pass

    refused(Constant(clip, "dating"), tmp_path, "Constant is no method of ordlib that can be")
    opened = ClipBackbone.from_open_clip(*build("vit"), "vit")
    refused(CORN(opened, "dating"), tmp_path, "open_clip:vit: its images are resized by a function")
    half = load_clip(tiny_clip_folder, "cpu", dtype=torch.float16)
    refused(CORN(half, "dating"), tmp_path, "torch.float16 on cpu")


def test_export_onnx_refuses_naflex_and_large_encoders(
    clip, tmp_path, tmp_path_factory, monkeypatch
):
    naflex = load_clip(BUILDERS["naflex"](tmp_path_factory.mktemp("naflex")), "cpu")
    refused(CORN(naflex, "dating"), tmp_path, "NaFlex")
    monkeypatch.setattr(export, "MAX_BYTES", 1000)
    monkeypatch.setattr(export, "find_spec", lambda name: True)
    refused(CORN(clip, "dating"), tmp_path, "an ONNX file holds 2")


def test_export_onnx_names_missing_packages_and_odd_targets(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "find_spec", lambda name: name != "onnxscript")
    refused(CORN(clip, "dating"), tmp_path, r"needs onnxscript: pip install 'ordlib\[onnx\]'")
    with pytest.raises(ValueError, match="is a folder"):
        export_onnx(CORN(clip, "dating"), tmp_path)


@pytest.mark.slow
def test_a_file_that_differs_is_not_written(clip, onnx_model, tmp_path, monkeypatch):
    """The check reads the file as written; what was there before stays."""
    (tmp_path / "model.onnx").write_text("old")

    class Brighter(export._Graph):
        def __init__(self, *args):
            super().__init__(*args)
            self.factor *= 1.1

    monkeypatch.setattr(export, "_Graph", Brighter)
    with pytest.raises(FloatingPointError, match="onnxruntime and CORN differ"):
        export_onnx(trained("CORN", clip), tmp_path / "model.onnx")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("model.onnx", "old")]

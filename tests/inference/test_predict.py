"""predict: files and arrays alike, intervals and notes, damaged files, cache, page, command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import invoke, run
from PIL import Image
from small_adapter import noise, small_adapter

import ordlib
from ordlib import CORN, LinearProbe, NumCLIP, ZeroShot, fit, load_clip, load_component, load_task
from ordlib.clip import ClipBackbone
from ordlib.inference import predict_files, scoring

TASK = load_task("dating")


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "300")


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, "cpu")


@pytest.fixture
def folder(tmp_path):
    """Ten images, two of them in a subfolder."""
    root = tmp_path / "images"
    (root / "sub").mkdir(parents=True)
    for i, image in enumerate(noise("dating", "folder", 10)):
        image.save(root / ("sub" if i > 7 else "") / f"{i}.png")
    return root


@pytest.fixture
def model(clip):
    """A CORN head with calibration and OOD detector."""
    model, train, val = CORN(clip, TASK), noise("dating", "train", 30), noise("dating", "val", 40)
    fit(model, train, val, {"epochs": 2}, calibration=noise("dating", "c", 50), progress=False)
    return model


def as_data(paths):
    """The same images as an ImageData, read by hand."""
    images = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    frame = pd.DataFrame({"n": range(len(paths))})
    values = np.zeros(len(paths))
    return ordlib.ImageData(TASK, images, values, frame, "by hand", "all")


def test_predict_of_a_folder_equals_predict_of_its_images(model, folder):
    predictions = model.predict(folder, batch_size=3)
    paths = sorted(map(str, folder.rglob("*.png")))
    data = as_data(paths)
    expected = model.predict(data)
    table = predictions.table
    assert table["path"].tolist() == paths
    np.testing.assert_allclose(table["value"], expected.value, atol=1e-5)
    assert table["label"].tolist() == [TASK.rank_label(i) for i in TASK.rank_index(expected.label)]
    ends = model.intervals(expected)
    np.testing.assert_allclose(table[["low", "high"]], ends, atol=1e-5)
    # The probability of the label, at the calibrated temperature.
    temperature = model.calibrations["dating"].temperature
    scaled = expected.probabilities ** (1 / temperature)
    scaled /= scaled.sum(1, keepdims=True)
    ranks = TASK.rank_index(expected.label)
    np.testing.assert_allclose(table["probability"], scaled[range(10), ranks], rtol=1e-4)
    features = model.extract_features(data).double().numpy()
    np.testing.assert_allclose(table["ood_score"], model.ood_detector.scores(features), rtol=1e-3)
    assert (predictions.task, predictions.unit, predictions.notes) == ("dating", "decades", ())


def test_predict_takes_paths(model, folder):
    paths = [folder / "3.png", folder / "sub"]
    table = model.predict(paths).table
    assert [Path(path).name for path in table["path"]] == ["3.png", "8.png", "9.png"]


def test_predict_skips_and_lists_unreadable_files(model, folder):
    (folder / "bad.jpg").write_bytes(b"no image")
    png = (folder / "0.png").read_bytes()
    (folder / "cut.png").write_bytes(png[: len(png) // 2])
    (folder / "notes.txt").write_text("hello")
    predictions = model.predict(folder)
    assert len(predictions) == 10
    assert {Path(path).name for path in predictions.skipped} == {"bad.jpg", "cut.png"}
    assert predictions.ignored == 1
    assert "2 files were skipped." in predictions.warnings


def test_predict_works_in_parts_and_reads_the_cache(model, folder, monkeypatch):
    sizes, encode = [], ClipBackbone.encode_batches

    def spy(self, images, batch_size, function, rows=None):
        sizes.append(len(images))
        yield from encode(self, images, batch_size, function, rows)

    monkeypatch.setattr(ClipBackbone, "encode_batches", spy)
    whole = model.predict(folder).table
    monkeypatch.setattr(scoring, "CHUNK_SIZE", 4)
    sizes.clear()
    parts = model.predict(folder).table
    pd.testing.assert_frame_equal(parts, whole)
    assert not sizes, "the features come from the cache"
    for path in folder.rglob("*.png"):  # The same images under other names.
        path.rename(path.with_name(f"new-{path.name}"))
    renamed = model.predict(folder).table
    assert not sizes
    np.testing.assert_allclose(sorted(renamed["value"]), sorted(whole["value"]))


def test_predict_says_why_columns_are_empty(clip, folder):
    train = noise("dating", "train", 30)
    probe, zero_shot = LinearProbe(clip, TASK).fit(train), ZeroShot(clip, TASK)
    predictions = probe.predict(folder)
    assert predictions.table[["probability", "low", "high", "ood_score"]].isna().all(axis=None)
    text = " ".join(predictions.notes)
    for reason in ("predicts a value only", "200 validation images", "no detector"):
        assert reason in text
    probe.fit(train, calibration=noise("dating", "val", 40))
    assert probe.predict(folder).table["low"].notna().all()
    assert zero_shot.predict(folder).table["probability"].notna().all()
    zero_shot.calibrate_intervals(noise("dating", "val", 40))
    assert zero_shot.predict(folder).table["high"].notna().all()


def test_predict_with_an_adapter_names_the_task(tiny_clip_folder, folder):
    adapter = small_adapter(tiny_clip_folder)
    with pytest.raises(ValueError, match=r"task = None: this model predicts .*dating.*; name one"):
        adapter.predict(folder)
    predictions = adapter.predict(folder, task="dating")
    np.testing.assert_allclose(
        predictions.table["value"],
        adapter.predict(as_data(predictions.table["path"])).value,
        atol=1e-4,
    )


@pytest.mark.parametrize("level", [0, 1, 1.5, "0.9"])
def test_predict_validates_the_confidence_level(model, folder, level):
    with pytest.raises(ValueError, match=f"confidence_level = {level!r}: must be between 0 and 1"):
        predict_files(model, folder, confidence_level=level)


@pytest.mark.parametrize("size", [0, -1, "8", 2.5])
def test_predict_validates_the_batch_size(model, folder, size):
    for images in (folder, noise("dating", "val", 4)):
        with pytest.raises(ValueError, match=f"batch_size = {size!r}: must be an integer, 1"):
            model.predict(images, batch_size=size)


def test_intervals_need_a_prediction(model):
    with pytest.raises(TypeError, match=r"must be a Prediction; pass model\.predict\(data\)"):
        model.intervals(noise("dating", "val", 4))


def test_predict_raises_without_a_readable_image(model, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"none of 1 images can be read:\n.*bad\.png"):
        model.predict([tmp_path / "bad.png"])
    with pytest.raises(FileNotFoundError, match="no such folder"):
        model.predict(tmp_path / "nowhere")


def test_component_keeps_calibration_and_detector(model, clip, folder, tmp_path):
    model.save_pretrained(tmp_path / "saved")
    loaded = load_component(tmp_path / "saved", clip)
    assert loaded.calibrations == model.calibrations
    pd.testing.assert_frame_equal(loaded.predict(folder).table, model.predict(folder).table)


def test_json_has_null_for_empty_cells(clip, folder):
    content = json.loads(NumCLIP(clip, TASK).predict(folder).to_json())
    assert content["images"][0]["low"] is None
    assert content["notes"]


def test_page_is_sortable_and_lets_no_other_script_run(model, folder, tmp_path):
    (folder / "<script>alert(1)<b>.png").write_bytes((folder / "0.png").read_bytes())
    page = tmp_path / "page.html"
    model.predict(folder).to_html(page)
    text = page.read_text("utf-8")
    assert text.count("<script>") == 1
    assert "script-src 'sha256-" in text
    assert "http" not in text.replace("http-equiv", "")
    assert text.count('<img src="data:image/jpeg;base64,') == 11
    assert text.count("<button>") == 7
    assert "<b>.png" not in text


@pytest.fixture
def saved(model, tmp_path):
    model.save_pretrained(tmp_path / "saved")
    return str(tmp_path / "saved")


def test_command_predict_writes_files(saved, folder, tmp_path):
    (folder / "bad.jpg").write_bytes(b"no image")
    outputs = {kind: tmp_path / f"out.{kind}" for kind in ("csv", "json", "html")}
    options = [str(x) for kind, path in outputs.items() for x in (f"--{kind}", path)]
    result = run("predict", str(folder), "--model", saved, *options)
    assert "bad.jpg" in result.output
    table = pd.read_csv(outputs["csv"])
    assert len(table) == 10
    assert len(json.loads(outputs["json"].read_text())["images"]) == 10
    assert outputs["html"].stat().st_size > 10_000
    assert invoke("predict", folder, "--model", saved, "--strict").exit_code == 1


def test_command_predict_streams_csv(saved, folder):
    result = run("predict", str(folder), "--model", saved, "--csv", "-")
    assert result.stdout.splitlines()[0] == "path,value,label,probability,low,high,ood_score"
    assert len(result.stdout.splitlines()) == 11


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="file names of bytes")
def test_names_that_the_terminal_cannot_show_are_escaped(saved, folder):
    for name in ("Überraschung 日本.png", "line\nbreak.png"):
        (folder / name).write_bytes((folder / "0.png").read_bytes())
    command = [sys.executable, "-m", "ordlib", "predict", str(folder), "--model", saved]
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "COLUMNS": "300"}
    result = subprocess.run(command, env=environment, capture_output=True, timeout=120)
    assert result.returncode == 0, result.stderr.decode()
    for escaped in (rb"\xdcberraschung \u65e5\u672c.png", rb"line\nbreak.png"):
        assert escaped in result.stdout


def test_only_one_table_goes_to_standard_output(saved, folder):
    result = invoke("predict", folder, "--model", saved, "--csv", "-", "--json", "-")
    assert result.exit_code == 1
    assert "--csv and --json are both -" in result.output

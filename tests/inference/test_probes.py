"""Saved probes, with and without a backbone, in the commands: predict, in chunks, and evaluate."""

import pandas as pd
import pytest
from commands import fail, run
from small_adapter import noise

from ordlib import LinearProbe, load_clip, load_component
from ordlib.synthetic.pixel_baselines import PixelRidge


@pytest.fixture(params=["LinearProbe", "PixelRidge"])
def saved(request, tiny_clip_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    data = noise("dating", "train", 40)
    is_probe = request.param == "LinearProbe"
    model = LinearProbe(load_clip(tiny_clip_folder, "cpu"), "dating") if is_probe else None
    model = model or PixelRidge(data.task)
    model.fit(data, calibration=noise("dating", "val", 30))
    model.save_pretrained(tmp_path / "saved", {"seed": 1})
    rows = []
    for i, image in enumerate(noise("dating", "test", 30).images):
        path = tmp_path / "images" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        from PIL import Image

        Image.fromarray(image).save(path)
        rows.append({"path": path.name, "label": i % 5})
    pd.DataFrame(rows).to_csv(tmp_path / "images" / "labels.csv", index=False)
    return tmp_path / "saved"


def test_predict_and_predict_in_chunks(saved):
    run("predict", "images", "--model", saved, "--csv", "a.csv", "--batch-size", "8")
    run("predict", "images", "--model", saved, "--csv", "b.csv", "--chunks", "chunks")
    tables = [pd.read_csv(name) for name in ("a.csv", "b.csv")]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert tables[0]["value"].notna().all()
    assert tables[0]["low"].notna().all()


def test_evaluate_of_a_split_that_no_card_records(saved):
    words = ("evaluate", saved, "images", "labels.csv", "--first-label", "0", "--split", "test")
    fail("the component does not record the images of its training", *words)
    run(*words[:-2])


def test_intervals_of_a_task_by_name(saved):
    model, data = load_component(saved), noise("dating", "test", 30)
    prediction = model.predict(data)
    assert (model.intervals(prediction, task="dating") == model.intervals(prediction)).all()

import json
import warnings

import numpy as np
import pytest
from clips import build_tiny_clip
from published_fixtures import FIXTURES, write_all

from ordlib import TrainingConfig, ZeroShot, load_clip, load_published
from ordlib.data.published.load import DATASETS
from ordlib.experiments.reproduce import CHOICES, Reproduction, reproduce

QUICK = TrainingConfig(epochs=1, batch_size=8)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return str(build_tiny_clip(tmp_path_factory.mktemp("clip")))


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    return write_all(tmp_path_factory)


def run(roots, backbone, output, dataset, method="zero-shot", **settings):
    setting = Reproduction(
        dataset=dataset, root=roots[dataset], method=method, backbone=backbone, config=QUICK,
        **settings,
    )  # fmt: skip
    with warnings.catch_warnings(action="ignore"):
        return reproduce(setting, output, "cpu", progress=lambda line: None)


@pytest.mark.parametrize("dataset", DATASETS)
def test_reproduce_runs_on_every_dataset(roots, backbone, tmp_path, dataset):
    folds = DATASETS[dataset].protocols[0].folds and (0, 1)
    results = run(roots, backbone, tmp_path, dataset, folds=folds or None)
    num_models = (2 if folds else 1) * max(len(DATASETS[dataset].categories), 1)
    assert len(results["models"]) == results["summary"]["mae"]["models"] == num_models
    page = (tmp_path / "report.md").read_text()
    assert "| the paper printed | the release does | we measured |" in page
    assert json.loads((tmp_path / "results.json").read_text()) == results


@pytest.mark.parametrize("method", [name for name in CHOICES if name != "zero-shot"])
def test_reproduce_trains_every_method(roots, backbone, tmp_path, method):
    results = run(roots, backbone, tmp_path, "adience", method, folds=(0,))
    (row,) = results["models"]
    assert (row["fold"], row["num_test"]) == (0, 12)
    assert row["num_train"] == (48 if method == "probe" else 40)
    assert np.isfinite(row["mae"])


def test_summary_equals_a_loop_over_folds(roots, backbone, tmp_path):
    results = run(roots, backbone, tmp_path, "adience")
    clip, scores = load_clip(backbone, "cpu"), []
    for fold in range(5):
        test = load_published("adience", roots["adience"], fold=fold, split="test")
        prediction = ZeroShot(clip, test.task).predict(test)
        scores.append(np.abs(prediction.value - test.values).mean())
    summary = results["summary"]["mae"]
    assert summary["mean"] == pytest.approx(np.mean(scores), abs=1e-5)
    assert summary["std"] == pytest.approx(np.std(scores, ddof=1), abs=1e-5)
    low, high = results["intervals"]["mae"]["low"], results["intervals"]["mae"]["high"]
    assert low < summary["mean"] < high
    assert "accuracy | 0.254 (project page: OrdinalCLIP's project page)" in _page(tmp_path)


def test_an_interrupted_reproduction_goes_on(roots, backbone, tmp_path, monkeypatch):
    done = run(roots, backbone, tmp_path, "adience", "corn", folds=(0, 1))
    for file in tmp_path.glob("*.*"):
        file.unlink()
    latest = max((tmp_path / "models").glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
    latest.unlink()
    again = run(roots, backbone, tmp_path, "adience", "corn", folds=(0, 1))
    first, second = zip(done["models"], again["models"], strict=True)
    assert first[0] == first[1]
    assert {**second[0], "seconds": 0} == {**second[1], "seconds": 0}


def test_few_shots_repeat_and_compare_with_few_shots(roots, backbone, tmp_path):
    results = run(roots, backbone, tmp_path, "adience", "numclip", folds=(0,), shots=1, repeats=2)
    assert [row["seed"] for row in results["models"]] == [0, 1]
    assert results["models"][0]["num_train"] == 8
    assert "1 labels a rank" in _page(tmp_path)
    run(roots, backbone, tmp_path / "2", "morph", "coop", folds=(0,), shots=2)
    assert "| MAE | 4.5 (third party" in _page(tmp_path / "2")


def test_protocol_metrics_where_the_data_has_what_they_need(roots, backbone, tmp_path):
    assert "epsilon_error" in run(roots, backbone, tmp_path / "a", "clap2015")["summary"]
    counts = run(roots, backbone, tmp_path / "b", "coco_count", protocol="COCO")["summary"]
    assert {"mae_by_category", "pearson_by_category", "spearman_by_category"} <= counts.keys()
    assert "mae_from_50" in run(roots, backbone, tmp_path / "c", "morph", folds=(0,))["models"][0]


def test_label_shift_thins_the_training_set(roots, backbone, tmp_path):
    draw = "half of the ranks keep 10 %"
    (row,) = run(roots, backbone, tmp_path, "koniq", "probe", draw=draw)["models"]
    assert row["num_train"] < 10


def test_one_fold_of_one_person_has_no_interval(roots, backbone, tmp_path):
    results = run(roots, backbone, tmp_path, "fgnet", folds=(3,))
    assert results["intervals"]["mae"]["low"] is None
    assert "95 % over images" not in _page(tmp_path)


def test_missing_folds_are_named_before_any_training(backbone, tmp_path):
    FIXTURES["hci"](tmp_path / "hci")
    with pytest.raises(FileNotFoundError, match=r"fold 2 are missing .* --fold 0 --fold 1"):
        run({"hci": tmp_path / "hci"}, backbone, tmp_path, "hci")
    results = run({"hci": tmp_path / "hci"}, backbone, tmp_path, "hci", folds=(1, 1))
    assert [row["fold"] for row in results["models"]] == [1]


def test_results_of_another_setting_are_kept(roots, backbone, tmp_path):
    run(roots, backbone, tmp_path, "aadb")
    with pytest.raises(ValueError, match="has the results of dataset 'aadb'"):
        run(roots, backbone, tmp_path, "ava")
    with pytest.raises(ValueError, match="has a single split"):
        run(roots, backbone, tmp_path, "aadb", folds=(0,))
    with pytest.raises(ValueError, match="shots = 0: must be 1 or more"):
        run(roots, backbone, tmp_path, "aadb", shots=0)


def test_unknown_methods_and_draws_are_named(roots, backbone, tmp_path):
    with pytest.raises(ValueError, match="method = 'x': must be one of zero-shot, probe, coop"):
        run(roots, backbone, tmp_path, "adience", "x")
    with pytest.raises(ValueError, match="draw = 'x': must be one of half of the ranks"):
        run(roots, backbone, tmp_path, "adience", draw="x")


def _page(folder):
    return (folder / "report.md").read_text()

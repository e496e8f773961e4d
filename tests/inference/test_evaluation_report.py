"""ordlib evaluate: the metrics of evaluate(), by a column, and the files of the report."""

import re

import numpy as np
import pandas as pd
import pytest
from commands import fail, run
from small_adapter import noise

from ordlib import CORN, evaluate, fit, load_clip, load_component, load_folder, load_task
from ordlib.experiments.train import history_card


@pytest.fixture
def labelled(tmp_path, monkeypatch):
    """Thirty images with a table, one of them far off its label."""
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "cache"))
    folder, data = tmp_path / "images", noise("dating", "test", 30)
    folder.mkdir()
    rows = []
    for i in range(30):
        data[i].save(folder / f"{i}.png")
        rows.append({"path": f"{i}.png", "when": data.ranks[i], "camera": "ab"[i % 2]})
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)
    return folder


@pytest.fixture
def saved(tiny_clip_folder, tmp_path):
    model = CORN(load_clip(tiny_clip_folder, "cpu"), load_task("dating"))
    history = fit(model, noise("dating", "train", 30), noise("dating", "val"), {"epochs": 2})
    model.save_pretrained(tmp_path / "saved", {"history": history_card(history)})
    return tmp_path / "saved"


def test_command_evaluate_prints_metrics_and_writes_a_report(saved, labelled, tmp_path):
    options = ["--label-column", "when", "--first-label", "0", "--by", "camera"]
    result = run(
        "evaluate", saved, labelled, "labels.csv", *options, "--output", tmp_path / "report"
    )
    data = load_folder(labelled, "labels.csv", "dating", label_column="when", first_label=0)
    expected = evaluate(load_component(saved), data)
    for metric, value in expected.metrics.items():
        assert metric in result.output
        assert f"{value:.3f}" in result.output
    assert "mean" in result.output
    metrics = pd.read_csv(tmp_path / "report" / "metrics.csv", index_col=0)
    np.testing.assert_allclose(metrics["estimate"], [*expected.metrics.values()])
    predictions = pd.read_csv(tmp_path / "report" / "predictions.csv")
    np.testing.assert_allclose(predictions["value"], expected.prediction.value)
    page = (tmp_path / "report" / "report.html").read_text("utf-8")
    for figure in ("Confusion matrix of the ranks", "Predicted against true", "Learning curve"):
        assert f'alt="{figure}' in page
    assert page.count("<tr><td><img") + page.count('<tr class="ood"><td><img') == 24
    worst = predictions.sort_values("error", ascending=False, kind="stable").head(24)
    names = [re.escape(path.rpartition("/")[2]) for path in worst["path"]]
    assert re.search(".*".join(names), page, re.S)


def test_command_evaluate_names_an_unknown_column(saved, labelled):
    fail(
        "column = 'lens': not in the metadata; its columns: path, when, camera",
        *("evaluate", saved, labelled, "labels.csv", "--label-column", "when"),
        *("--first-label", "0", "--by", "lens"),
    )


def test_command_evaluate_takes_the_test_split_of_train(tmp_path, labelled, tiny_clip_folder):
    """The metrics are those in the card that ordlib train wrote; other images are refused."""
    where = ("--label-column", "when", "--first-label", 0)
    run(
        *("train", "corn", "--task", "dating", "--data", labelled, "--labels", "labels.csv"),
        *where,
        *("--backbone", tiny_clip_folder, "--epochs", 1, "--output", tmp_path / "mine"),
    )
    card = load_component(tmp_path / "mine").card
    report, words = tmp_path / "report", ("evaluate", tmp_path / "mine", labelled)
    run(*words, "labels.csv", *where, "--split", "test", "--output", report)
    metrics = pd.read_csv(report / "metrics.csv", index_col="metric")["estimate"]
    expected = {n: np.nan if x is None else x for n, x in card["metrics"].items()}
    assert metrics.to_dict() == pytest.approx(expected, abs=1e-5, nan_ok=True)
    problem = "split = 'tset': must be one of train, val, test"
    fail(problem, *words, "labels.csv", *where, "--split", "tset")
    # A split by groups, and one of fewer images, have other test images.
    problem = "split = 'test': these are not the test images of the training"
    table = pd.read_csv(labelled / "labels.csv")
    table.assign(group=table.index // 2).to_csv(labelled / "grouped.csv", index=False)
    fail(problem, *words, "grouped.csv", *where, "--split", "test")
    table.head(25).to_csv(labelled / "fewer.csv", index=False)
    fail(problem, *words, "fewer.csv", *where, "--split", "test")
    parts = ["train"] * 10 + ["val"] * 10 + ["test"] * 10
    table.assign(split=parts).to_csv(labelled / "split.csv", index=False)
    with pytest.warns(UserWarning, match="not the test images of the training"):
        run(*words, "split.csv", *where, "--split", "test")

"""The table of the ranking adapter: which models it has, their rows, and the command."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from ordlib import load_component
from ordlib.cli import app
from ordlib.experiments import ranking_table as module
from ordlib.experiments import results as evidence
from ordlib.experiments.adapter_data import TASKS
from ordlib.experiments.ranking_table import MULTI_TASK, SINGLE_TASK, Entry, entries, run
from ordlib.experiments.results import load_results
from ordlib.experiments.train_adapter import CONFIG
from ordlib.metrics import mae
from ordlib.metrics.prediction import Prediction
from ordlib.training.config import TrainingConfig

SHORT = TrainingConfig(epochs=1, batch_size=10, learning_rate=3e-3)
METRICS = ["spearman", "pearson", "pairwise", "mae", "accuracy"]
COUNTING_SETS = ["test", "held-out objects", "distractors", "absent objects"]


@pytest.fixture(autouse=True)
def tiny(clip, small_world, monkeypatch):
    monkeypatch.setattr(module, "load_clip", lambda name: clip)


def test_every_model_is_there_for_every_task_and_seed():
    found = entries(3)
    cells = Counter((entry.method, entry.task) for entry in found)
    expected = {(MULTI_TASK, "all"): 3}
    for task in TASKS:
        expected |= {(SINGLE_TASK, task): 3, ("zero-shot", task): 1, ("linear probe", task): 1}
        expected |= {("NumCLIP", task): 3, ("L2RCLIP", task): 3}
    assert cells == expected
    for method, task in expected:
        seeds = [e.seed for e in found if (e.method, e.task) == (method, task)]
        assert seeds == [*range(len(seeds))]
    # The longest first, or the last core would wait for it alone.
    assert [entry.method for entry in found[:3]] == [MULTI_TASK] * 3


def test_adapters_have_one_plan_and_rivals_the_rates_of_their_own_table():
    known = load_results("methods").query("image_encoder == 'frozen'")
    for entry in entries(1):
        if entry.method in (MULTI_TASK, SINGLE_TASK):
            assert entry.config == CONFIG
        elif entry.method in ("zero-shot", "linear probe"):
            assert entry.config is None
        else:
            rates = {
                row.learning_rate
                for row in known.itertuples()
                if (row.method, row.task) == (entry.method, entry.task)
            }
            assert rates == {entry.config.learning_rate}
            assert entry.config.epochs == module.BASELINE_EPOCHS


def test_an_adapter_is_trained_once_and_kept(clip, tmp_path, monkeypatch):
    entry = Entry(SINGLE_TASK, "ageing", 4, SHORT)
    rows = run(entry, tmp_path)
    assert [(r["task"], r["split"], r["prompts"]) for r in rows] == [
        ("ageing", "test", "seen"),
        ("ageing", "test", "held_out"),
    ]
    for row in rows:
        assert (row["method"], row["seed"], row["prompt_conditioned"]) == (SINGLE_TASK, 4, True)
        assert {*METRICS, "steps", "seconds", "device"} < row.keys()
        assert row["steps"] == 3
    (folder,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert sorted(p.name for p in folder.iterdir()) == [
        "card.json",
        "config.json",
        "model.safetensors",
    ]
    model = load_component(folder, clip)
    assert model.card["seed"] == model.options.seed == 4
    assert model.card["results"][0]["mae"] == rows[0]["mae"]
    monkeypatch.setattr(module, "train_ranking_adapter", None)
    assert run(entry, tmp_path) == rows
    # Another config or seed is another model.
    for other in (entry._replace(seed=5), entry._replace(config=replace(SHORT, batch_size=5))):
        with pytest.raises(TypeError):
            run(other, tmp_path)


def test_one_for_all_learns_all(tmp_path, monkeypatch):
    asked = []

    def train_ranking_adapter(clip, tasks, config, folder, progress):
        asked.append((tasks, config.seed))
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "train_ranking_adapter", train_ranking_adapter)
    with pytest.raises(KeyboardInterrupt):
        run(Entry(MULTI_TASK, "all", 2, SHORT), tmp_path)
    assert asked == [(TASKS, 2)]
    assert not [*tmp_path.iterdir()]


def test_rivals_are_judged_on_the_same_sets(tmp_path):
    rows = run(Entry("zero-shot", "counting", 0, None), tmp_path)
    assert [row["split"] for row in rows] == COUNTING_SETS
    for row in rows:
        assert (row["task"], row["prompts"], row["prompt_conditioned"]) == ("counting", None, True)
        assert (row["method"], row["seed"], row["steps"]) == ("zero-shot", 0, 0)
    assert [*(tmp_path.glob("ranking-zero-shot-counting-0-*.json"))]
    rows = run(Entry("linear probe", "counting", 0, None), tmp_path)
    assert [row["prompt_conditioned"] for row in rows] == [False] * 4
    assert all(row["seconds"] > 0 for row in rows)
    (row,) = run(Entry("NumCLIP", "ageing", 1, replace(SHORT, epochs=2)), tmp_path)
    assert (row["split"], row["prompt_conditioned"], row["seed"], row["steps"]) == (
        "test",
        False,
        1,
        6,
    )


class Backwards:
    """Says more where there is less."""

    def __init__(self, clip, task, **_):
        self.task = task

    def predict(self, data) -> Prediction:
        return self.task.decode_values(5 - data.values)


def test_a_rivals_order_is_its_own_and_is_not_turned_around(clip, tmp_path, monkeypatch):
    """As for an adapter: where a falling line fits best, all get the mean of val."""
    monkeypatch.setattr(module, "ZeroShot", Backwards)
    (row,) = run(Entry("zero-shot", "ageing", 0, None), tmp_path)
    assert [row[name] for name in METRICS[:3]] == [-1, -1, 0]
    mean = module.training_data(clip, "ageing", "val").values.mean()
    truth = module.eval_sets(clip, "ageing", {"seen": ("",)})[0].truth
    assert row["mae"] == pytest.approx(mae(truth, np.full(len(truth), mean)), abs=1e-6)


@pytest.fixture
def asked(monkeypatch) -> list[Entry]:
    """Which models the command wants; each has a row of None and one of numbers."""
    seen = []

    def fake(entry, work):
        seen.append(entry)
        row = {"method": entry.method, "task": entry.task, "seed": entry.seed}
        return [row | {"mae": 1.5, "spearman": None}, row | {"mae": 0.5, "spearman": 0.25}]

    monkeypatch.setattr(module, "run", fake)
    return seen


def test_the_command_writes_the_table_and_names_itself(asked, tmp_path, monkeypatch):
    path = tmp_path / "ranking_adapter.json"
    words = ["results", "make", "ranking_adapter", "--output", str(path), "--seeds", "2"]
    words += ["--work-dir", str(tmp_path / "work")]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0, found.output
    assert asked == entries(2)
    assert f"wrote {path}\n" in found.stdout
    monkeypatch.setattr(evidence, "RESULTS", tmp_path)
    table = load_results("ranking_adapter")
    assert len(table) == 2 * len(asked)
    assert table["method"].tolist()[::2] == [entry.method for entry in asked]
    assert table["spearman"].isna().tolist() == [True, False] * len(asked)
    assert table.attrs["command"] == "ordlib results make ranking_adapter --seeds 2"
    assert table.attrs["backbone"] == "pico-clip"
    assert json.loads(path.read_text())["description"].startswith("Order of pictures by a sentence")


def test_a_rivals_values_are_put_on_a_line_fitted_on_val(tmp_path, monkeypatch):
    monkeypatch.setattr(Backwards, "predict", lambda self, d: self.task.decode_values(d.values / 9))
    monkeypatch.setattr(module, "ZeroShot", Backwards)
    (row,) = run(Entry("zero-shot", "ageing", 0, None), tmp_path)
    assert row["mae"] == pytest.approx(0, abs=1e-6)

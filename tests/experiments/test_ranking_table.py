"""The results table of the ranking adapter."""

from collections import Counter
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from commands import run
from scipy.stats import spearmanr

from ordlib import ZeroShot, load_component
from ordlib.experiments import intervals, results
from ordlib.experiments import ranking_table as module
from ordlib.experiments.adapter_data import TASKS
from ordlib.experiments.ranking_table import MULTI_TASK, SINGLE_TASK, Entry, entries, run_entry
from ordlib.experiments.results import load_results
from ordlib.experiments.train_adapter import CONFIG
from ordlib.metrics import mae
from ordlib.synthetic.load import load_data
from ordlib.training.config import TrainingConfig

SHORT = TrainingConfig(epochs=1, batch_size=10, learning_rate=3e-3)
METRICS = ["spearman", "pearson", "pairwise", "mae", "accuracy"]
COUNTING_SETS = ["test", "known objects", "held-out objects", "distractors", "absent objects"]


@pytest.fixture(autouse=True)
def tiny(clip, small_world, monkeypatch):
    monkeypatch.setattr(module, "load_clip", lambda name, *_: clip)
    monkeypatch.setattr(intervals, "NUM_RESAMPLES", 9)


def test_entries_have_every_method_task_and_seed():
    models = entries(3)
    cells = Counter((entry.method, entry.task) for entry in models)
    expected = {(MULTI_TASK, "all"): 3}
    for task in TASKS:
        expected |= {(SINGLE_TASK, task): 3, ("zero-shot", task): 1, ("linear probe", task): 1}
        expected |= {("NumCLIP", task): 3, ("L2RCLIP", task): 3}
    assert cells == expected
    for method, task in expected:
        seeds = [e.seed for e in models if (e.method, e.task) == (method, task)]
        assert seeds == [*range(len(seeds))]
    # The longest first, to balance the load of the cores.
    assert [entry.method for entry in models[:3]] == [MULTI_TASK] * 3


def test_entries_use_selected_learning_rates():
    tuned = load_results("methods").query("image_encoder == 'frozen'")
    for entry in entries(1):
        if entry.method in (MULTI_TASK, SINGLE_TASK):
            assert entry.config == CONFIG
        elif entry.method in ("zero-shot", "linear probe"):
            assert entry.config is None
        else:
            cell = tuned[(tuned["method"] == entry.method) & (tuned["task"] == entry.task)]
            assert set(cell["learning_rate"]) == {entry.config.learning_rate}
            assert entry.config.epochs == module.BASELINE_EPOCHS


def test_run_entry_trains_and_caches_an_adapter(clip, tmp_path, monkeypatch):
    entry = Entry(SINGLE_TASK, "ageing", 4, SHORT)
    rows, scores = run_entry(entry, tmp_path)
    assert [(r["split"], r["prompts"]) for r in rows] == [("test", "seen"), ("test", "held_out")]
    for row in rows:
        assert row["task"] == "ageing"
        assert (row["method"], row["seed"], row["prompt_conditioned"]) == (SINGLE_TASK, 4, True)
        assert {*METRICS, "steps", "seconds", "device"} < row.keys()
        assert row["steps"] == 3
    for row, arrays in zip(rows, scores, strict=True):
        assert arrays["mae"].mean() == pytest.approx(row["mae"], abs=1e-6)
        assert spearmanr(*arrays["spearman"]).statistic == pytest.approx(row["spearman"], abs=1e-6)
    (folder,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    files = {path.name for path in folder.iterdir()}
    assert files == {"README.md", "card.json", "config.json", "model.safetensors"}
    model = load_component(folder, clip)
    assert model.card["seed"] == model.options.seed == 4
    assert model.card["results"][0]["mae"] == rows[0]["mae"]
    monkeypatch.setattr(module, "train_ranking_adapter", None)
    assert run_entry(entry, tmp_path)[0] == rows
    # Another config or seed is not cached.
    for changed in (entry._replace(seed=5), entry._replace(config=replace(SHORT, batch_size=5))):
        with pytest.raises(TypeError):
            run_entry(changed, tmp_path)


def test_run_entry_trains_the_multi_task_adapter_on_all_tasks(tmp_path):
    interrupted = patch.object(module, "train_ranking_adapter", side_effect=KeyboardInterrupt)
    with interrupted as train, pytest.raises(KeyboardInterrupt):
        run_entry(Entry(MULTI_TASK, "all", 2, SHORT), tmp_path)
    _, tasks, config, _ = train.call_args.args
    assert (tasks, config.seed) == (TASKS, 2)
    assert not [*tmp_path.iterdir()]


def test_run_entry_evaluates_baselines_on_the_same_sets(tmp_path):
    rows, _ = run_entry(Entry("zero-shot", "counting", 0, None), tmp_path)
    assert [row["split"] for row in rows] == COUNTING_SETS
    for row in rows:
        assert (row["task"], row["prompts"], row["prompt_conditioned"]) == ("counting", None, True)
        assert (row["method"], row["seed"], row["steps"]) == ("zero-shot", 0, 0)
    assert [*(tmp_path.glob("ranking-zero-shot-counting-0-*.json"))]
    rows, _ = run_entry(Entry("linear probe", "counting", 0, None), tmp_path)
    assert [row["prompt_conditioned"] for row in rows] == [False] * 5
    assert all(row["seconds"] > 0 for row in rows)
    (row,), _ = run_entry(Entry("NumCLIP", "ageing", 1, replace(SHORT, epochs=2)), tmp_path)
    assert row.items() >= {"split": "test", "prompt_conditioned": False, "seed": 1}.items()
    assert row["steps"] == 6


@pytest.mark.parametrize("reverse", [True, False])
def test_run_entry_calibrates_a_baseline_on_val(reverse, clip, tmp_path, monkeypatch):
    """As for an adapter: instead of a negative slope, all values are the mean of val."""

    def predict(_, data):
        return data.task.decode_values(5 - data.values if reverse else data.values / 9)

    monkeypatch.setattr(ZeroShot, "predict", predict)
    val, test = module.training_data(clip, "ageing", "val"), load_data("ageing", "test", 64)
    mean = np.full(len(test), val.values.mean())
    (row,), _ = run_entry(Entry("zero-shot", "ageing", 0, None), tmp_path)
    assert [row[name] for name in METRICS[:3]] == ([-1, -1, 0] if reverse else [1, 1, 1])
    assert row["mae"] == pytest.approx(mae(test.values, mean) if reverse else 0, abs=1e-6)


def test_make_writes_the_table(tmp_path, monkeypatch):
    requested = []

    def run_entry(entry, work_dir, device):
        requested.append(entry)
        prompts = "seen" if "adapter" in entry.method else None
        task = "ageing" if entry.task == "all" else entry.task
        row = {"method": entry.method, "task": task, "split": "test", "prompts": prompts}
        y_true = np.arange(20.0)
        scores = {"spearman": np.stack([y_true, y_true**2]), "mae": y_true}
        return [row | {"seed": entry.seed, "mae": 9.5, "spearman": 1.0}], [scores]

    monkeypatch.setattr(module, "run_entry", run_entry)
    path, words = tmp_path / "ranking_adapter.json", ["make", "ranking_adapter", "--seeds", "2"]
    result = run("results", *words, "--output", path, "--work-dir", tmp_path / "work")
    assert requested == entries(2)
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    assert f"wrote {path}\n" in result.stdout
    table = load_results("ranking_adapter")
    assert table["method"].tolist() == [entry.method for entry in requested]
    cells = table.groupby(["task", "method"]).size()
    shown = pd.DataFrame(table.attrs["intervals"])
    assert len(shown) == len(cells)
    assert (shown["prompts"] == "seen").all()
    differences = pd.DataFrame(table.attrs["differences"])
    # Adapters are compared with the methods without prompts.
    assert len(differences) == 2 * sum(n * (n - 1) // 2 for n in cells.groupby("task").size())
    assert (differences["difference"] == 0).all()
    assert table.attrs["command"] == "ordlib results make ranking_adapter --seeds 2"
    assert table.attrs["backbone"] == "pico-clip"
    assert table.attrs["description"].startswith("Ranking of images by a prompt")

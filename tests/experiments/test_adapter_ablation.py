"""The results table of the ranking adapter's pairwise losses."""

from collections import Counter

import numpy as np
import pytest
from commands import run

from ordlib.experiments import adapter_ablation as module
from ordlib.experiments import intervals, results
from ordlib.experiments.adapter_ablation import (
    FULL_TASKS,
    VARIANTS,
    Entry,
    best_variants,
    run_entry,
)
from ordlib.experiments.adapter_data import TASKS
from ordlib.experiments.results import load_results
from ordlib.training.config import TrainingConfig

SHORT = TrainingConfig(epochs=2, batch_size=10, learning_rate=3e-3)


@pytest.fixture(autouse=True)
def tiny(clip, small_world, monkeypatch):
    monkeypatch.setattr(module, "load_clip", lambda name: clip)
    monkeypatch.setattr(intervals, "NUM_RESAMPLES", 9)


@pytest.mark.parametrize("method", VARIANTS)
def test_run_entry_trains_the_variant_on_some_images(method, tmp_path, monkeypatch):
    adapters, fit = [], module.fit

    def recording_fit(adapter, train, *arguments, **options):
        adapters.append((adapter, len(train)))
        return fit(adapter, train, *arguments, **options)

    monkeypatch.setattr(module, "fit", recording_fit)
    entry = Entry(method, "dating", 3, SHORT, 20)
    row, scores = run_entry(entry, tmp_path)
    ((adapter, num_images),) = adapters
    assert adapter.options.pairwise_head == VARIANTS[method]
    assert (adapter.options.seed, num_images) == (3, 20)
    assert row.items() >= {"method": method, "plan": "short", "steps": 4, "seed": 3}.items()
    assert row["mae"] == pytest.approx(scores["mae"].mean(), abs=1e-6)
    assert len(scores["mae"]) == 20
    assert -1 <= row["val_spearman"] <= 1
    assert run_entry(entry, tmp_path) is not None
    assert len(adapters) == 1
    row, _ = run_entry(entry._replace(num_images=None), tmp_path)
    assert (row["plan"], adapters[1][1]) == ("full", 30)


def test_best_variants_have_the_highest_mean_on_val():
    means = dict(zip(VARIANTS, (0.5, 0.7, 0.6, 0.1), strict=True))
    rows = [
        {"method": name, "val_spearman": mean + sign, "spearman": -mean}
        for name, mean in means.items()
        for sign in (-0.3, 0.3)
    ]
    assert best_variants(rows) == ["gates at 1", "score differences"]


def test_make_selects_rates_on_val_and_trains_the_best_on_all_images(tmp_path, monkeypatch):
    entries = []

    def run_entry(entry, work_dir):
        entries.append(entry)
        better = entry.method in ("dual loss", "regression alone")
        val = better - abs(np.log(entry.config.learning_rate / 2e-3))
        y_true = np.arange(20.0)
        row = {"method": entry.method, "task": entry.task, "seed": entry.seed, "mae": 9.5}
        row |= {"plan": "short" if entry.num_images else "full", "val_spearman": float(val)}
        return row, {"mae": y_true, "spearman": np.stack([y_true, y_true])}

    monkeypatch.setattr(module, "run_entry", run_entry)
    path, words = tmp_path / "adapter_ablation.json", ["make", "adapter_ablation", "--seeds", "2"]
    run("results", *words, "--output", path, "--work-dir", tmp_path / "work")
    tuning = [entry for entry in entries if entry.seed == module.TUNING_SEED]
    assert len(tuning) == len(TASKS) * len(VARIANTS) * len(module.LEARNING_RATES)
    short = [e for e in entries[len(tuning) :] if e.num_images == module.SHORT_IMAGES]
    cells = Counter((e.task, e.method) for e in short)
    assert cells == {(task, method): 2 for task in TASKS for method in VARIANTS}
    assert {e.config.learning_rate for e in short} == {2e-3}
    full = entries[len(tuning) + len(short) :]
    assert {e.method for e in full} == {"dual loss", "regression alone"}
    assert Counter(e.task for e in full) == {"counting": 4, "dating": 4}
    assert {e.config for e in full} == {module.CONFIG}
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    table = load_results("adapter_ablation")
    assert len(table) == len(short) + len(full)
    assert len(table.attrs["intervals"]) == 4 * 4 + 2 * 2
    assert table.attrs["command"] == "ordlib results make adapter_ablation --seeds 2"


def test_shipped_table_is_complete_and_consistent():
    table = load_results("adapter_ablation")
    assert table.attrs["command"] == "ordlib results make adapter_ablation --seeds 5"
    found = Counter(table[["plan", "task", "method"]].itertuples(index=False, name=None))
    best = best_variants(table[table["plan"] == "short"].to_dict("records"))
    expected = {("short", task, method): 5 for task in TASKS for method in VARIANTS}
    expected |= {("full", task, method): 3 for task in FULL_TASKS for method in best}
    assert found == expected
    means = table.groupby(["plan", "task", "method"])[["spearman", "mae"]].mean()
    for entry in table.attrs["intervals"]:
        for metric in ("spearman", "mae"):
            mean = means.loc[(entry["plan"], entry["task"], entry["method"]), metric]
            assert entry[metric] == pytest.approx(mean, abs=2e-6)
            assert entry[f"{metric}_low"] < mean < entry[f"{metric}_high"]
    num_pairs = 4 * 6 + 2 * 1  # of four variants on four tasks, and of two on two
    assert len(table.attrs["differences"]) == 2 * num_pairs

"""The models of the evidence tables, their rates, their intervals, and the command."""

import json
import shlex
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from small_splits import noise
from typer.testing import CliRunner

from ordlib.cli import app
from ordlib.experiments import tables
from ordlib.experiments.tables import (
    METHODS_IN_TABLE,
    SHOTS,
    TABLES,
    TASKS,
    Trial,
    intervals,
    select_learning_rates,
)
from ordlib.experiments.train import METHODS, _check_options
from ordlib.metrics import two_way_bootstrap
from ordlib.tasks import load_task

LORA_SEEDS, SEEDS = 2, 3


def error_of(trial: Trial) -> float:
    """The best rate is 0.01, for CoOp 0.003."""
    best = 0.003 if trial.label == "CoOp" else 0.01
    return 1 + abs(np.log(trial.config.learning_rate / best)) + trial.seed / 1e4


def runner(trials: list[Trial]) -> list[tuple[dict, np.ndarray]]:
    rows = []
    for trial in trials:
        row = {"method": trial.label, "task": trial.task, "seed": trial.seed}
        row |= {
            "image_encoder": trial.options.get("image_encoder", "frozen"),
            "mae": error_of(trial),
        }
        row |= {} if trial.shots is None else {"shots": trial.shots}
        rows.append((row, np.full(10, error_of(trial))))
    return rows


def planned(table: str) -> list[Trial]:
    return TABLES[table].trials(runner, SEEDS, LORA_SEEDS)


def test_rates_are_chosen_on_val_with_a_seed_of_their_own():
    asked = []

    def watched(trials):
        asked.extend(trials)
        return runner(trials)

    rates = select_learning_rates(watched, ("dating", "ageing"))
    assert {trial.split for trial in asked} == {"val"}
    assert {trial.seed for trial in asked} == {tables.TUNING_SEED}
    assert len(asked) == 2 * 7 * len(tables.RATES)
    labels = [label for label in METHODS_IN_TABLE if label not in (*tables.UNTRAINED, tables.JOINT)]
    tasks = {trial.task for trial in asked}
    assert rates == {(n, t): 0.003 if n == "CoOp" else 0.01 for n in labels for t in tasks}
    assert select_learning_rates(runner, ("dating",), ("CoOp",)) == {("CoOp", "dating"): 0.003}


def test_the_smallest_of_equally_good_rates_is_taken():
    def indifferent(trials):
        return [({"mae": 1.0}, np.ones(1)) for _ in trials]

    assert set(select_learning_rates(indifferent, ("dating",)).values()) == {min(tables.RATES)}


@pytest.mark.parametrize("table", TABLES)
def test_no_model_is_trained_twice_and_all_have_what_their_method_takes(table):
    trials = planned(table)
    assert len({trial.name for trial in trials}) == len(trials)
    assert {trial.split for trial in trials} == {"val" if "ablation" in table else "test"}
    assert tables.TUNING_SEED not in {trial.seed for trial in trials}
    for trial in trials:
        if trial.method in METHODS:
            _check_options(trial.method, trial.options)
            METHODS[trial.method].Config(**trial.options)


def test_methods_are_compared_with_the_same_steps_and_tuning():
    trials = planned("methods")
    cells = Counter((t.task, t.options.get("image_encoder", "frozen"), t.label) for t in trials)
    expected = {}
    for task in TASKS:
        for label in METHODS_IN_TABLE:
            untrained = label in tables.UNTRAINED
            if label != tables.JOINT:
                expected[task, "frozen", label] = 1 if untrained else SEEDS
            if not untrained:
                expected[task, "lora", label] = LORA_SEEDS
    assert cells == expected
    for trial in trials:
        if trial.options.get("image_encoder") == "lora":
            assert trial.config == (tables.STAGES if trial.label == "L2RCLIP" else tables.LORA)
        elif trial.label not in tables.UNTRAINED:
            assert trial.config.epochs == tables.FROZEN.epochs
            assert trial.config.learning_rate == (0.003 if trial.label == "CoOp" else 0.01)


def test_few_shot_has_every_number_of_labels_and_seed():
    cells = Counter((t.task, t.shots, t.label) for t in planned("few_shot"))
    expected = {(task, k, n): SEEDS for task, counts in SHOTS.items() for k in counts
                for n in tables.FEW_SHOT_METHODS}  # fmt: skip
    assert cells == expected


def test_every_variant_of_numclip_differs_from_every_other():
    trials = [trial for trial in planned("numclip_ablation") if trial.seed == 0]
    for task in SHOTS:
        own = [trial for trial in trials if trial.task == task]
        options = [METHODS["numclip"].Config(**trial.options) for trial in own]
        what = [repr((one, trial.task_overrides)) for one, trial in zip(options, own, strict=True)]
        assert len(set(what)) == len(what) == len({trial.label for trial in own})


def test_variants_of_rankformer_change_one_thing_and_rivals_nothing():
    trials = [trial for trial in planned("rankformer_ablation") if trial.seed == 0]
    assert all(trial.score_ordinality for trial in trials)
    for task in SHOTS:
        own = {trial.label: trial for trial in trials if trial.task == task}
        assert [*own] == ["zero-shot", "CoOp", "OrdinalCLIP", *tables.RANKFORMERS]
        assert own["CoOp"].options == own["OrdinalCLIP"].options == own["L2RCLIP"].options == {}
        whole = asdict(METHODS["l2rclip"].Config())
        for label in tables.RANKFORMERS:
            options = asdict(METHODS["l2rclip"].Config(**own[label].options))
            changed = {name for name in whole if options[name] != whole[name]}
            # A fixed alpha of 0.01 differs from the learned one in being fixed alone.
            alpha = {"alpha", "tune_alpha"}
            assert changed <= alpha if label.startswith("alpha") else len(changed) <= 1, label
            assert bool(changed) == (label != "L2RCLIP")


@pytest.mark.parametrize("task", SHOTS)
@pytest.mark.parametrize("count", [2, 3, 5, 10, 20])
def test_equal_bins_share_the_ranks_evenly(task, count):
    known = load_task(task)
    task_overrides = tables._equal_bins(task, count)
    edges = [known.values.index(edge) for edge in task_overrides["bin_edges"]]
    widths = np.diff([*edges, known.num_ranks])
    assert edges[0] == 0
    assert len(widths) == count == len(set(task_overrides["bin_phrases"]))
    assert widths.max() - widths.min() <= 1
    for first, width, word in zip(edges, widths, task_overrides["bin_phrases"], strict=True):
        assert first <= known.rank_names.index(word) < first + width


def test_intervals_are_those_of_each_cell_and_its_difference(monkeypatch):
    monkeypatch.setattr(tables, "load_data", lambda *_: noise("dating", "test", 64))
    rng, rows, errors = np.random.default_rng(0), [], []
    cells = {("A", "frozen"): 3, ("probe", "frozen"): 1, ("B", "frozen"): 3, ("A", "lora"): 2}
    for (method, block), seeds in cells.items():
        for seed in range(seeds):
            rows.append({"task": "dating", "image_encoder": block, "method": method, "seed": seed})
            errors.append(rng.random(15) + (method == "A"))
    found = {(e["method"], e["image_encoder"]): e for e in intervals(rows, errors, "test", "B")}
    assert list(found) == list(cells)
    one, alone, base = np.array(errors[:3]), np.array(errors[3:4]), np.array(errors[4:7])
    for method, table in (("A", one), ("probe", alone), ("B", base)):
        entry, mean = found[method, "frozen"], two_way_bootstrap(table)
        told = [entry[name] for name in ("mae", "mae_low", "mae_high")]
        assert told == pytest.approx(list(mean), abs=1e-6)
    more = found["A", "frozen"]
    assert more["mae_diff"] == pytest.approx((one - base).mean(), abs=1e-6)
    assert 0.5 < more["mae_diff_low"] < more["mae_diff"] < more["mae_diff_high"] < 1.5
    difference = two_way_bootstrap(base, alone)
    told = [found["probe", "frozen"][name] for name in ("mae_diff_low", "mae_diff_high")]
    assert told == pytest.approx([-difference.high, -difference.low], abs=1e-6)
    assert "mae_diff" not in found["B", "frozen"]
    assert "mae_diff" not in found["A", "lora"]


def test_an_undefined_interval_is_none(monkeypatch):
    monkeypatch.setattr(tables, "load_data", lambda *_: type("Data", (), {"groups": ["a"] * 4}))
    row = {"task": "dating", "image_encoder": "frozen", "method": "A"}
    entry = intervals([row], [np.ones(4)], "test", "B")[0]
    assert [entry["mae"], entry["mae_low"], entry["mae_high"]] == [1.0, None, None]


@pytest.mark.parametrize(
    ("table", "lora"), [("methods", ["--set", "lora_seeds=1"]), ("few_shot", [])]
)
def test_the_command_writes_the_table_and_names_itself(table, lora, tmp_path, monkeypatch):
    asked = []

    def run(trial, work):
        asked.append(work)
        return runner([trial])[0]

    monkeypatch.setattr(tables, "run", run)
    monkeypatch.setattr(tables, "load_data", lambda *_: noise("dating", "val", 64))
    path, work = tmp_path / "table.json", tmp_path / "work"
    more = ["--seeds", "2", *lora, "--num-jobs", "1", "--work-dir", str(work)]
    words = ["results", "make", table, "--output", str(path), *more]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0, found.output
    stored = json.loads(path.read_text())
    command = shlex.join(["ordlib", "results", "make", table, "--seeds", "2", *lora])
    assert [stored["command"], stored["description"]] == [command, TABLES[table].description]
    assert stored["backbone"] == "pico-clip"
    assert f"wrote {path}\n" in found.stdout
    assert len(stored["records"]) == len(TABLES[table].trials(runner, 2, 1))
    assert set(asked) == {work}
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(app, shlex.split(stored["command"])[1:])
    assert found.exit_code == 0, found.output
    assert asked[-1] == Path("build/tables")
    assert Path(f"build/results/{table}.json").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("table", "setting", "told"),
    [
        ("everything", "seeds=3", "no table of results 'everything'; there are methods, few_shot"),
        ("methods", "samples=3", "samples: methods has no such setting; it has seeds, lora_seeds"),
        ("methods", "lora_seeds=few", "lora_seeds = 'few': must be a whole number, not negative"),
        ("methods", "lora_seeds=1.5", "lora_seeds = 1.5: must be a whole number, not negative"),
        ("methods", "lora_seeds=-1", "lora_seeds = -1: must be a whole number, not negative"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_trained(
    table, setting, told, monkeypatch, tmp_path
):
    monkeypatch.setattr(tables, "run", None)
    words = ["results", "make", table, "--output", str(tmp_path / "x.json"), "--set", setting]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 1
    assert found.stderr.startswith(told)
    assert not (tmp_path / "x.json").exists()

"""Experiment grids, learning rates, intervals, and the command."""

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
from ordlib.experiments.experiment import Experiment
from ordlib.experiments.tables import SHOTS, TABLES, TASKS, intervals, select_learning_rates
from ordlib.experiments.train import METHODS, _check_options
from ordlib.metrics import two_way_bootstrap
from ordlib.tasks import load_task

LORA_SEEDS, SEEDS = 2, 3


def error_of(experiment: Experiment) -> float:
    """The best learning rate is 0.01, for CoOp 0.003."""
    best = 0.003 if experiment.label == "CoOp" else 0.01
    return 1 + abs(np.log(experiment.config.learning_rate / best)) + experiment.seed / 1e4


def runner(experiments: list[Experiment]) -> list[tuple[dict, np.ndarray]]:
    rows = []
    for experiment in experiments:
        row = {"method": experiment.label, "task": experiment.task, "seed": experiment.seed}
        row["image_encoder"] = experiment.options.get("image_encoder", "frozen")
        row["mae"] = error_of(experiment)
        row |= {} if experiment.shots is None else {"shots": experiment.shots}
        rows.append((row, np.full(10, error_of(experiment))))
    return rows


def planned(table: str) -> list[Experiment]:
    return TABLES[table].experiments(runner, SEEDS, LORA_SEEDS)


def test_select_learning_rates_minimizes_validation_mae():
    grid = []

    def recording(experiments):
        grid.extend(experiments)
        return runner(experiments)

    rates = select_learning_rates(recording, ("dating", "ageing"))
    assert {experiment.split for experiment in grid} == {"val"}
    assert {experiment.seed for experiment in grid} == {tables.TUNING_SEED}
    assert len(grid) == 2 * 7 * len(tables.LEARNING_RATES)
    labels = [
        label
        for label in tables.METHODS_IN_TABLE
        if label not in (*tables.UNTRAINED, tables.SINGLE_STAGE)
    ]
    tasks = {experiment.task for experiment in grid}
    assert rates == {(n, t): 0.003 if n == "CoOp" else 0.01 for n in labels for t in tasks}
    assert select_learning_rates(runner, ("dating",), ("CoOp",)) == {("CoOp", "dating"): 0.003}


def test_select_learning_rates_breaks_ties_by_the_smallest():
    def constant(experiments):
        return [({"mae": 1.0}, np.ones(1)) for _ in experiments]

    assert set(select_learning_rates(constant, ("dating",)).values()) == {
        min(tables.LEARNING_RATES)
    }


@pytest.mark.parametrize("table", TABLES)
def test_grids_are_unique_and_options_are_valid(table):
    experiments = planned(table)
    assert len({experiment.name for experiment in experiments}) == len(experiments)
    assert {experiment.split for experiment in experiments} == {
        "val" if "ablation" in table else "test"
    }
    assert tables.TUNING_SEED not in {experiment.seed for experiment in experiments}
    for experiment in experiments:
        if experiment.method in METHODS:
            _check_options(experiment.method, experiment.options)
            METHODS[experiment.method].Config(**experiment.options)


def test_methods_use_the_same_steps_and_tuning():
    experiments = planned("methods")
    cells = Counter(
        (t.task, t.options.get("image_encoder", "frozen"), t.label) for t in experiments
    )
    expected = {}
    for task in TASKS:
        for label in tables.METHODS_IN_TABLE:
            untrained = label in tables.UNTRAINED
            if label != tables.SINGLE_STAGE:
                expected[task, "frozen", label] = 1 if untrained else SEEDS
            if not untrained:
                expected[task, "lora", label] = LORA_SEEDS
    assert cells == expected
    for experiment in experiments:
        if experiment.options.get("image_encoder") == "lora":
            assert experiment.config == (
                tables.TWO_STAGE if experiment.label == "L2RCLIP" else tables.LORA
            )
        elif experiment.label not in tables.UNTRAINED:
            assert experiment.config.epochs == tables.FROZEN.epochs
            assert experiment.config.learning_rate == (
                0.003 if experiment.label == "CoOp" else 0.01
            )


def test_few_shot_has_all_shots_and_seeds():
    cells = Counter((t.task, t.shots, t.label) for t in planned("few_shot"))
    expected = {(task, k, n): SEEDS for task, counts in SHOTS.items() for k in counts
                for n in tables.FEW_SHOT_METHODS}  # fmt: skip
    assert cells == expected


def first_seed(table: str, task: str) -> dict[str, Experiment]:
    """The experiments of one task and seed, by label."""
    return {e.label: e for e in planned(table) if e.task == task and e.seed == 0}


@pytest.mark.parametrize("task", SHOTS)
def test_numclip_ablation_variants_are_distinct(task):
    variants = first_seed("numclip_ablation", task).values()
    config = METHODS["numclip"].Config
    changes = {repr((config(**variant.options), variant.task_overrides)) for variant in variants}
    assert len(changes) == len(variants)


def test_rankformer_ablation_variants_change_one_option():
    assert all(experiment.score_ordinality for experiment in planned("rankformer_ablation"))
    for task in SHOTS:
        variants = first_seed("rankformer_ablation", task)
        assert [*variants] == ["zero-shot", "CoOp", "OrdinalCLIP", *tables.RANKFORMER_VARIANTS]
        for label in ("CoOp", "OrdinalCLIP", "L2RCLIP"):
            assert variants[label].options == {}
        default = asdict(METHODS["l2rclip"].Config())
        for label in tables.RANKFORMER_VARIANTS:
            options = asdict(METHODS["l2rclip"].Config(**variants[label].options))
            changed = {name for name in default if options[name] != default[name]}
            # A fixed alpha changes the value, unless it is the default of 0.01, and tune_alpha.
            alpha = {"alpha", "tune_alpha"}
            assert changed <= alpha if label.startswith("alpha") else len(changed) <= 1, label
            assert bool(changed) == (label != "L2RCLIP")


@pytest.mark.parametrize("task", SHOTS)
@pytest.mark.parametrize("count", [2, 3, 5, 10, 20])
def test_equal_bins_have_equal_widths(task, count):
    known = load_task(task)
    task_overrides = tables._equal_bins(task, count)
    edges = [known.values.index(edge) for edge in task_overrides["bin_edges"]]
    widths = np.diff([*edges, known.num_ranks])
    assert edges[0] == 0
    assert len(widths) == count == len(set(task_overrides["bin_phrases"]))
    assert widths.max() - widths.min() <= 1
    for first, width, word in zip(edges, widths, task_overrides["bin_phrases"], strict=True):
        assert first <= known.rank_names.index(word) < first + width


def test_intervals_equal_two_way_bootstrap(monkeypatch):
    monkeypatch.setattr(tables, "load_data", lambda *_: noise("dating", "test", 64))
    rng, rows, errors = np.random.default_rng(0), [], []
    cells = {("A", "frozen"): 3, ("probe", "frozen"): 1, ("B", "frozen"): 3, ("A", "lora"): 2}
    for (method, encoder), seeds in cells.items():
        for seed in range(seeds):
            rows.append(
                {"task": "dating", "image_encoder": encoder, "method": method, "seed": seed}
            )
            errors.append(rng.random(15) + (method == "A"))
    found = {(e["method"], e["image_encoder"]): e for e in intervals(rows, errors, "test", "B")}
    assert list(found) == list(cells)
    a, probe, b = np.array(errors[:3]), np.array(errors[3:4]), np.array(errors[4:7])
    for method, table in (("A", a), ("probe", probe), ("B", b)):
        entry, mean = found[method, "frozen"], two_way_bootstrap(table)
        estimates = [entry[name] for name in ("mae", "mae_low", "mae_high")]
        assert estimates == pytest.approx(list(mean), abs=1e-6)
    entry = found["A", "frozen"]
    assert entry["mae_diff"] == pytest.approx((a - b).mean(), abs=1e-6)
    assert 0.5 < entry["mae_diff_low"] < entry["mae_diff"] < entry["mae_diff_high"] < 1.5
    difference = two_way_bootstrap(b, probe)
    ends = [found["probe", "frozen"][name] for name in ("mae_diff_low", "mae_diff_high")]
    assert ends == pytest.approx([-difference.high, -difference.low], abs=1e-6)
    assert "mae_diff" not in found["B", "frozen"]
    assert "mae_diff" not in found["A", "lora"]


def test_intervals_are_none_where_undefined(monkeypatch):
    monkeypatch.setattr(tables, "load_data", lambda *_: type("Data", (), {"groups": ["a"] * 4}))
    row = {"task": "dating", "image_encoder": "frozen", "method": "A"}
    entry = intervals([row], [np.ones(4)], "test", "B")[0]
    assert [entry["mae"], entry["mae_low"], entry["mae_high"]] == [1.0, None, None]


@pytest.mark.parametrize(
    ("table", "lora"), [("methods", ["--set", "lora_seeds=1"]), ("few_shot", [])]
)
def test_make_writes_a_table_with_a_reproducing_command(table, lora, tmp_path, monkeypatch):
    work_dirs = []

    def run(experiment, work_dir):
        work_dirs.append(work_dir)
        return runner([experiment])[0]

    monkeypatch.setattr(tables, "run_experiment", run)
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
    assert len(stored["records"]) == len(TABLES[table].experiments(runner, 2, 1))
    assert set(work_dirs) == {work}
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(app, shlex.split(stored["command"])[1:])
    assert found.exit_code == 0, found.output
    assert work_dirs[-1] == Path("build/tables")
    assert Path(f"build/results/{table}.json").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("table", "setting", "message"),
    [
        ("everything", "seeds=3", "table = 'everything': no such"),
        ("methods", "samples=3", "samples = 3: unknown setting of methods"),
        ("methods", "lora_seeds=few", "lora_seeds = 'few': must be an integer >= 0"),
        ("methods", "lora_seeds=1.5", "lora_seeds = 1.5: must be an integer >= 0"),
        ("methods", "lora_seeds=-1", "lora_seeds = -1: must be an integer >= 0"),
    ],
)
def test_make_results_rejects_invalid_settings(table, setting, message, monkeypatch, tmp_path):
    monkeypatch.setattr(tables, "run_experiment", None)
    words = ["results", "make", table, "--output", str(tmp_path / "x.json"), "--set", setting]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 1
    assert found.stderr.startswith(message)
    assert not (tmp_path / "x.json").exists()

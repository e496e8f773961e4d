"""Experiment grids, learning rates, and the command."""

import json
import shlex
from collections import Counter
from dataclasses import asdict, replace
from functools import partial
from itertools import product
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from commands import fail, run
from small_splits import noise

from ordlib.experiments import grid as grid_module
from ordlib.experiments import intervals, method_ablations, tables
from ordlib.experiments.experiment import BACKBONES, Experiment, check_backbones
from ordlib.experiments.grid import SHOTS, TASKS, select_learning_rates
from ordlib.experiments.results import load_results
from ordlib.experiments.tables import TABLES
from ordlib.experiments.train import METHODS, check_options
from ordlib.experiments.training_draws import LABEL_DRAWS, WITHOUT_OBJECTS
from ordlib.tasks import load_task

LORA_SEEDS, SEEDS = 2, 3


def runner(experiments: list[Experiment]) -> list[tuple[dict, dict[str, np.ndarray]]]:
    """Results whose best learning rate is 0.01, for CoOp 0.003."""
    rows = []
    for e in experiments:
        best = 0.003 if e.label == "CoOp" else 0.01
        error = 1 + abs(np.log(e.config.learning_rate / best)) + e.seed / 1e4
        row = {"method": e.label, "task": e.task, "seed": e.seed, "image_encoder": encoder(e)}
        row |= {"mae": error} | ({} if e.shots is None else {"shots": e.shots})
        row |= {} if e.draw is None else {"draw": e.draw}
        rows.append((row, {"mae": np.full(10, error)}))
    return rows


def encoder(experiment: Experiment) -> str:
    return experiment.options.get("image_encoder", "frozen")


@pytest.fixture(autouse=True)
def pretrained(monkeypatch):
    """The other backbones need not exist for a plan; few resamples do for thousands of cells."""
    monkeypatch.setattr(tables, "check_backbones", lambda: None)
    few = partial(intervals.two_way_bootstrap, n_resamples=20)
    monkeypatch.setattr(intervals, "two_way_bootstrap", few)


def planned(table: str) -> list[Experiment]:
    return TABLES[table].experiments(runner, SEEDS, LORA_SEEDS)


def test_select_learning_rates_minimizes_validation_mae():
    recording, tasks = Mock(wraps=runner), ("dating", "ageing")
    rates = select_learning_rates(recording, tasks)
    (grid,) = recording.call_args.args
    assert {experiment.split for experiment in grid} == {"val"}
    assert {experiment.seed for experiment in grid} == {grid_module.TUNING_SEED}
    assert len(grid) == 2 * 7 * len(grid_module.LEARNING_RATES)
    labels = {*grid_module.METHODS_IN_TABLE} - {*grid_module.UNTRAINED, grid_module.SINGLE_STAGE}
    assert rates == {(n, t): 0.003 if n == "CoOp" else 0.01 for n in labels for t in tasks}
    assert select_learning_rates(runner, ("dating",), ("CoOp",)) == {("CoOp", "dating"): 0.003}


def test_rankformer_ablation_tunes_a_rate_without_rankformer():
    def run(grid):
        best = {"off": 0.03}
        goals = [best.get(e.options.get("attention_over"), 0.001) for e in grid]
        return [
            ({"mae": abs(np.log(e.config.learning_rate / goal))}, {})
            for e, goal in zip(grid, goals, strict=True)
        ]

    rates = {e.label: e.config.learning_rate for e in tables.rankformer_ablation(run, 1, 0)}
    assert rates["no RankFormer, own rate"] == 0.03
    assert rates["no RankFormer"] == rates["L2RCLIP"] == 0.001


def test_select_learning_rates_breaks_ties_by_the_smallest():
    rates = select_learning_rates(lambda grid: [({"mae": 1.0}, {})] * len(grid), ("dating",))
    assert set(rates.values()) == {min(grid_module.LEARNING_RATES)}


@pytest.mark.parametrize("table", TABLES)
def test_grids_are_unique_and_options_are_valid(table):
    experiments = planned(table)
    assert len({experiment.name for experiment in experiments}) == len(experiments)
    splits = {"val"} if "ablation" in table else {"test"}
    splits |= {"held-out objects", "distractors"} if table == "unseen_objects" else set()
    assert {experiment.split for experiment in experiments} == splits
    assert grid_module.TUNING_SEED not in {experiment.seed for experiment in experiments}
    for experiment in experiments:
        if experiment.method in METHODS:
            check_options(experiment.method, experiment.options)
            METHODS[experiment.method].Config(**experiment.options)


def test_methods_use_the_same_steps_and_tuning():
    experiments = planned("methods")
    expected = {}
    for task, label in product(TASKS, grid_module.METHODS_IN_TABLE):
        untrained = label in grid_module.UNTRAINED
        if label != grid_module.SINGLE_STAGE:
            expected[task, "frozen", label] = 1 if untrained else SEEDS
        if not untrained:
            expected[task, "lora", label] = LORA_SEEDS
    assert Counter((e.task, encoder(e), e.label) for e in experiments) == expected
    for e in experiments:
        if encoder(e) == "lora":
            config = grid_module.TWO_STAGE if e.label == "L2RCLIP" else grid_module.LORA
            lr = 0.003 if e.label == "CoOp" else 0.01
            assert e.config == replace(config, learning_rate=lr)
        elif e.label not in grid_module.UNTRAINED:
            assert e.config.epochs == grid_module.FROZEN.epochs
            assert e.config.learning_rate == (0.003 if e.label == "CoOp" else 0.01)


def test_select_lora_rates_weighs_both_tasks_by_ratios():
    """Half an error less on counting weighs more than a year more on ageing."""
    errors = {(0.001, "counting"): 1.0, (0.003, "counting"): 2.0, (0.01, "counting"): 1.5}
    errors |= {(0.001, "ageing"): 13.0, (0.003, "ageing"): 12.0, (0.01, "ageing"): 12.9}
    requested = []

    def run(grid):
        requested.extend(grid)
        return [({"mae": errors[e.config.learning_rate, e.task]}, {}) for e in grid]

    rates = grid_module.select_lora_rates(run)
    assert rates == dict.fromkeys((*grid_module.TRAINED, grid_module.SINGLE_STAGE), 0.001)
    assert {(e.split, encoder(e), e.seed) for e in requested} == {("val", "lora", 1000)}
    assert len(requested) == 8 * 3 * 2


def test_few_shot_has_all_shots_and_seeds():
    cells = Counter((t.task, t.shots, t.label) for t in planned("few_shot"))
    grid = [(task, k) for task, counts in SHOTS.items() for k in counts]
    seeds = dict.fromkeys(tables.FEW_SHOT_METHODS, SEEDS) | {"zero-shot (bin phrases)": 1}
    assert cells == {(*cell, n): count for cell in grid for n, count in seeds.items()}
    trained = {e.label for e in planned("few_shot") if e.epoch_on_train}
    assert trained == {"CORN", "CoOp", "OrdinalCLIP", "NumCLIP", "L2RCLIP"}


def first_seed(table: str, task: str) -> dict[str, Experiment]:
    """The experiments of one task and seed, by label."""
    return {e.label: e for e in planned(table) if e.task == task and e.seed == 0}


def test_backbones_take_the_rates_of_the_table_methods_and_have_all_cells():
    experiments = tables.backbones(None, SEEDS, 0)
    rates = load_results("methods").query("image_encoder == 'frozen' and seed == 0")
    rates = rates.set_index(["method", "task"])["learning_rate"]
    cells = Counter((e.backbone, e.task, e.shots, e.label) for e in experiments)
    expected = {}
    for backbone, task in product(BACKBONES, TASKS):
        for label in (*grid_module.UNTRAINED, *grid_module.TRAINED):
            expected[backbone, task, None, label] = 1 if label in grid_module.UNTRAINED else SEEDS
        for shots, label in product(SHOTS.get(task, ()), tables.BACKBONE_FEW_SHOT):
            expected[backbone, task, shots, label] = SEEDS
    assert cells == expected
    for e in experiments:
        if e.label in grid_module.TRAINED:
            assert e.config.learning_rate == rates[e.label, e.task]


def test_unseen_objects_test_each_method_on_all_sets():
    experiments = planned("unseen_objects")
    cells = Counter((e.split, e.draw, e.label) for e in experiments)
    labels = (*grid_module.UNTRAINED, *grid_module.TRAINED)
    splits = ("test", "held-out objects", "distractors")
    assert cells == {
        (split, draw, label): 1 if label in grid_module.UNTRAINED else SEEDS
        for split, draw, label in product(splits, (None, WITHOUT_OBJECTS), labels)
    }
    assert {e.task for e in experiments} == {"counting"}


def test_shift_trains_probes_once_for_each_draw_and_prompts_never():
    cells = Counter((e.task, e.draw, e.label) for e in planned("shift"))
    labels = ("zero-shot (bin phrases)", "linear probe", *grid_module.TRAINED)
    expected = dict.fromkeys(product(SHOTS, (None, *LABEL_DRAWS), labels), SEEDS)
    for task, draw in product(SHOTS, (None, *LABEL_DRAWS)):
        expected[task, draw, "zero-shot (bin phrases)"] = 1
        expected[task, None, "linear probe"] = 1
    assert cells == expected


def test_make_backbones_names_the_command_of_a_missing_one(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "check_backbones", check_backbones)
    monkeypatch.chdir(tmp_path)
    message = "build/backbones/pico-clip-1: no such backbone; run ordlib pretrain --seed 1"
    fail(message, "results", "make", "backbones")


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
        own = variants.pop("no RankFormer, own rate")
        assert own.options == variants["no RankFormer"].options
        assert [*variants] == [
            "zero-shot",
            "CoOp",
            "OrdinalCLIP",
            *method_ablations.RANKFORMER_VARIANTS,
        ]
        for label in ("CoOp", "OrdinalCLIP", "L2RCLIP"):
            assert variants[label].options == {}
        default = asdict(METHODS["l2rclip"].Config())
        for label in method_ablations.RANKFORMER_VARIANTS:
            options = asdict(METHODS["l2rclip"].Config(**variants[label].options))
            changed = {name for name in default if options[name] != default[name]}
            # A fixed alpha changes the value, unless it is the default of 0.01, and tune_alpha.
            others = changed - {"alpha", "tune_alpha"}
            two = label in ("no residual, over tokens", "batch form, no RankFormer")
            assert len(others) == (2 if two else not label.startswith(("L2RCLIP", "alpha"))), label
            assert bool(changed) == (label != "L2RCLIP")


@pytest.mark.parametrize("task", SHOTS)
@pytest.mark.parametrize("count", [2, 3, 5, 10, 20])
def test_equal_bins_have_equal_widths(task, count):
    known = load_task(task)
    task_overrides = method_ablations._equal_bins(task, count)
    edges = [known.values.index(edge) for edge in task_overrides["bin_edges"]]
    widths = np.diff([*edges, known.num_ranks])
    assert edges[0] == 0
    assert len(widths) == count == len(set(task_overrides["bin_phrases"]))
    assert widths.max() - widths.min() <= 1
    for first, width, word in zip(edges, widths, task_overrides["bin_phrases"], strict=True):
        assert first <= known.rank_names.index(word) < first + width


@pytest.mark.parametrize(
    ("table", "lora"),
    [
        ("methods", ["--set", "lora_seeds=1"]),
        ("few_shot", []),
        ("shift", []),
        ("unseen_objects", []),
        ("backbones", []),
    ],
)
def test_make_writes_a_table_with_a_reproducing_command(table, lora, tmp_path, monkeypatch):
    work_dirs = []

    def run_experiment(experiment, work_dir, device):
        assert device == "auto"
        work_dirs.append(work_dir)
        return runner([experiment])[0]

    monkeypatch.setattr(tables, "run_experiment", run_experiment)
    monkeypatch.setattr(tables, "load_data", lambda *_: noise("dating", "val", 64))
    path, work = tmp_path / "table.json", tmp_path / "work"
    words = ["results", "make", table, "--seeds", "2", *lora]
    found = run(*words, "--output", path, "--num-jobs", "1", "--work-dir", work)
    stored = json.loads(path.read_text())
    assert stored["command"] == shlex.join(["ordlib", *words])
    assert stored["description"] == TABLES[table].description
    assert stored["backbone"] == "pico-clip"
    assert f"wrote {path}\n" in found.stdout
    assert len(stored["records"]) == len(TABLES[table].experiments(runner, 2, 1))
    places = {tuple(row.get(n) for n in TABLES[table].place) for row in stored["records"]}
    assert {tuple(row[n] for n in TABLES[table].place) for row in stored["intervals"]} == places
    assert set(work_dirs) == {work}
    monkeypatch.chdir(tmp_path)
    run(*words)
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
    path = tmp_path / "x.json"
    fail(message, "results", "make", table, "--output", path, "--set", setting)
    assert not path.exists()

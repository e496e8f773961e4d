"""The models of the tables of methods, and what trains and tests them."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed

from ..metrics import two_way_bootstrap
from ..synthetic.load import load_data
from ..tasks import load_task
from ..training.config import TrainingConfig
from .runs import number
from .trials import BACKBONE, Trial, run

TASKS = ("counting", "dating", "ageing", "quality")
# Labels in the tables, with the method and the options that each stands for.
METHODS_IN_TABLE: Mapping[str, tuple[str, dict]] = {
    "zero-shot": ("zero-shot", {}),
    "zero-shot (bin phrases)": ("zero-shot", {"over": "bins"}),
    "linear probe": ("probe", {}),
    "fine-tuned CLIP": ("finetuned", {}),
    "CORN": ("corn", {}),
    "CoOp (context only)": ("coop", {"tune_rank_embeddings": False}),
    "CoOp": ("coop", {}),
    "OrdinalCLIP": ("ordinalclip", {}),
    "NumCLIP": ("numclip", {}),
    "L2RCLIP": ("l2rclip", {}),
    "L2RCLIP (single stage)": ("l2rclip", {}),
}
UNTRAINED = ("zero-shot", "zero-shot (bin phrases)", "linear probe")
# With a frozen tower there is one stage, and nothing to join.
JOINT = "L2RCLIP (single stage)"
TRAINED = tuple(label for label in METHODS_IN_TABLE if label not in (*UNTRAINED, JOINT))
FEW_SHOT_METHODS = ("linear probe", "CORN", "CoOp", "OrdinalCLIP", "NumCLIP", "L2RCLIP")
RATES = (1e-3, 3e-3, 1e-2, 3e-2)
# Seeds of the tables are 0, 1, ...; the rates are chosen with another, on val.
TUNING_SEED = 1000
FROZEN = TrainingConfig(epochs=20)
# Pictures are dear: fewer epochs, one rate for all, and a third of it for the tower.
LORA = TrainingConfig(epochs=10, lr_multipliers={"image_encoder": 0.3})
# L2RCLIP has two stages, and as many steps in all.
STAGES = replace(LORA, prompt_epochs=5)
# Methods whose text features are one for each rank, so that their order can be compared.
PROMPTED = ("CoOp", "OrdinalCLIP", "L2RCLIP")
RANKFORMERS: Mapping[str, dict] = {
    "L2RCLIP": {},
    "no RankFormer": {"attention_over": "off"},
    "attention over tokens": {"attention_over": "tokens"},
    "attention over both": {"attention_over": "both"},
    "learned position": {"rank_pos_embed": "learned"},
    "sinusoidal position": {"rank_pos_embed": "sinusoidal"},
    "no pairwise loss": {"pairwise_loss": "off"},
    "tightness alone": {"pairwise_loss": "tightness"},
    "diversity alone": {"pairwise_loss": "diversity"},
    **{f"alpha {a}": {"alpha": a, "tune_alpha": False} for a in (0.01, 0.1, 0.5)},
}
PLAIN = {"fcrc_form": "plain", "text_to_image_loss": False, "regressor": False, "adapter": True}
SHOTS = {"counting": (1, 2, 4, 8, 16, 32), "ageing": (1, 2, 4, 8)}

Runner = Callable[[list[Trial]], list[tuple[dict, np.ndarray]]]


def select_learning_rates(
    runner: Runner, tasks: tuple[str, ...], labels: tuple[str, ...] = TRAINED
) -> dict[tuple[str, str], float]:
    """The best of the learning rates, by MAE on val, for every (label, task)."""
    trials = [
        _trial(label, task, TUNING_SEED, replace(FROZEN, learning_rate=rate), split="val")
        for task in tasks
        for label in labels
        for rate in RATES
    ]
    best: dict[tuple[str, str], tuple[float, float]] = {}
    for trial, (row, _) in zip(trials, runner(trials), strict=True):
        key, found = (trial.label, trial.task), (row["mae"], trial.config.learning_rate)
        best[key] = min(best.get(key, found), found)
    return {key: rate for key, (_, rate) in best.items()}


def methods(runner: Runner, seeds: int, lora_seeds: int) -> list[Trial]:
    """The models of the table ``methods``: frozen features, then LoRA on the tower."""
    rates = select_learning_rates(runner, TASKS)
    trials = []
    for task in TASKS:
        for label in (*UNTRAINED, *TRAINED):
            many = 1 if label in UNTRAINED else seeds
            config = _plan(rates, label, task)
            trials += [_trial(label, task, seed, config) for seed in range(many)]
    for seed in range(lora_seeds):
        for task in TASKS:
            configs = dict.fromkeys(TRAINED, LORA) | {"L2RCLIP": STAGES, JOINT: LORA}
            trials += [
                _trial(row, task, seed, config, image_encoder="lora")
                for row, config in configs.items()
            ]
    return trials


def few_shot(runner: Runner, seeds: int, lora_seeds: int) -> list[Trial]:
    """The models of the table ``few_shot``, at the rates chosen on all labels."""
    rates = select_learning_rates(runner, tuple(SHOTS), FEW_SHOT_METHODS[1:])
    return [
        _trial(label, task, seed, _plan(rates, label, task), shots)
        for task, counts in SHOTS.items()
        for shots in counts
        for label in FEW_SHOT_METHODS
        for seed in range(seeds)
    ]


def numclip_ablation(runner: Runner, seeds: int, lora_seeds: int) -> list[Trial]:
    """The models of the table ``numclip_ablation``: NumCLIP with one thing changed."""
    rates = select_learning_rates(runner, tuple(SHOTS), ("NumCLIP",))
    trials = []
    for task in SHOTS:
        config = _plan(rates, "NumCLIP", task)
        for label, (options, task_overrides) in _variants(task).items():
            for seed in range(seeds):
                trial = Trial(label=label, method="numclip", task=task, seed=seed, config=config)
                trials.append(
                    replace(trial, options=options, task_overrides=task_overrides, split="val")
                )
    return trials


def rankformer_ablation(runner: Runner, seeds: int, lora_seeds: int) -> list[Trial]:
    """The models of ``rankformer_ablation``: L2RCLIP with one thing changed, and rivals."""
    rates = select_learning_rates(runner, tuple(SHOTS), PROMPTED)
    trials = []
    for task in SHOTS:
        trials.append(_trial("zero-shot", task, 0, FROZEN, split="val"))
        for label in PROMPTED:
            config = _plan(rates, label, task)
            known = {label: {}} if label != "L2RCLIP" else RANKFORMERS
            for name, options in known.items():
                for seed in range(seeds):
                    trial = _trial(label, task, seed, config, split="val", **options)
                    trials.append(replace(trial, label=name))
    return [replace(trial, score_ordinality=True) for trial in trials]


def intervals(rows: list[dict], errors: list[np.ndarray], split: str, reference: str) -> list[dict]:
    """The mean error of every cell, and its difference from one method's, with intervals.

    Args:
        rows, errors: of the trials, in the same order.
        split: that all were measured on.
        reference: the method that is subtracted.
    """
    tables = defaultdict(list)
    for row, missed in zip(rows, errors, strict=True):
        tables[row["task"], row["image_encoder"], row.get("shots"), row["method"]].append(missed)
    found = []
    for (task, block, shots, method), table in tables.items():
        groups = load_data(task, split).groups
        mean = two_way_bootstrap(table, groups=groups)
        # What has no block of its own is compared with the frozen one's.
        entry = {"task": task, "image_encoder": block, "shots": shots, "method": method}
        entry |= _named("mae", mean)
        other = tables.get((task, block, shots, reference))
        if other is not None and method != reference and len(table) in (1, len(other)):
            entry |= _named("mae_diff", two_way_bootstrap(other, table, groups=groups), -1)
        found.append(entry)
    return found


def _named(name: str, interval: tuple, sign: int = 1) -> dict:
    """An interval as entries of a table; with sign -1 it is turned around."""
    ends = sorted((sign * interval[1], sign * interval[2]))
    values = {"": sign * interval[0], "_low": ends[0], "_high": ends[1]}
    return {name + end: number(value) for end, value in values.items()}


def _variants(task: str) -> dict[str, tuple[dict, dict]]:
    """By label, the options of every variant and what it changes of the task."""
    known = load_task(task)
    numerals = [known.rank_names[r] for r in known.rank_index(known.bin_midpoints())]
    return {
        "NumCLIP": ({}, {}),
        "bins only": (PLAIN | {"adapter": False}, {}),
        "+ adapter": (PLAIN, {}),
        "+ regressor": (PLAIN | {"regressor": True}, {}),
        "+ ranking, paper": ({"text_to_image_loss": False}, {}),
        "released form": ({"fcrc_form": "released"}, {}),
        "plain form": ({"fcrc_form": "plain"}, {}),
        "sum_to_one": ({"fcrc_norm": "sum_to_one"}, {}),
        "edge anchor": ({"bin_anchor": "edge"}, {}),
        "no regressor": ({"regressor": False}, {}),
        "numerals as words": ({}, {"bin_phrases": tuple(numerals)}),
        "fixed phrases": ({"tune_bin_embeddings": False}, {}),
        "tuned context": ({"tune_context": True}, {}),
        **{f"{d} bins": ({}, _equal_bins(task, d)) for d in (2, 3, 5, 10, 20)},
    }


def _equal_bins(task: str, count: int) -> dict:
    """Split the ranks into bins of one width, each called by its middle rank."""
    known = load_task(task)
    first = np.linspace(0, known.num_ranks, count, endpoint=False).round().astype(int)
    last = [*(first[1:] - 1), known.num_ranks - 1]
    words = [known.rank_names[(a + b) // 2] for a, b in zip(first, last, strict=True)]
    edges = [known.values[place] for place in first]
    return {"bin_edges": tuple(edges), "bin_phrases": tuple(words)}


def _trial(
    label: str,
    task: str,
    seed: int,
    config: TrainingConfig,
    shots: int | None = None,
    split: str = "test",
    **more: object,
) -> Trial:
    method, options = METHODS_IN_TABLE[label]
    trial = Trial(label=label, method=method, task=task, seed=seed, config=config)
    return replace(trial, options=options | more, shots=shots, split=split)


def _plan(rates: dict[tuple[str, str], float], label: str, task: str) -> TrainingConfig:
    return replace(FROZEN, learning_rate=rates.get((label, task), RATES[0]))


class ResultsTable(NamedTuple):
    """A table: its models, what it holds, and the row that all others are compared with."""

    trials: Callable[[Runner, int, int], list[Trial]]
    description: str
    reference: str = "NumCLIP"


TABLES: Mapping[str, ResultsTable] = {
    "methods": ResultsTable(
        methods, "All methods on all tasks, on test: frozen features, then LoRA."
    ),
    "few_shot": ResultsTable(few_shot, "Methods by labels a rank, on test, frozen features."),
    "numclip_ablation": ResultsTable(
        numclip_ablation, "NumCLIP with one thing changed, on val, frozen."
    ),
    "rankformer_ablation": ResultsTable(
        rankformer_ablation, "L2RCLIP with one thing changed, on val, frozen.", "L2RCLIP"
    ),
}


def make(
    table: str,
    *,
    seeds: int = 10,
    lora_seeds: int = 3,
    num_jobs: int = 1,
    work_dir: Path = Path("build/tables"),
) -> dict:
    """Train and test the models of a table.

    Args:
        table: one of ``TABLES``.
        seeds: on frozen features.
        lora_seeds: with LoRA on the image encoder.
        num_jobs: models trained at once; on a CPU one for each core (``OMP_NUM_THREADS=1``).
        work_dir: keeps finished models' rows.
    """
    make_trials, description, reference = TABLES[table]

    def runner(trials: list[Trial]) -> list[tuple[dict, np.ndarray]]:
        return Parallel(num_jobs, verbose=1)(delayed(run)(trial, work_dir) for trial in trials)

    trials = make_trials(runner, seeds, lora_seeds)
    rows, errors = zip(*runner(trials), strict=True)
    return {
        "description": description,
        "records": rows,
        "backbone": BACKBONE,
        "intervals": intervals(list(rows), list(errors), trials[0].split, reference),
    }

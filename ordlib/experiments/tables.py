"""Experiment grids behind the results tables of the methods."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed

from ..synthetic.load import load_data
from ..tasks import load_task
from ..training.config import TrainingConfig
from .adapter_data import HELD_OUT_SPLIT
from .experiment import BACKBONE, BACKBONES, Experiment, check_backbones, run_experiment
from .intervals import Scores, bootstrap_cells
from .training_draws import LABEL_DRAWS, WITHOUT_OBJECTS

TASKS = ("counting", "dating", "ageing", "quality")
# Labels in the tables, with the method and its options.
METHODS_IN_TABLE: Mapping[str, tuple[str, dict]] = {
    "zero-shot": ("zero-shot", {}),
    "zero-shot (bin phrases)": ("zero-shot", {"prompts_for": "bins"}),
    "linear probe": ("probe", {}), "fine-tuned CLIP": ("finetuned", {}), "CORN": ("corn", {}),
    "CoOp (context only)": ("coop", {"tune_rank_embeddings": False}), "CoOp": ("coop", {}),
    "OrdinalCLIP": ("ordinalclip", {}), "NumCLIP": ("numclip", {}),
    "L2RCLIP": ("l2rclip", {}), "L2RCLIP (single stage)": ("l2rclip", {}),
}  # fmt: skip
UNTRAINED = ("zero-shot", "zero-shot (bin phrases)", "linear probe")
# A frozen image encoder has a single stage anyway.
SINGLE_STAGE = "L2RCLIP (single stage)"
TRAINED = tuple(label for label in METHODS_IN_TABLE if label not in (*UNTRAINED, SINGLE_STAGE))
FEW_SHOT_METHODS = (
    "zero-shot (bin phrases)", "linear probe", "CORN", "CoOp", "OrdinalCLIP", "NumCLIP", "L2RCLIP"
)  # fmt: skip
BACKBONE_FEW_SHOT = ("linear probe", "CORN", "CoOp", "NumCLIP")
LEARNING_RATES = (1e-3, 3e-3, 1e-2, 3e-2)
# The tables use seeds 0, 1, ...; learning rates are selected on val with another seed.
TUNING_SEED = 1000
FROZEN = TrainingConfig(epochs=20)
# Images are expensive: fewer epochs, and one learning rate of a method for all tasks.
LORA = TrainingConfig(epochs=10, lr_multipliers={"image_encoder": 0.3})
LORA_RATES, LORA_TUNING_TASKS = (1e-3, 3e-3, 1e-2), ("counting", "ageing")
# L2RCLIP trains in two stages, with as many steps in total.
TWO_STAGE = replace(LORA, prompt_epochs=5)
LORA_CONFIGS = dict.fromkeys(TRAINED, LORA) | {"L2RCLIP": TWO_STAGE, SINGLE_STAGE: LORA}
# Methods with one text feature per rank, whose ordinality can be scored.
PROMPT_METHODS = ("CoOp", "OrdinalCLIP", "L2RCLIP")
RANKFORMER_VARIANTS: Mapping[str, dict] = {
    "L2RCLIP": {}, "no RankFormer": {"attention_over": "off"},
    "attention over tokens": {"attention_over": "tokens"},
    "attention over both": {"attention_over": "both"},
    "learned position": {"rank_pos_embed": "learned"},
    "sinusoidal position": {"rank_pos_embed": "sinusoidal"},
    "no pairwise loss": {"pairwise_loss": "off"},
    "tightness alone": {"pairwise_loss": "tightness"},
    "diversity alone": {"pairwise_loss": "diversity"},
    "batch form": {"pairwise_loss": "batch"},
    "batch form, no RankFormer": {"pairwise_loss": "batch", "attention_over": "off"},
    **{f"alpha {a}": {"alpha": a, "tune_alpha": False} for a in (0.01, 0.1, 0.5)},
    "normalized F": {"block_form": "normalized"},
    "normalized F, alpha 0.5": {"block_form": "normalized", "alpha": 0.5, "tune_alpha": False},
    "LayerScale": {"block_form": "layer_scale"},
    "LayerScale, alpha 0.5": {"block_form": "layer_scale", "alpha": 0.5, "tune_alpha": False},
    "no residual, over tokens": {"block_form": "no_residual", "attention_over": "tokens"},
}  # fmt: skip
PLAIN = {"fcrc_form": "plain", "text_to_image_loss": False, "regressor": False, "adapter": True}
SHOTS = {"counting": (1, 2, 4, 8, 16, 32), "ageing": (1, 2, 4, 8)}

Runner = Callable[[list[Experiment]], list[tuple[dict, Scores]]]
LearningRates = dict[tuple[str, str], float]


def select_learning_rates(
    runner: Runner, tasks: tuple[str, ...], labels: tuple[str, ...] = TRAINED, **options: object
) -> LearningRates:
    """Grid search: the learning rate with the lowest validation MAE for every (label, task)."""
    grid = [
        _experiment(
            label, task, TUNING_SEED, replace(FROZEN, learning_rate=lr), split="val", **options
        )
        for task in tasks
        for label in labels
        for lr in LEARNING_RATES
    ]
    scores = defaultdict(list)
    for experiment, (row, _) in zip(grid, runner(grid), strict=True):
        score = row["mae"], experiment.config.learning_rate
        scores[experiment.label, experiment.task].append(score)
    return {key: min(values)[1] for key, values in scores.items()}


def select_lora_rates(runner: Runner) -> dict[str, float]:
    """Grid search: for every label the rate with the lowest validation MAE on two tasks.

    The mean is over the logarithms of the MAE, as one task counts objects and the other years.
    """
    grid = [
        _experiment(
            label, task, TUNING_SEED, replace(config, learning_rate=lr), split="val",
            image_encoder="lora",
        )
        for label, config in LORA_CONFIGS.items()
        for lr in LORA_RATES
        for task in LORA_TUNING_TASKS
    ]  # fmt: skip
    totals: defaultdict[str, Counter] = defaultdict(Counter)
    for experiment, (row, _) in zip(grid, runner(grid), strict=True):
        totals[experiment.label][experiment.config.learning_rate] += np.log(row["mae"])
    return {label: min(rates, key=rates.get) for label, rates in totals.items()}


def methods(runner: Runner, seeds: int, lora_seeds: int) -> list[Experiment]:
    """Experiments of the table ``methods``: frozen features, then LoRA on the image encoder."""
    rates = select_learning_rates(runner, TASKS)
    lora_rates = select_lora_rates(runner) if lora_seeds else {}
    grid = [
        _experiment(label, task, seed, _frozen_config(rates, label, task))
        for task in TASKS
        for label in (*UNTRAINED, *TRAINED)
        for seed in range(1 if label in UNTRAINED else seeds)
    ]
    return grid + [
        _experiment(
            label, task, seed, replace(config, learning_rate=lora_rates[label]),
            image_encoder="lora",
        )
        for seed in range(lora_seeds)
        for task in TASKS
        for label, config in LORA_CONFIGS.items()
    ]  # fmt: skip


def few_shot(runner: Runner, seeds: int, lora_seeds: int) -> list[Experiment]:
    """Experiments of the table ``few_shot``: no other label chooses an epoch.

    Learning rates are selected on all labels. Untrained prompts are in it once for each number of
    labels, to be compared with the others.
    """
    trained = tuple(label for label in FEW_SHOT_METHODS if label in TRAINED)
    rates = select_learning_rates(runner, tuple(SHOTS), trained)
    return [
        replace(
            _experiment(label, task, seed, _frozen_config(rates, label, task), shots),
            epoch_on_train=label in trained,
        )
        for task, counts in SHOTS.items()
        for shots in counts
        for label in FEW_SHOT_METHODS
        for seed in range(1 if label.startswith("zero-shot") else seeds)
    ]


def numclip_ablation(runner: Runner, seeds: int, lora_seeds: int) -> list[Experiment]:
    """Experiments of the table ``numclip_ablation``: NumCLIP with one change each."""
    rates = select_learning_rates(runner, tuple(SHOTS), ("NumCLIP",))
    grid = []
    for task in SHOTS:
        config = _frozen_config(rates, "NumCLIP", task)
        for label, (options, task_overrides) in _numclip_variants(task).items():
            for seed in range(seeds):
                experiment = _experiment("NumCLIP", task, seed, config, split="val", **options)
                grid.append(replace(experiment, label=label, task_overrides=task_overrides))
    return grid


def rankformer_ablation(runner: Runner, seeds: int, lora_seeds: int) -> list[Experiment]:
    """Experiments of ``rankformer_ablation``: L2RCLIP with one change each, and baselines.

    The changes have the learning rate of L2RCLIP, but "no RankFormer" is there once more with one
    of its own.
    """
    rates = select_learning_rates(runner, tuple(SHOTS), PROMPT_METHODS)
    own_rates = select_learning_rates(runner, tuple(SHOTS), ("L2RCLIP",), attention_over="off")
    grid = []
    for task in SHOTS:
        grid.append(_experiment("zero-shot", task, 0, FROZEN, split="val"))
        for label in PROMPT_METHODS:
            config = _frozen_config(rates, label, task)
            variants = RANKFORMER_VARIANTS if label == "L2RCLIP" else {label: {}}
            for name, options in variants.items():
                for seed in range(seeds):
                    experiment = _experiment(label, task, seed, config, split="val", **options)
                    grid.append(replace(experiment, label=name))
        own = _frozen_config(own_rates, "L2RCLIP", task)
        for seed in range(seeds):
            experiment = _experiment("L2RCLIP", task, seed, own, split="val", attention_over="off")
            grid.append(replace(experiment, label="no RankFormer, own rate"))
    return [replace(experiment, score_ordinality=True) for experiment in grid]


def _numclip_variants(task: str) -> dict[str, tuple[dict, dict]]:
    """Return the options and the task overrides of every variant, by label."""
    definition = load_task(task)
    midpoints = definition.rank_index(definition.bin_midpoints())
    numerals = tuple(definition.rank_names[rank] for rank in midpoints)
    return {
        "NumCLIP": ({}, {}), "bins only": (PLAIN | {"adapter": False}, {}),
        "+ adapter": (PLAIN, {}), "+ regressor": (PLAIN | {"regressor": True}, {}),
        "+ ranking, paper": ({"text_to_image_loss": False}, {}),
        "released form": ({"fcrc_form": "released"}, {}),
        "plain form": ({"fcrc_form": "plain"}, {}),
        "error in units": ({"scale_error": False}, {}),
        "released form, error in units": ({"fcrc_form": "released", "scale_error": False}, {}),
        "sum_to_one": ({"fcrc_norm": "sum_to_one"}, {}),
        "edge anchor": ({"bin_anchor": "edge"}, {}),
        "no regressor": ({"regressor": False}, {}),
        "released form, no regressor": ({"fcrc_form": "released", "regressor": False}, {}),
        "plain form, no regressor": ({"fcrc_form": "plain", "regressor": False}, {}),
        "numerals as words": ({}, {"bin_phrases": numerals}),
        "fixed phrases": ({"tune_bin_embeddings": False}, {}),
        "tuned context": ({"tune_context": True}, {}),
        **{f"{d} bins": ({}, _equal_bins(task, d)) for d in (2, 3, 5, 10, 20)},
    }  # fmt: skip


def _equal_bins(task: str, num_bins: int) -> dict:
    """Return task overrides for bins of equal width, each named by its middle rank."""
    definition = load_task(task)
    first = np.linspace(0, definition.num_ranks, num_bins, endpoint=False).round().astype(int)
    last = [*(first[1:] - 1), definition.num_ranks - 1]
    phrases = [definition.rank_names[(a + b) // 2] for a, b in zip(first, last, strict=True)]
    edges = [definition.values[rank] for rank in first]
    return {"bin_edges": tuple(edges), "bin_phrases": tuple(phrases)}


def _experiment(
    label: str, task: str, seed: int, config: TrainingConfig, shots: int | None = None,
    split: str = "test", backbone: str = BACKBONE, **extra: object,
) -> Experiment:  # fmt: skip
    method, options = METHODS_IN_TABLE[label]
    common = {"label": label, "method": method, "task": task, "seed": seed, "config": config}
    where = {"shots": shots, "split": split, "backbone": backbone}
    return Experiment(**common, options=options | extra, **where)


def _frozen_config(rates: LearningRates, label: str, task: str) -> TrainingConfig:
    return replace(FROZEN, learning_rate=rates.get((label, task), LEARNING_RATES[0]))


def shift(runner: Runner, seeds: int, lora_seeds: int) -> list[Experiment]:
    """Experiments of the table ``shift``: distorted training labels, tested on the full range."""
    rates = select_learning_rates(runner, tuple(SHOTS))
    return [
        replace(_experiment(label, task, seed, _frozen_config(rates, label, task)), draw=draw)
        for task in SHOTS
        for draw in (None, *LABEL_DRAWS)
        for label in ("linear probe", *TRAINED)
        for seed in range(1 if (label, draw) == ("linear probe", None) else seeds)
    ]


def unseen_objects(runner: Runner, seeds: int, lora_seeds: int) -> list[Experiment]:
    """Experiments of the table ``unseen_objects``: trained without nine kinds of objects."""
    rates = select_learning_rates(runner, ("counting",))
    return [
        replace(
            _experiment(label, "counting", seed, _frozen_config(rates, label, "counting")),
            draw=WITHOUT_OBJECTS, split=split,
        )
        for split in ("test", HELD_OUT_SPLIT, "distractors")
        for label in (*UNTRAINED, *TRAINED)
        for seed in range(1 if label in UNTRAINED else seeds)
    ]  # fmt: skip


def backbones(runner: Runner, seeds: int, lora_seeds: int) -> list[Experiment]:
    """Experiments of the table ``backbones``: other pretrainings of the same CLIP.

    Learning rates are selected for each backbone.

    Raises:
        ValueError: a backbone has not been pretrained yet.
    """
    check_backbones()
    grid = []
    for backbone in BACKBONES:
        run = partial(_run_on_backbone, runner, backbone)
        rates = select_learning_rates(run, TASKS)
        all_labels = [(task, label, None) for task in TASKS for label in (*UNTRAINED, *TRAINED)]
        few_labels = [
            (task, label, shots)
            for task, counts in SHOTS.items()
            for shots in counts
            for label in BACKBONE_FEW_SHOT
        ]
        grid += [
            replace(
                _experiment(
                    label, task, seed, _frozen_config(rates, label, task), shots, backbone=backbone
                ),
                epoch_on_train=shots is not None and label in TRAINED,
            )
            for task, label, shots in all_labels + few_labels
            for seed in range(1 if label in UNTRAINED and shots is None else seeds)
        ]
    return grid


def _run_on_backbone(
    runner: Runner, backbone: str, grid: list[Experiment]
) -> list[tuple[dict, Scores]]:
    return runner([replace(experiment, backbone=backbone) for experiment in grid])


class ResultsTable(NamedTuple):
    """A results table: its experiments, description, and what identifies a cell."""

    experiments: Callable[[Runner, int, int], list[Experiment]]
    description: str
    place: tuple[str, ...] = ("task", "image_encoder", "shots")


ABLATION = "{} with one thing changed, on val, frozen."
TABLES: Mapping[str, ResultsTable] = {
    "methods": ResultsTable(
        methods, "All methods on all tasks, on test: frozen features, then LoRA."
    ),
    "few_shot": ResultsTable(few_shot, "Methods by labels per rank, on test, frozen features."),
    "numclip_ablation": ResultsTable(numclip_ablation, ABLATION.format("NumCLIP")),
    "rankformer_ablation": ResultsTable(rankformer_ablation, ABLATION.format("L2RCLIP")),
    "shift": ResultsTable(
        shift,
        "Methods with distorted training labels, on test, frozen features.",
        ("task", "image_encoder", "draw"),
    ),
    "unseen_objects": ResultsTable(
        unseen_objects,
        "Counting unseen objects and among distractors, frozen features.",
        ("task", "image_encoder", "split"),
    ),
    "backbones": ResultsTable(
        backbones,
        "Methods on three pretrainings of pico-clip, on test, frozen features.",
        ("backbone", "task", "image_encoder", "shots"),
    ),
}


def make(
    table: str, *, seeds: int = 10, lora_seeds: int = 3, num_jobs: int = 1,
    work_dir: Path = Path("build/tables"),
) -> dict:  # fmt: skip
    """Compute one of ``TABLES``; ``lora_seeds`` is the number of seeds with LoRA."""
    definition = TABLES[table]

    def runner(grid: list[Experiment]) -> list[tuple[dict, Scores]]:
        return Parallel(num_jobs, verbose=1)(delayed(run_experiment)(e, work_dir) for e in grid)

    grid = definition.experiments(runner, seeds, lora_seeds)
    rows, scores = zip(*runner(grid), strict=True)
    split, place = grid[0].split, definition.place
    fields = [name for name in ("backbone", "split") if name in place]
    rows = [
        {name: getattr(experiment, name) for name in fields} | row
        for experiment, row in zip(grid, rows, strict=True)
    ]
    return {
        "description": definition.description,
        "records": rows,
        "backbone": BACKBONE,
        **bootstrap_cells(rows, scores, place, lambda row: load_data(row["task"], split).groups),
    }

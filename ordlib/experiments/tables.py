"""The results tables of the methods: their experiments, and what identifies a cell."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from joblib import delayed

from ..utils.device import pick_device
from .adapter_data import HELD_OUT_SPLIT
from .experiment import BACKBONE, BACKBONES, Experiment, check_backbones, run_experiment
from .grid import (
    SHOTS,
    TASKS,
    TRAINED,
    UNTRAINED,
    Runner,
    frozen_config,
    lora_block,
    make_experiment,
    select_learning_rates,
)
from .intervals import Scores, bootstrap_cells, differences_across
from .method_ablations import numclip_ablation, rankformer_ablation
from .results import load_rows, run_parallel
from .synthetic_data import load_data
from .training_draws import LABEL_DRAWS, WITHOUT_OBJECTS

FEW_SHOT_METHODS = (
    "zero-shot (bin phrases)", "linear probe", "CORN", "CoOp", "OrdinalCLIP", "NumCLIP", "L2RCLIP"
)  # fmt: skip
BACKBONE_FEW_SHOT = ("linear probe", "CORN", "CoOp", "NumCLIP")


def methods(runner: Runner, seeds: int, lora_seeds: int) -> list[Experiment]:
    """Experiments of the table ``methods``: frozen features, then LoRA on the image encoder."""
    rates = select_learning_rates(runner, TASKS)
    grid = [
        make_experiment(label, task, seed, frozen_config(rates, label, task))
        for task in TASKS
        for label in (*UNTRAINED, *TRAINED)
        for seed in range(1 if label in UNTRAINED else seeds)
    ]
    return grid + (lora_block(runner, lora_seeds) if lora_seeds else [])


def few_shot(runner: Runner, seeds: int, lora_seeds: int) -> list[Experiment]:
    """Experiments of the table ``few_shot``: no other label chooses an epoch.

    Learning rates are selected on all labels. Untrained prompts are in it once for each number of
    labels, to be compared with the others.
    """
    trained = tuple(label for label in FEW_SHOT_METHODS if label in TRAINED)
    rates = select_learning_rates(runner, tuple(SHOTS), trained)
    return [
        replace(
            make_experiment(label, task, seed, frozen_config(rates, label, task), shots),
            epoch_on_train=label in trained,
        )
        for task, counts in SHOTS.items()
        for shots in counts
        for label in FEW_SHOT_METHODS
        for seed in range(1 if label.startswith("zero-shot") else seeds)
    ]


def shift(runner: Runner, seeds: int, lora_seeds: int) -> list[Experiment]:
    """Experiments of the table ``shift``: distorted training labels, tested on the full range."""
    rates = select_learning_rates(runner, tuple(SHOTS))
    return [
        replace(make_experiment(label, task, seed, frozen_config(rates, label, task)), draw=draw)
        for task in SHOTS
        for draw in (None, *LABEL_DRAWS)
        for label in ("zero-shot (bin phrases)", "linear probe", *TRAINED)
        for seed in range(1 if _has_no_seed(label, draw) else seeds)
    ]


def _has_no_seed(label: str, draw: str | None) -> bool:
    """Whether all seeds give the same: those of a probe differ by the draw alone."""
    return label in UNTRAINED and (label != "linear probe" or draw not in LABEL_DRAWS)


def unseen_objects(runner: Runner, seeds: int, lora_seeds: int) -> list[Experiment]:
    """Experiments of the table ``unseen_objects``: trained with and without nine kinds of objects.

    They are evaluated on images that show these kinds alone, on those with distractors, and on the
    test split.
    """
    rates = select_learning_rates(runner, ("counting",))
    return [
        replace(
            make_experiment(label, "counting", seed, frozen_config(rates, label, "counting")),
            draw=draw, split=split,
        )
        for split in ("test", HELD_OUT_SPLIT, "distractors")
        for draw in (None, WITHOUT_OBJECTS)
        for label in (*UNTRAINED, *TRAINED)
        for seed in range(1 if _has_no_seed(label, draw) else seeds)
    ]  # fmt: skip


def backbones(runner: Runner, seeds: int, lora_seeds: int) -> list[Experiment]:
    """Experiments of the table ``backbones``: other pretrainings of the same CLIP.

    Learning rates are those of the table ``methods``, so that the pretraining alone differs.

    Raises:
        ValueError: a backbone has not been pretrained yet.
    """
    check_backbones()
    frozen = load_rows("methods").query("image_encoder == 'frozen'")
    rates = frozen.dropna(subset="learning_rate").set_index(["method", "task"])["learning_rate"]
    rates, grid = rates.to_dict(), []
    for backbone in BACKBONES:
        all_labels = [(task, label, None) for task in TASKS for label in (*UNTRAINED, *TRAINED)]
        few_labels = [
            (task, label, shots)
            for task, counts in SHOTS.items()
            for shots in counts
            for label in BACKBONE_FEW_SHOT
        ]
        grid += [
            replace(
                make_experiment(
                    label, task, seed, frozen_config(rates, label, task), shots, backbone=backbone
                ),
                epoch_on_train=shots is not None and label in TRAINED,
            )
            for task, label, shots in all_labels + few_labels
            for seed in range(1 if label in UNTRAINED and shots is None else seeds)
        ]
    return grid


class ResultsTable(NamedTuple):
    """A results table: its experiments, description, and what identifies a cell."""

    experiments: Callable[[Runner, int, int], list[Experiment]]
    description: str
    place: tuple[str, ...] = ("task", "image_encoder", "shots")


# By column of a cell: differences of a method between its values.
ACROSS = {"image_encoder": "encoder_differences", "draw": "draw_differences"}
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
        ("task", "image_encoder", "split", "draw"),
    ),
    "backbones": ResultsTable(
        backbones,
        "Methods on three pretrainings of pico-clip, on test, frozen features.",
        ("backbone", "task", "image_encoder", "shots"),
    ),
}


def make(
    table: str, *, seeds: int = 10, lora_seeds: int = 3, num_jobs: int = 1,
    work_dir: Path = Path("build/tables"), device: str = "auto",
) -> dict:  # fmt: skip
    """Compute one of ``TABLES``; ``lora_seeds`` is the number of seeds with LoRA."""
    definition = TABLES[table]
    pick_device(device)  # validates it before any training

    def runner(grid: list[Experiment]) -> list[tuple[dict, Scores]]:
        jobs = (delayed(run_experiment)(experiment, work_dir, device) for experiment in grid)
        return run_parallel(jobs, num_jobs)

    grid = definition.experiments(runner, seeds, lora_seeds)
    rows, scores = zip(*runner(grid), strict=True)
    split, place = grid[0].split, definition.place
    fields = [name for name in ("backbone", "split") if name in place]
    rows = [
        {name: getattr(experiment, name) for name in fields} | row
        for experiment, row in zip(grid, rows, strict=True)
    ]

    def groups(row: dict) -> np.ndarray | None:
        return load_data(row["task"], split).groups

    across = {}
    for column, name in ACROSS.items():
        rest = [other for other in place if other != column]
        if column in place and (found := differences_across(rows, scores, column, rest, groups)):
            across[name] = found
    return {
        "description": definition.description,
        "records": rows,
        "backbone": BACKBONE,
        **bootstrap_cells(rows, scores, place, groups),
        **across,
    }

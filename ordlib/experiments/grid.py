"""Methods, training plans and learning rates shared by the results tables of the methods."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np

from ..training.config import TrainingConfig
from .experiment import BACKBONE, Experiment
from .intervals import Scores

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
SHOTS = {"counting": (1, 2, 4, 8, 16, 32), "ageing": (1, 2, 4, 8)}

Runner = Callable[[list[Experiment]], list[tuple[dict, Scores]]]
LearningRates = dict[tuple[str, str], float]
Key = TypeVar("Key")


def select_learning_rates(
    runner: Runner, tasks: tuple[str, ...], labels: tuple[str, ...] = TRAINED, **options: object
) -> LearningRates:
    """Grid search: the learning rate with the lowest validation MAE for every (label, task)."""
    grid = [
        make_experiment(
            label, task, TUNING_SEED, replace(FROZEN, learning_rate=lr), split="val", **options
        )
        for task in tasks
        for label in labels
        for lr in LEARNING_RATES
    ]
    return best_rates(
        ((e.label, e.task), e.config.learning_rate, row["mae"])
        for e, (row, _) in zip(grid, runner(grid), strict=True)
    )


def select_lora_rates(runner: Runner) -> dict[str, float]:
    """Grid search: for every label the rate with the lowest validation MAE on two tasks.

    The mean is over the logarithms of the MAE, as one task counts objects and the other years.
    """
    grid = [
        make_experiment(
            label, task, TUNING_SEED, replace(config, learning_rate=lr), split="val",
            image_encoder="lora",
        )
        for label, config in LORA_CONFIGS.items()
        for lr in LORA_RATES
        for task in LORA_TUNING_TASKS
    ]  # fmt: skip
    return best_rates(
        (e.label, e.config.learning_rate, np.log(row["mae"]))
        for e, (row, _) in zip(grid, runner(grid), strict=True)
    )


def best_rates(losses: Iterable[tuple[Key, float, float]]) -> dict[Key, float]:
    """Return by key the learning rate with the lowest sum of losses, of equal ones the lowest.

    Args:
        losses: (key, learning rate, loss), several of them for a rate if it has several tasks.

    Example:
        >>> best_rates([("A", 0.01, 2.0), ("A", 0.1, 1.0), ("B", 0.01, 3.0)])
        {'A': 0.1, 'B': 0.01}
    """
    totals: defaultdict[Key, Counter] = defaultdict(Counter)
    for key, rate, loss in losses:
        totals[key][rate] += loss
    return {key: min(sorted(rates), key=rates.get) for key, rates in totals.items()}


def lora_block(runner: Runner, seeds: int) -> list[Experiment]:
    """Experiments of the table ``methods`` with LoRA on the image encoder, seed by seed."""
    rates = select_lora_rates(runner)
    return [
        make_experiment(
            label, task, seed, replace(config, learning_rate=rates[label]), image_encoder="lora"
        )
        for seed in range(seeds)
        for task in TASKS
        for label, config in LORA_CONFIGS.items()
    ]


def make_experiment(
    label: str, task: str, seed: int, config: TrainingConfig, shots: int | None = None,
    split: str = "test", backbone: str = BACKBONE, **extra: object,
) -> Experiment:  # fmt: skip
    """Return the experiment of a label of ``METHODS_IN_TABLE``; ``extra`` are its options."""
    method, options = METHODS_IN_TABLE[label]
    common = {"label": label, "method": method, "task": task, "seed": seed, "config": config}
    where = {"shots": shots, "split": split, "backbone": backbone}
    return Experiment(**common, options=options | extra, **where)


def frozen_config(rates: LearningRates, label: str, task: str) -> TrainingConfig:
    """Return the training plan on frozen features, with the selected learning rate if any."""
    return replace(FROZEN, learning_rate=rates.get((label, task), LEARNING_RATES[0]))

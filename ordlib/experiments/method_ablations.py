"""Experiment grids of the ablations of NumCLIP and L2RCLIP."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ..tasks import load_task
from .experiment import Experiment
from .grid import FROZEN, SHOTS, Runner, frozen_config, make_experiment, select_learning_rates

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


def numclip_ablation(runner: Runner, seeds: int, lora_seeds: int) -> list[Experiment]:
    """Experiments of the table ``numclip_ablation``: NumCLIP with one change each."""
    rates = select_learning_rates(runner, tuple(SHOTS), ("NumCLIP",))
    grid = []
    for task in SHOTS:
        config = frozen_config(rates, "NumCLIP", task)
        for label, (options, task_overrides) in _numclip_variants(task).items():
            for seed in range(seeds):
                experiment = make_experiment("NumCLIP", task, seed, config, split="val", **options)
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
        grid.append(make_experiment("zero-shot", task, 0, FROZEN, split="val"))
        for label in PROMPT_METHODS:
            config = frozen_config(rates, label, task)
            variants = RANKFORMER_VARIANTS if label == "L2RCLIP" else {label: {}}
            for name, options in variants.items():
                for seed in range(seeds):
                    experiment = make_experiment(label, task, seed, config, split="val", **options)
                    grid.append(replace(experiment, label=name))
        own = frozen_config(own_rates, "L2RCLIP", task)
        for seed in range(seeds):
            experiment = make_experiment(
                "L2RCLIP", task, seed, own, split="val", attention_over="off"
            )
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

"""Ranking adapters on the rendered tasks: trained, judged, and kept as a component."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..clip import ClipBackbone, load_clip
from ..methods.ranking_adapter.label_scaler import LabelScaler
from ..methods.ranking_adapter.model import RankingAdapter
from ..metrics import accuracy, mae, pairwise_accuracy, pearson, spearman
from ..tasks import load_task
from ..tasks.ranking_prompts import prompt_templates_for
from ..training.config import TrainingConfig
from ..training.fit import delete_checkpoints, fit
from .adapter_data import HELD_OUT_OBJECTS, SIZES, TASKS, EvalSet, eval_sets, training_data
from .runs import command_line, number
from .train import of_training

# The rate was chosen on val, with seed 1000; the epochs take a quarter of an hour of one CPU core.
CONFIG = TrainingConfig(epochs=8, batch_size=32, learning_rate=1e-3)
# More than the released 0.2: what is not there must be told apart for 67 kinds of objects.
NEGATIVE_RATIO = 0.3
TRAINING_DATA = (
    "rendered pictures of 96 pixels (1 to 20 small drawn objects of one kind, prints in the look "
    "of five decades, drawn portraits of people from 1 to 90, damaged crops of a few photographs "
    "and damaged drawings)"
)


def train_ranking_adapter(
    clip: ClipBackbone,
    tasks: Sequence[str],
    config: TrainingConfig,
    folder: Path | None = None,
    progress: bool = True,
) -> tuple[RankingAdapter, pd.DataFrame]:
    """Train one ranking adapter, with the config's seed; arguments and history as for `fit`."""
    train, val = ([training_data(clip, t, split) for t in tasks] for split in ("train", "val"))
    known = [load_task(task) for task in tasks]
    adapter = RankingAdapter(clip, known, seed=config.seed, negative_ratio=NEGATIVE_RATIO)
    return adapter, fit(adapter, train, val, config, checkpoint_dir=folder, progress=progress)


def evaluate_ranking(
    judged: EvalSet, scores: np.ndarray, scale: LabelScaler
) -> dict[str, float | None]:
    """Compare what was predicted with what was asked for.

    Args:
        judged: N pictures.
        scores: ``(N,)`` in any unit; they decide the order.
        scale: makes values of them, which need not lie within the task's range.
    """
    task = judged.data.task
    low, high = task.range
    kept = np.clip(scale.inverse_transform(scores), min(low, judged.truth.min()), high)
    ranks, found = (
        np.where(each < low - 0.5, -1, task.rank_index(each.clip(low, high)))
        for each in (judged.truth, kept)
    )
    metrics = {
        # Of the scores themselves: where the line is flat, values have no order.
        "spearman": spearman(judged.truth, scores),
        "pearson": pearson(judged.truth, scores),
        # Of different ranks, as everywhere: opinions are real numbers, and hardly ever tied.
        "pairwise": pairwise_accuracy(ranks, scores),
        "mae": mae(judged.truth, kept),
        "accuracy": accuracy(ranks, found),
    }
    return {name: number(value) for name, value in metrics.items()}


def evaluate_adapter(adapter: RankingAdapter) -> list[dict]:
    """Test an adapter: a row for each task, set and kind of wording, one it knows or a new one."""
    rows = []
    for task in adapter.tasks:
        known = prompt_templates_for(load_task(task))
        sentences = {"seen": known.train, "held_out": known.held_out}
        for judged in eval_sets(adapter.clip, task, sentences):
            for kind, prompts in judged.prompts.items():
                scores = adapter.predict_scores(judged.data, prompts)
                row = {"task": task, "split": judged.name, "prompts": kind}
                rows.append(row | evaluate_ranking(judged, scores, adapter.label_scalers[task]))
    return rows


def train_and_save_adapter(
    tasks: Sequence[str],
    folder: Path,
    *,
    config: TrainingConfig = CONFIG,
    backbone: str = "pico-clip",
    device: str | None = None,
) -> None:
    """Train a ranking adapter on rendered tasks, test it once, and keep it with a card.

    Args:
        tasks: names; none stand for all four.
        folder: where the component goes; an unfinished run there goes on.
        config: of the training.
        backbone, device: as for :func:`ordlib.load_clip`.

    Raises:
        ValueError: an unknown task, or a folder with another run.
    """
    for name in tasks:
        if name not in TASKS:
            raise ValueError(f"task = {name!r}: must be one of {', '.join(TASKS)}")
    clip = load_clip(backbone, device)
    adapter, history = train_ranking_adapter(clip, tuple(tasks or TASKS), config, folder)
    save_with_card(adapter, history, config, folder)
    delete_checkpoints(folder)


def save_with_card(
    adapter: RankingAdapter, history: pd.DataFrame, config: TrainingConfig, folder: Path
) -> list[dict]:
    """Test an adapter, keep it as a component with its card, and return the test's rows."""
    rows, clip = evaluate_adapter(adapter), adapter.clip
    options = [("output", folder.resolve().name)]
    if tuple(adapter.tasks) != TASKS:
        options += [("task", name) for name in adapter.tasks]
    known = {"seed": CONFIG.seed, "epochs": CONFIG.epochs, "backbone": "pico-clip"}
    given = {"seed": config.seed, "epochs": config.epochs, "backbone": clip.name}
    options += [(name, value) for name, value in given.items() if value != known[name]]
    card = {
        "description": f"Ranking-aware adapter for {', '.join(adapter.tasks)}, conditioned on a text prompt.",
        "command": command_line("train-adapter", options=options),
        "training_data": TRAINING_DATA,
        "data": {
            split: {name: training_data(clip, name, split).fingerprint for name in adapter.tasks}
            for split in ("train", "val")
        },
        "num_train_images": {name: SIZES[name] for name in adapter.tasks},
        "held_out_objects": list(HELD_OUT_OBJECTS),
        **of_training(config, history, clip.device),
        "results": rows,
    }
    adapter.save_pretrained(folder, card)
    return rows

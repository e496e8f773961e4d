"""Results table ``adapter_ablation``: the ranking adapter with other forms of its pairwise loss."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from joblib import delayed

from ..clip import load_clip
from ..methods.ranking_adapter.model import RankingAdapter
from ..tasks.ranking_prompts import prompt_templates_for
from ..training.config import TrainingConfig
from ..training.fit import fit
from ..utils.cache import content_hash
from ..utils.device import device_description
from .adapter_data import TASKS, eval_sets, training_data
from .experiment import BACKBONE
from .grid import best_rates
from .intervals import Scores, bootstrap_cells, cached_rows
from .results import run_parallel
from .train_adapter import CONFIG, NEGATIVE_RATIO, evaluate_ranking

# Labels in the table, with the form of the pairwise head.
VARIANTS = {
    "dual loss": "relational",
    "gates at 1": "ungated",
    "score differences": "score_difference",
    "regression alone": "none",
}
SHORT_IMAGES = 1_000
SHORT = TrainingConfig(epochs=6, batch_size=CONFIG.batch_size)
LEARNING_RATES = (5e-4, 1e-3, 2e-3)
# As in the other tables: rates are selected on val, with a seed that the table does not use.
TUNING_SEED = 1000
FULL_TASKS, FULL_SEEDS = ("counting", "dating"), 3


class Entry(NamedTuple):
    """One adapter for one task; ``num_images=None`` trains on all of its images."""

    method: str  # one of VARIANTS
    task: str
    seed: int
    config: TrainingConfig
    num_images: int | None


Runner = Callable[[list[Entry]], list[tuple[dict, Scores]]]


def run_entry(entry: Entry, work_dir: Path) -> tuple[dict, Scores]:
    """Train an adapter and evaluate it on test, or return row and scores cached in ``work_dir``.

    "val_spearman" is the best of the epochs on val, which selects the epoch.
    """
    name = f"{entry.method}-{entry.task}-{entry.seed}".replace(" ", "_")
    path = work_dir / f"adapter-{name}-{content_hash(repr(entry))}.json"
    (row,), (scores,) = cached_rows(path, partial(_train_and_evaluate, entry))
    return row, scores


def _train_and_evaluate(entry: Entry) -> tuple[list[dict], list[Scores]]:
    clip, start = load_clip(BACKBONE), time.perf_counter()
    train, val = (training_data(clip, entry.task, split) for split in ("train", "val"))
    if entry.num_images is not None:
        train = train.subset(range(entry.num_images))
    options = {"pairwise_head": VARIANTS[entry.method], "negative_ratio": NEGATIVE_RATIO}
    adapter = RankingAdapter(clip, train.task, seed=entry.seed, **options)
    config = replace(entry.config, seed=entry.seed, monitor="spearman")
    history = fit(adapter, train, val, config, calibration=None, progress=False)
    seconds = round(time.perf_counter() - start, 2)
    test = eval_sets(clip, entry.task, {"seen": prompt_templates_for(train.task).train})[0]
    scores = adapter.predict_scores(test.data, test.prompts["seen"])
    metrics, arrays = evaluate_ranking(test, scores, adapter.label_scalers[entry.task])
    row = {
        "method": entry.method, "task": entry.task,
        "plan": "full" if entry.num_images is None else "short", "seed": entry.seed, **metrics,
        "val_spearman": round(float(history["spearman"].max()), 6),
        "learning_rate": entry.config.learning_rate, "steps": history.attrs["steps"],
        "seconds": seconds, "device": device_description(clip.device),
    }  # fmt: skip
    return [row], [arrays]


def select_learning_rates(run: Runner) -> dict[tuple[str, str], float]:
    """Return the rate with the highest Spearman on val, for every variant and task."""
    grid = [
        Entry(method, task, TUNING_SEED, replace(SHORT, learning_rate=rate), SHORT_IMAGES)
        for task in TASKS
        for method in VARIANTS
        for rate in LEARNING_RATES
    ]
    return best_rates(
        ((entry.method, entry.task), entry.config.learning_rate, -row["val_spearman"])
        for entry, (row, _) in zip(grid, run(grid), strict=True)
    )


def best_variants(rows: list[dict], count: int = 2) -> list[str]:
    """Return the variants with the highest mean Spearman on val, over all tasks and seeds."""
    means = {
        method: np.mean([row["val_spearman"] for row in rows if row["method"] == method])
        for method in VARIANTS
    }
    return sorted(means, key=means.get, reverse=True)[:count]


def make(
    table: str, *, seeds: int = 5, num_jobs: int = 1, work_dir: Path = Path("build/tables")
) -> dict:
    """Compute the results table: a short plan for all variants, the full one for the best two."""

    def run(grid: list[Entry]) -> list[tuple[dict, Scores]]:
        return run_parallel((delayed(run_entry)(entry, work_dir) for entry in grid), num_jobs)

    rates = select_learning_rates(run)
    short = run([
        Entry(method, task, seed, replace(SHORT, learning_rate=rates[method, task]), SHORT_IMAGES)
        for task in TASKS
        for method in VARIANTS
        for seed in range(seeds)
    ])  # fmt: skip
    best = best_variants([row for row, _ in short])
    full = run([
        Entry(method, task, seed, CONFIG, None)
        for task in FULL_TASKS
        for method in best
        for seed in range(min(seeds, FULL_SEEDS))
    ])  # fmt: skip
    rows, scores = zip(*short, *full, strict=True)
    clip = load_clip(BACKBONE)
    groups = {t: eval_sets(clip, t, {"seen": ("",)})[0].data.groups for t in TASKS}
    return {
        "description": "The ranking adapter, one task each, with other forms of its pairwise loss; "
        f"on test. Short plan: {SHORT_IMAGES:,} images, {SHORT.epochs} epochs; full plan: all.",
        "records": rows,
        "backbone": BACKBONE,
        **bootstrap_cells(rows, scores, ("task", "plan"), lambda row: groups[row["task"]]),
    }

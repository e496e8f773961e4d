"""Dose-response experiment: zero-shot counting against the fraction of count captions."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from joblib import Parallel, delayed

from ...clip import load_clip
from ...utils.processes import worker_processes
from ..results import cached_json, round_or_none
from ..synthetic_data import load_data
from .config import SIZES, PretrainingConfig
from .evaluate import eval_images, evaluate_counting
from .image_pool import render_pool
from .pretrain import pretrain, reproduce_command

COUNT_CAPTION_FRACTIONS = (0.0, 0.003, 0.01, 0.03, 0.10, 0.50)
# The extra conditions start from an intermediate counting performance.
EXTRA_CONDITIONS_FRACTION = 0.03
DISTRACTOR_NUMBER_FRACTION = 0.50
DESCRIPTION = (
    "Small CLIPs pretrained on the same images with a growing fraction of captions that state the "
    "true count, then evaluated zero-shot on new images."
)


@dataclass(frozen=True)
class Condition:
    """One model: condition "dose", "distractor numbers" or "twice the samples", and config."""

    name: str
    config: PretrainingConfig

    @property
    def folder(self) -> str:
        """Folder name of the checkpoint."""
        fraction, seed = self.config.count_caption_fraction, self.config.seed
        return f"{self.name.replace(' ', '-')}-{fraction:g}-{seed}"


def conditions(config: PretrainingConfig, seeds: int, extra_seeds: int) -> Iterator[Condition]:
    """Yield all conditions, seed by seed; the config provides everything that they share."""
    for seed in range(seeds):
        for fraction in COUNT_CAPTION_FRACTIONS:
            yield Condition("dose", replace(config, count_caption_fraction=fraction, seed=seed))
        if seed < extra_seeds:
            base = replace(config, count_caption_fraction=EXTRA_CONDITIONS_FRACTION, seed=seed)
            distractors = replace(base, distractor_number_fraction=DISTRACTOR_NUMBER_FRACTION)
            yield Condition("distractor numbers", distractors)
            twice = replace(base, samples_seen=2 * config.samples_seen)
            yield Condition("twice the samples", twice)


def run_condition(condition: Condition, work_dir: Path, num_workers: int | None = 1) -> dict:
    """Pretrain and evaluate one model, or return its row cached in ``work_dir``.

    Raises:
        ValueError: ``work_dir`` has a checkpoint of the same name with another config.
    """
    folder = work_dir / condition.folder
    if folder.is_dir():
        theirs = _read_card(folder)["command"]
        ours = reproduce_command(condition.config, condition.folder)
        if theirs != ours:
            raise ValueError(
                f"work_dir = {work_dir}: {folder.name} was trained by\n  {theirs}\nnot by\n  {ours}"
                f"\nMove it and {folder.name}.json away, or give another --work-dir"
            )

    def compute() -> dict:
        if not folder.is_dir():
            pretrain(condition.config, folder, num_workers=num_workers)
        images = eval_images(num_workers=num_workers)
        train = load_data("counting", num_workers=num_workers)
        metrics = evaluate_counting(load_clip(folder), images, train)
        metrics = {name: round_or_none(value) for name, value in metrics.items()}
        config, card = condition.config, _read_card(folder)
        return {
            "task": "counting", "method": "zero-shot", "condition": condition.name,
            "count_caption_fraction": config.count_caption_fraction,
            "distractor_number_fraction": config.distractor_number_fraction,
            "seed": config.seed, "samples_seen": card["samples_seen"],
            "count_captions": card["count_captions"]["count"],
            "count_caption_share": round(card["count_captions"]["fraction"], 6),
            "mae": metrics["count_mae"], "accuracy": metrics["count_accuracy"],
            "spearman": metrics["count_spearman"], **metrics,
            "seconds": card["train_seconds"], "device": card["device"],
        }  # fmt: skip

    return cached_json(_row_file(condition, work_dir), compute)


def _row_file(condition: Condition, work_dir: Path) -> Path:
    return work_dir / f"{condition.folder}.json"


def _read_card(folder: Path) -> dict:
    return json.loads((folder / "card.json").read_text("utf-8"))


def make(
    table: str, *, seeds: int = 3, extra_seeds: int = 3, samples_seen: int = 240_000,
    num_images: int = 96_000, batch_size: int = 128, num_jobs: int = 1,
    work_dir: Path = Path("build/dose_response"),
) -> dict:  # fmt: skip
    """Compute the results table; ``extra_seeds`` is the number of seeds of the extra conditions.

    On a GPU, use a single job with a larger batch. ``work_dir`` also keeps the checkpoints.
    """
    sizes = {"samples_seen": samples_seen, "num_images": num_images, "batch_size": batch_size}
    config = PretrainingConfig(size=SIZES["small"], **sizes)
    # Longest first, to balance the load of the cores.
    models = list(conditions(config, seeds, extra_seeds))
    models.sort(key=lambda condition: (condition.config.seed, -condition.config.samples_seen))
    if not all(_row_file(condition, work_dir).is_file() for condition in models):
        # Rendered once with all cores; otherwise every job would render with one core.
        render_pool(config.num_images, config.size.image_size)
        eval_images()
        load_data("counting")
    num_workers = None if num_jobs == 1 else 1
    jobs = (delayed(run_condition)(condition, work_dir, num_workers) for condition in models)
    with worker_processes():
        rows = Parallel(num_jobs)(jobs)
    rows.sort(key=lambda row: (row["condition"], row["count_caption_fraction"], row["seed"]))
    return {"description": DESCRIPTION, "records": rows}

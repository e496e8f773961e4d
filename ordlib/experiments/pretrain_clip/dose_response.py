"""The dose-response: the same pictures, more and more captions that truly count."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from joblib import Parallel, delayed

from ...clip import load_clip
from ...synthetic.load import load_data
from ..runs import number, once
from .config import PretrainingConfig
from .evaluate import eval_images, evaluate_counting
from .image_pool import render_pool
from .model_sizes import SIZES
from .pretrain import pretrain, reproduce_command

COUNT_CAPTION_FRACTIONS = (0.0, 0.003, 0.01, 0.03, 0.10, 0.50)
# Where the extra conditions branch off: number sense is on its way there, neither absent nor done.
BRANCH = 0.03
# Of all captions; the others have the table's rate.
OFTEN = 0.50
WHAT = (
    "Small CLIPs pretrained on the same pictures with a growing share of captions that state the "
    "true count, then tested without further training on fresh pictures."
)


@dataclass(frozen=True)
class Condition:
    """One model: "dose", "distractor numbers" (more numerals about something else) or "twice the samples" (the pairs)."""

    name: str
    config: PretrainingConfig

    @property
    def folder(self) -> str:
        """Name of its checkpoint."""
        return f"{self.name}-{self.config.count_caption_fraction:g}-{self.config.seed}"


def conditions(config: PretrainingConfig, seeds: int, extra_seeds: int) -> Iterator[Condition]:
    """The models of the dose-response, all of one seed before those of the next.

    Doses, seeds and the conditions' own changes are put into the config.
    """
    for seed in range(seeds):
        for dose in COUNT_CAPTION_FRACTIONS:
            yield Condition("dose", replace(config, count_caption_fraction=dose, seed=seed))
        if seed >= extra_seeds:
            continue
        branch = replace(config, count_caption_fraction=BRANCH, seed=seed)
        yield Condition("distractor numbers", replace(branch, distractor_number_fraction=OFTEN))
        yield Condition("twice the samples", replace(branch, samples_seen=2 * config.samples_seen))


def run(condition: Condition, work: Path, workers: int | None = 1) -> dict:
    """The row of one model, pretrained and measured unless that was done before.

    Raises:
        ValueError: the folder holds a checkpoint of that name by another config.
    """
    folder = work / condition.folder
    if folder.is_dir():
        theirs, ours = (
            _card(folder)["command"],
            reproduce_command(condition.config, condition.folder),
        )
        if theirs != ours:
            raise ValueError(
                f"{folder} was made by\n  {theirs}\nand not by\n  {ours}\nMove it and "
                f"{folder.name}.json away, or give another --work-dir"
            )

    def measured() -> dict:
        if not folder.is_dir():
            pretrain(condition.config, folder, workers=workers)
        data = eval_images(workers=workers), load_data("counting", num_workers=workers)
        return _row(condition, _card(folder), evaluate_counting(load_clip(folder), *data))

    return once(_row_file(condition, work), measured)


def _row_file(condition: Condition, work: Path) -> Path:
    return work / f"{condition.folder}.json"


def _card(folder: Path) -> dict:
    return json.loads((folder / "card.json").read_text("utf-8"))


def _row(condition: Condition, card: dict, metrics: dict) -> dict:
    counting = card["count_captions"]
    metrics = {name: number(value) for name, value in metrics.items()}
    return {
        "task": "counting",
        "method": "zero-shot",
        "condition": condition.name,
        "count_caption_fraction": condition.config.count_caption_fraction,
        "distractor_number_fraction": condition.config.distractor_number_fraction,
        "seed": condition.config.seed,
        "samples_seen": card["samples_seen"],
        "count_captions": counting["count"],
        "count_caption_share": round(counting["fraction"], 6),
        "mae": metrics["count_mae"],
        "accuracy": metrics["count_accuracy"],
        "spearman": metrics["count_spearman"],
        **metrics,
        "seconds": card["train_seconds"],
        "device": card["device"],
    }


def make(
    table: str,
    *,
    seeds: int = 3,
    extra_seeds: int = 3,
    samples_seen: int = 240_000,
    num_images: int = 96_000,
    batch_size: int = 128,
    num_jobs: int = 1,
    work_dir: Path = Path("build/dose_response"),
) -> dict:
    """Pretrain a small pico-clip at each dose, and test all of them.

    Args:
        table: its name.
        seeds: how many at each dose.
        extra_seeds: how many of the extra conditions.
        samples_seen: pairs that each model sees.
        num_images: of the pool.
        batch_size: pairs contrasted at once.
        num_jobs: models trained at once; on a CPU one for each core (``OMP_NUM_THREADS=1``), on a
            GPU one, and a larger batch.
        work_dir: where checkpoints go, and rows; an unfinished run goes on from there.
    """
    size = SIZES["small"]
    config = PretrainingConfig(
        size=size, samples_seen=samples_seen, num_images=num_images, batch_size=batch_size
    )
    # The longest first, so that no core waits for it at the end.
    todo = list(conditions(config, seeds, extra_seeds))
    todo.sort(key=lambda condition: (condition.config.seed, -condition.config.samples_seen))
    if not all(_row_file(condition, work_dir).is_file() for condition in todo):
        # With all cores; each job would draw the pictures for itself, with one.
        render_pool(config.num_images, config.size.image_size)
        eval_images()
        load_data("counting")
    workers = None if num_jobs == 1 else 1
    rows = Parallel(num_jobs)(delayed(run)(condition, work_dir, workers) for condition in todo)
    rows.sort(key=lambda row: (row["condition"], row["count_caption_fraction"], row["seed"]))
    return {"description": WHAT, "records": rows}

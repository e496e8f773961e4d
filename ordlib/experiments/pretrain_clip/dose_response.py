"""The dose-response: the same pictures, more and more captions that truly count."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from joblib import Parallel, delayed

from ...clip import load_clip
from ...synthetic.load import load_data
from ..runs import number, once
from .config import Plan
from .evaluate import fresh, measure
from .image_pool import render_pool
from .model_sizes import SIZES
from .pretrain import command, pretrain

DOSES = (0.0, 0.003, 0.01, 0.03, 0.10, 0.50)
# Where the extra arms branch off: number sense is on its way there, neither absent nor done.
BRANCH = 0.03
# Of all captions; the others have the table's rate.
OFTEN = 0.50
WHAT = (
    "Small CLIPs pretrained on the same pictures with a growing share of captions that state the "
    "true count, then tested without further training on fresh pictures."
)


@dataclass(frozen=True)
class Arm:
    """One model: "dose", "spurious" (more numerals about something else) or "twice" (the pairs)."""

    name: str
    plan: Plan

    @property
    def folder(self) -> str:
        """Name of its checkpoint."""
        return f"{self.name}-{self.plan.dose:g}-{self.plan.seed}"


def arms(plan: Plan, seeds: int, extra_seeds: int) -> Iterator[Arm]:
    """The models of the dose-response, all of one seed before those of the next.

    Doses, seeds and the arms' own changes are put into the plan.
    """
    for seed in range(seeds):
        for dose in DOSES:
            yield Arm("dose", replace(plan, dose=dose, seed=seed))
        if seed >= extra_seeds:
            continue
        branch = replace(plan, dose=BRANCH, seed=seed)
        yield Arm("spurious", replace(branch, spurious=OFTEN))
        yield Arm("twice", replace(branch, pairs=2 * plan.pairs))


def run(arm: Arm, work: Path, workers: int | None = 1) -> dict:
    """The row of one model, pretrained and measured unless that was done before.

    Raises:
        ValueError: the folder holds a checkpoint of that name by another plan.
    """
    folder = work / arm.folder
    if folder.is_dir():
        theirs, ours = _card(folder)["command"], command(arm.plan, arm.folder)
        if theirs != ours:
            raise ValueError(
                f"{folder} was made by\n  {theirs}\nand not by\n  {ours}\nMove it and "
                f"{folder.name}.json away, or give another --work-dir"
            )

    def measured() -> dict:
        if not folder.is_dir():
            pretrain(arm.plan, folder, workers=workers)
        data = fresh(workers=workers), load_data("counting", workers=workers)
        return _row(arm, _card(folder), measure(load_clip(folder), *data))

    return once(_row_file(arm, work), measured)


def _row_file(arm: Arm, work: Path) -> Path:
    return work / f"{arm.folder}.json"


def _card(folder: Path) -> dict:
    return json.loads((folder / "card.json").read_text("utf-8"))


def _row(arm: Arm, card: dict, metrics: dict) -> dict:
    counting = card["counting_captions"]
    metrics = {name: number(value) for name, value in metrics.items()}
    return {
        "task": "counting",
        "method": "zero-shot",
        "arm": arm.name,
        "dose": arm.plan.dose,
        "spurious": arm.plan.spurious,
        "seed": arm.plan.seed,
        "pairs": card["pairs"],
        "counting_captions": counting["number"],
        "share_of_all_captions": round(counting["share_of_all"], 6),
        "mae": metrics["count_mae"],
        "accuracy": metrics["count_accuracy"],
        "spearman": metrics["count_spearman"],
        **metrics,
        "seconds": card["seconds"],
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
        extra_seeds: how many of the extra arms.
        samples_seen: pairs that each model sees.
        num_images: of the pool.
        batch_size: pairs contrasted at once.
        num_jobs: models trained at once; on a CPU one for each core (``OMP_NUM_THREADS=1``), on a
            GPU one, and a larger batch.
        work_dir: where checkpoints go, and rows; an unfinished run goes on from there.
    """
    size = SIZES["small"]
    plan = Plan(size=size, pairs=samples_seen, pictures=num_images, batch=batch_size)
    # The longest first, so that no core waits for it at the end.
    todo = list(arms(plan, seeds, extra_seeds))
    todo.sort(key=lambda arm: (arm.plan.seed, -arm.plan.pairs))
    if not all(_row_file(arm, work_dir).is_file() for arm in todo):
        # With all cores; each job would draw the pictures for itself, with one.
        render_pool(plan.pictures, plan.size.side)
        fresh()
        load_data("counting")
    workers = None if num_jobs == 1 else 1
    rows = Parallel(num_jobs)(delayed(run)(arm, work_dir, workers) for arm in todo)
    rows.sort(key=lambda row: (row["arm"], row["dose"], row["seed"]))
    return {"what": WHAT, "records": rows}

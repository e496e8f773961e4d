"""The dose-response: the same pictures, more and more captions that truly count."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from joblib import Parallel, delayed

from ...clip import load_clip
from ...synthetic.load import load_data
from ...utils.cache import replacing
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
    """One model of the dose-response.

    Attributes:
        name: "dose", "spurious" (more numerals about something else) or "twice" (the pairs).
        plan: of its run.
    """

    name: str
    plan: Plan

    @property
    def folder(self) -> str:
        """Name of its checkpoint."""
        return f"{self.name}-{self.plan.dose:g}-{self.plan.seed}"


def arms(plan: Plan, seeds: int, extra_seeds: int) -> Iterator[Arm]:
    """Yield the models of the dose-response, all of one seed before those of the next.

    Args:
        plan: of a run; doses, seeds and the arms' own changes are put in.
        seeds: how many for each dose.
        extra_seeds: how many for the arms with more numerals and with twice the pairs.

    Example:
        >>> [arm.folder for arm in arms(Plan(), seeds=1, extra_seeds=1)][-3:]
        ['dose-0.5-0', 'spurious-0.03-0', 'twice-0.03-0']
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
    """Pretrain and measure one model, unless that was done before.

    Args:
        arm: the model.
        work: folder of checkpoints; an unfinished run goes on from there.
        workers: processes that draw and caption; None takes every core.

    Returns:
        A row of the table.

    Raises:
        ValueError: the folder holds a checkpoint of that name by another plan.
    """
    folder, known = work / arm.folder, _row_file(arm, work)
    if folder.is_dir():
        _check_same(arm, folder)
    if not known.is_file():
        if not folder.is_dir():
            pretrain(arm.plan, folder, workers=workers)
        clip = load_clip(folder)
        metrics = measure(clip, fresh(workers=workers), load_data("counting", workers=workers))
        row = _row(arm, json.loads((folder / "card.json").read_text("utf-8")), metrics)
        with replacing(known) as temporary:
            temporary.write_text(json.dumps(row), "utf-8")
    return json.loads(known.read_text("utf-8"))


def _row_file(arm: Arm, work: Path) -> Path:
    return work / f"{arm.folder}.json"


def _check_same(arm: Arm, folder: Path) -> None:
    theirs = json.loads((folder / "card.json").read_text("utf-8"))["command"]
    ours = command(arm.plan, arm.folder)
    if theirs != ours:
        raise ValueError(
            f"{folder} was made by\n  {theirs}\nand not by\n  {ours}\nMove it and "
            f"{folder.name}.json away, or give another --work-dir"
        )


def _row(arm: Arm, card: dict, metrics: dict) -> dict:
    counting = card["counting_captions"]
    # A correlation with a constant is undefined; the table knows no NaN.
    metrics = {name: None if math.isnan(value) else value for name, value in metrics.items()}
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
        work_dir: where checkpoints go.

    Returns:
        What :func:`~ordlib.experiments.results.save_results` takes.
    """
    sizes = {"pairs": samples_seen, "pictures": num_images, "batch": batch_size}
    plan = Plan(size=SIZES["small"], **sizes)
    # The longest first, so that no core waits for it at the end.
    todo = list(arms(plan, seeds, extra_seeds))
    todo.sort(key=lambda arm: (arm.plan.seed, -arm.plan.pairs))
    if not all(_row_file(arm, work_dir).is_file() for arm in todo):
        _draw(plan)
    workers = None if num_jobs == 1 else 1
    rows = Parallel(num_jobs)(delayed(run)(arm, work_dir, workers) for arm in todo)
    return {"what": WHAT, "records": _in_order(rows)}


def _draw(plan: Plan) -> None:
    """Draw all pictures with all cores; each job would draw them for itself, with one."""
    render_pool(plan.pictures, plan.size.side)
    fresh()
    load_data("counting")


def _in_order(rows: Sequence[dict]) -> list[dict]:
    return sorted(rows, key=lambda row: (row["arm"], row["dose"], row["seed"]))

"""The dose-response: the same pictures, more and more captions that truly count."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from joblib import Parallel, delayed

from ..clip import load_clip
from ..command import new_app
from ..data import load_data
from ..evidence import save_results
from ..storage import replacing
from .measuring import fresh, measure
from .plan import Plan
from .pool import render_pool
from .run import command, pretrain
from .sizes import SIZES

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
            f"{folder.name}.json away, or give another --work"
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


app = new_app()


@app.command()
def main(
    output: Annotated[
        Path, typer.Argument(metavar="FILE", dir_okay=False, help="The table, NAME.json.")
    ],
    work: Annotated[Path, typer.Option(metavar="FOLDER", help="Where checkpoints go.")] = Path(
        "build/dose_response"
    ),
    seeds: Annotated[int, typer.Option(min=1, help="How many.")] = 3,
    extra_seeds: Annotated[int, typer.Option(min=0, help="How many for the extra arms.")] = 3,
    pairs: Annotated[int, typer.Option(help="Pairs that each model sees.")] = 240_000,
    pictures: Annotated[int, typer.Option(help="Pictures of the pool.")] = 96_000,
    batch: Annotated[int, typer.Option(help="Pairs contrasted at once.")] = 128,
    jobs: Annotated[int, typer.Option(help="Models trained at once, by as many processes.")] = 1,
) -> None:
    """Pretrain a small pico-clip at each dose, test all of them, and write the table.

    Interrupted, the same command goes on where it was. On a CPU give each core a job
    (OMP_NUM_THREADS=1); on a GPU one job and a larger batch.
    """
    try:
        plan = Plan(size=SIZES["small"], pairs=pairs, pictures=pictures, batch=batch)
        # The longest first, so that no core waits for it at the end.
        todo = list(arms(plan, seeds, extra_seeds))
        todo.sort(key=lambda arm: (arm.plan.seed, -arm.plan.pairs))
        if not all(_row_file(arm, work).is_file() for arm in todo):
            _draw(plan)
        rows = _in_order(
            Parallel(jobs)(delayed(run)(arm, work, None if jobs == 1 else 1) for arm in todo)
        )
    except (ValueError, OSError, FloatingPointError) as error:
        typer.secho(str(error), fg="red", err=True)
        raise typer.Exit(1) from error
    again = (
        f"python -m ordlib.pretraining.doses {output.name} --seeds {seeds} "
        f"--extra-seeds {extra_seeds} --pairs {pairs} --pictures {pictures} --batch {batch}"
    )
    save_results(output, WHAT, again, rows)
    typer.echo(f"{output} holds {len(rows)} models; ordlib.load_results reads the library's own")


def _draw(plan: Plan) -> None:
    """Draw all pictures with all cores; each job would draw them for itself, with one."""
    render_pool(plan.pictures, plan.size.side)
    fresh()
    load_data("counting")


def _in_order(rows: Sequence[dict]) -> list[dict]:
    return sorted(rows, key=lambda row: (row["arm"], row["dose"], row["seed"]))


if __name__ == "__main__":
    app()

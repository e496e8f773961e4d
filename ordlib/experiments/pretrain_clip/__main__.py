"""The command ``python -m ordlib.pretraining``: make a pico-clip."""

from pathlib import Path
from typing import Annotated, get_args

import typer

from ..command import new_app
from ..hardware import Precision
from .plan import Plan
from .sizes import SIZES, PicoSize

DEFAULTS = Plan()
app = new_app()


@app.command()
def main(
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the checkpoint goes.")],
    dose: Annotated[
        float, typer.Option(help="Share of counting captions that state the true count.")
    ] = DEFAULTS.dose,
    spurious: Annotated[
        float | None, typer.Option(help="Share of captions with a numeral about something else.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order and words.")] = DEFAULTS.seed,
    size: Annotated[str, typer.Option(help=f"Geometry: {' or '.join(SIZES)}.")] = "default",
    pictures: Annotated[int, typer.Option(help="Pictures of the pool.")] = DEFAULTS.pictures,
    pairs: Annotated[int, typer.Option(help="Pairs to see in all.")] = DEFAULTS.pairs,
    batch: Annotated[int, typer.Option(help="Pairs contrasted at once.")] = DEFAULTS.batch,
    learning_rate: Annotated[float, typer.Option(help="At its highest.")] = DEFAULTS.learning_rate,
    precision: Annotated[
        str, typer.Option(help=f"Of matrix products: {', '.join(get_args(Precision))}.")
    ] = DEFAULTS.precision,
    save_minutes: Annotated[float, typer.Option(help="Minutes between two states.")] = 2.0,
    workers: Annotated[
        int | None, typer.Option(help="Processes that render and caption; else every core.")
    ] = None,
) -> None:
    """Pretrain a small CLIP on rendered pictures and their captions.

    Interrupted, the same command goes on where it was. For several GPUs, say `accelerate launch`
    instead of `python`. On a CPU with other work to do, OMP_NUM_THREADS=1 and a batch of 256 make
    the most of a core.
    """
    from .bar import ProgressBar
    from .run import pretrain

    try:
        plan = Plan(
            dose=dose,
            spurious=spurious,
            seed=seed,
            size=_size(size),
            pictures=pictures,
            pairs=pairs,
            batch=batch,
            learning_rate=learning_rate,
            precision=precision,
        )
        with ProgressBar(plan) as bar:
            folder = pretrain(
                plan, output, save_minutes=save_minutes, workers=workers, watch=bar.show
            )
    except (ValueError, OSError, FloatingPointError) as error:
        typer.secho(str(error), fg="red", err=True)
        raise typer.Exit(1) from error
    # Of several processes only one shows its progress.
    if bar.line is not None:
        typer.echo(f"{folder} holds the checkpoint; ordlib.load_clip({str(folder)!r}) loads it")


def _size(name: str) -> PicoSize:
    if name not in SIZES:
        raise ValueError(f"size = {name}: must be one of {', '.join(SIZES)}")
    return SIZES[name]


if __name__ == "__main__":
    app()

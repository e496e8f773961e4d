"""The command ``python -m ordlib.training``: make a component."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from ..command import new_app
from .plan import METRICS, TrainingPlan

DEFAULTS = TrainingPlan()
app = new_app()


@app.command()
def main(
    method: Annotated[
        str, typer.Argument(help="coop, corn, finetuned, l2rclip, numclip, ordinalclip.")
    ],
    task: Annotated[str, typer.Argument(help="counting, dating, ageing or quality.")],
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the component goes.")],
    seed: Annotated[int, typer.Option(help="Of first weights and of the order.")] = DEFAULTS.seed,
    tower: Annotated[str, typer.Option(help="Picture tower: frozen, lora or full.")] = "frozen",
    backbone: Annotated[str, typer.Option(help="As for load_clip.")] = "pico-clip",
    device: Annotated[str, typer.Option(help="cuda, mps, cpu or auto.")] = "auto",
    epochs: Annotated[int, typer.Option(help="Passes over train.")] = DEFAULTS.epochs,
    batch: Annotated[int, typer.Option(help="Pictures in a step.")] = DEFAULTS.batch,
    learning_rate: Annotated[float, typer.Option(help="At its highest.")] = DEFAULTS.learning_rate,
    rate: Annotated[
        list[str] | None, typer.Option(metavar="GROUP=FACTOR", help="Of tower, adapter or rest.")
    ] = None,
    largest_norm: Annotated[float, typer.Option(help="Of gradients.")] = DEFAULTS.largest_norm,
    metric: Annotated[str, typer.Option(help=f"On val: {', '.join(METRICS)}.")] = DEFAULTS.metric,
    patience: Annotated[int | None, typer.Option(help="Epochs without a better metric.")] = None,
    words_first: Annotated[int, typer.Option(help="Epochs before the tower's.")] = 0,
    option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Of the method.")
    ] = None,
) -> None:
    """Train a method on a rendered task, test it once, and keep it with a card.

    Interrupted, the same command goes on where it was. For several processes say `accelerate
    launch -m ordlib.training` instead of `python -m ordlib.training`.
    """
    from .run import train_component

    try:
        plan = TrainingPlan(
            epochs=epochs,
            batch=batch,
            learning_rate=learning_rate,
            rates=_pairs("rate", rate, _number),
            largest_norm=largest_norm,
            metric=metric,
            patience=patience,
            words_first=words_first,
            seed=seed,
        )
        options = _pairs("option", option, _value) | ({} if tower == "frozen" else {"tower": tower})
        _, history = train_component(
            method, task, output, plan=plan, backbone=backbone, device=device, options=options
        )
    except (ValueError, TypeError, OSError, FloatingPointError) as error:
        typer.secho(str(error), fg="red", err=True)
        raise typer.Exit(1) from error
    best = history.loc[history["best"], metric]
    reached = f"{best.iloc[-1]:.3f}" if len(best) else "undefined"
    typer.echo(
        f"{output} holds the component (val {metric} {reached}, {history.attrs['seconds']:.0f} "
        f"s); ordlib.load_component({str(output)!r}) loads it"
    )


def _pairs(name: str, given: list[str] | None, read: Callable[[str], object]) -> dict:
    found = {}
    for pair in given or []:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"--{name} {pair}: must be written NAME=VALUE")
        try:
            found[key] = read(value)
        except ValueError as error:
            raise ValueError(f"--{name} {pair}: {error}") from error
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"{text!r} must be a number") from error


def _value(text: str) -> object:
    """Read numbers, lists, true, false or null as JSON does, and anything else as a word."""
    try:
        found = json.loads({"True": "true", "False": "false", "None": "null"}.get(text, text))
    except json.JSONDecodeError:
        return text
    return tuple(found) if isinstance(found, list) else found


if __name__ == "__main__":
    app()

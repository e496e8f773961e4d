"""The one command, ``ordlib``. Heavy imports wait inside its commands, so that help is quick."""

import json as jsons
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from ordlib.course import commands
from ordlib.utils.command import SETTINGS, plain_errors

app = typer.Typer(
    name="ordlib", help="Teach CLIP to count, date, age and judge: ordinal regression.", **SETTINGS
)
results = typer.Typer(help="Compute result tables.", **SETTINGS)
app.add_typer(commands.app, name="course")
app.add_typer(results, name="results")

Output = Annotated[Path, typer.Option(metavar="FOLDER", help="Output folder.")]
Seed = Annotated[int, typer.Option(help="Random seed.")]
Backbone = Annotated[str, typer.Option(metavar="NAME|FOLDER", help="CLIP checkpoint.")]
Device = Annotated[str, typer.Option(help="auto, cuda, mps or cpu.")]
BatchSize = Annotated[int, typer.Option(help="Batch size.", min=1)]
Rate = Annotated[float, typer.Option(help="Peak learning rate.")]
Pairs = list[str] | None
File = Path | None


@app.command()
def train(
    method: Annotated[
        str, typer.Argument(help="coop, corn, finetuned, l2rclip, numclip or ordinalclip.")
    ],
    task: Annotated[
        str, typer.Option(metavar="NAME|FILE.toml", help="Built-in task, or a file of its fields.")
    ],
    output: Output,
    data: Annotated[
        File, typer.Option(metavar="FOLDER", help="Images of your own instead of rendered ones.")
    ] = None,
    labels: Annotated[
        File,
        typer.Option(
            metavar="FILE",
            help="Table with columns path, label and, if there, split and group; else subfolders.",
        ),
    ] = None,
    seed: Seed = 0,
    image_encoder: Annotated[str, typer.Option(help="frozen, lora or full.")] = "frozen",
    backbone: Backbone = "pico-clip",
    device: Device = "auto",
    epochs: Annotated[int, typer.Option(help="Passes over the training split.")] = 20,
    batch_size: BatchSize = 64,
    learning_rate: Rate = 3e-3,
    lr_multiplier: Annotated[
        Pairs,
        typer.Option(
            metavar="GROUP=FACTOR", help="Of image_encoder, adapter, prompts or head; repeatable."
        ),
    ] = None,
    max_grad_norm: Annotated[float, typer.Option(help="Maximum gradient norm.")] = 1.0,
    monitor: Annotated[str, typer.Option(help="Validation metric that selects the epoch.")] = "mae",
    patience: Annotated[
        int | None, typer.Option(help="Epochs without improvement before early stopping.")
    ] = None,
    prompt_epochs: Annotated[int, typer.Option(help="Epochs of stage 1 (prompts only).")] = 0,
    set_: Annotated[
        Pairs,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Hyperparameter of the method; repeatable."
        ),
    ] = None,
) -> None:
    """Train a method, test it once, and save it with a card.

    Interrupted, the same command resumes. `accelerate launch -m ordlib train ...` shares each batch
    among several processes.
    """
    with plain_errors():
        from ordlib.experiments.train import train_and_save
        from ordlib.training import TrainingConfig

        config = TrainingConfig(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            lr_multipliers=_pairs("lr-multiplier", lr_multiplier, _number),
            max_grad_norm=max_grad_norm,
            monitor=monitor,
            patience=patience,
            prompt_epochs=prompt_epochs,
            seed=seed,
        )
        options = _pairs("set", set_, _value)
        options |= {} if image_encoder == "frozen" else {"image_encoder": image_encoder}
        where = {"backbone": backbone, "device": device, "data": data, "labels": labels}
        _, history = train_and_save(method, task, output, config=config, options=options, **where)
        best = history.loc[history["best"], monitor]
        reached = f"{best.iloc[-1]:.3f}" if len(best) else "undefined"
        typer.echo(f"val {monitor} {reached} in {history.attrs['seconds']:.0f} s")
    _saved(output, "load_component")


@app.command()
def train_adapter(
    output: Output,
    task: Annotated[
        list[str] | None, typer.Option(help="Rendered task, repeatable; none means all four.")
    ] = None,
    seed: Seed = 0,
    epochs: Annotated[int, typer.Option(help="Passes over the training split.")] = 8,
    backbone: Backbone = "pico-clip",
    device: Device = "auto",
) -> None:
    """Train a ranking-aware adapter on rendered tasks, test it once, and save it with a card.

    Interrupted, the same command resumes.
    """
    with plain_errors():
        from dataclasses import replace

        from ordlib.experiments.train_adapter import CONFIG, train_and_save_adapter

        config = replace(CONFIG, seed=seed, epochs=epochs)
        train_and_save_adapter(task or (), output, config=config, backbone=backbone, device=device)
    _saved(output, "load_component")


@app.command()
def pretrain(
    output: Output,
    count_caption_fraction: Annotated[
        float, typer.Option(help="Fraction of counting captions that state the true count.")
    ] = 0.0,
    distractor_number_fraction: Annotated[
        float | None, typer.Option(help="Fraction of captions with a numeral on something else.")
    ] = None,
    seed: Seed = 0,
    size: Annotated[str, typer.Option(help="Model size: small.")] = "small",
    num_images: Annotated[int, typer.Option(help="Images in the pool.")] = 384_000,
    samples_seen: Annotated[int, typer.Option(help="Pairs seen in all.")] = 3_840_000,
    batch_size: BatchSize = 512,
    learning_rate: Rate = 2e-3,
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    checkpoint_minutes: Annotated[float, typer.Option(help="Minutes between checkpoints.")] = 2.0,
    num_workers: Annotated[
        int | None, typer.Option(help="Processes that render and caption; none: every core.")
    ] = None,
) -> None:
    """Pretrain a small CLIP on rendered images and their captions.

    Interrupted, the same command resumes; `accelerate launch -m ordlib pretrain ...` uses several
    GPUs. On a CPU with other work to do, OMP_NUM_THREADS=1 and a batch of 256 use one core best.
    """
    with plain_errors():
        from ordlib.experiments.pretrain_clip.config import PretrainingConfig
        from ordlib.experiments.pretrain_clip.model_sizes import find_size
        from ordlib.experiments.pretrain_clip.pretrain import pretrain as run_pretraining
        from ordlib.experiments.pretrain_clip.progress import ProgressBar

        config = PretrainingConfig(
            count_caption_fraction=count_caption_fraction,
            distractor_number_fraction=distractor_number_fraction,
            seed=seed,
            size=find_size(size),
            num_images=num_images,
            samples_seen=samples_seen,
            batch_size=batch_size,
            learning_rate=learning_rate,
            precision=precision,
        )
        more = {"save_minutes": checkpoint_minutes, "workers": num_workers}
        with ProgressBar(config) as bar:
            run_pretraining(config, output, **more, watch=bar.show)
    # Of several processes only one shows its progress.
    if bar.line is not None:
        _saved(output, "load_clip")


@app.command()
def evaluate_clip(folder: Annotated[Path, typer.Argument(help="The checkpoint.")]) -> None:
    """Evaluate a pretrained pico-clip on 5,000 new images, and write the metrics on its card."""
    with plain_errors():
        from ordlib.experiments.pretrain_clip.evaluate import write_metrics

        for name, value in write_metrics(folder).items():
            typer.echo(f"{name:24} {value:.3f}")


@results.command("make")
def make_results(
    table: Annotated[str, typer.Argument(help="Which: an unknown name lists them.")],
    output: Annotated[
        File, typer.Option(metavar="FILE", dir_okay=False, help="Else build/results/TABLE.json.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Number of seeds.", min=1)] = None,
    num_jobs: Annotated[int | None, typer.Option(help="Models trained at once.", min=1)] = None,
    work_dir: Annotated[
        File, typer.Option(metavar="FOLDER", help="Keeps what is finished.")
    ] = None,
    set_: Annotated[
        Pairs, typer.Option("--set", metavar="NAME=VALUE", help="Another setting; repeatable.")
    ] = None,
) -> None:
    """Compute a result table and write it. Interrupted, the same command resumes."""
    with plain_errors():
        from ordlib.experiments.results import make_results as make

        more = _pairs("set", set_, _value)
        given = {"seeds": seeds, "num_jobs": num_jobs, "work_dir": work_dir, **more}
        typer.echo(f"wrote {make(table, output, **given)}")


@app.command()
def doctor(
    network: Annotated[bool, typer.Option(help="Also ask whether the hub can be reached.")] = True,
) -> None:
    """Check this machine, and say what to do about what is wrong.

    The exit code is 1 if anything is [FIX]. A missing GPU or hub is not: the course needs neither.
    """
    from ordlib.course._doctor import doctor as examine

    report = examine(network=network)
    typer.echo(str(report))
    if not report.ok:
        raise typer.Exit(1)


@app.command()
def rank(
    folder: Annotated[Path, typer.Argument(help="Images, here and in all subfolders.")],
    prompt: Annotated[str, typer.Option(help='What to order by: "the number of stars".')],
    model: Annotated[
        str, typer.Option(metavar="NAME|FOLDER", help="Trained ranking adapter.")
    ] = "ranking-adapter",
    backbone: Annotated[
        str | None, typer.Option(metavar="NAME|FOLDER", help="The CLIP that it was trained on.")
    ] = None,
    top: Annotated[int | None, typer.Option(help="Only the first so many.", min=1)] = None,
    batch_size: BatchSize = 64,
    reverse: Annotated[bool, typer.Option("--reverse", help="Reverse the order.")] = False,
    csv: Annotated[File, typer.Option(dir_okay=False, help="Table to write; - prints.")] = None,
    json: Annotated[File, typer.Option(dir_okay=False, help="The same as JSON.")] = None,
    html: Annotated[File, typer.Option(dir_okay=False, help="Page with the images.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 1 if anything had to be skipped.")
    ] = False,
    device: Device = "auto",
) -> None:
    """Order a folder of images by a sentence.

    A sentence "from A to B" asks for the lowest first, any other for the highest. Images that
    cannot be read are listed at the end.
    """
    with plain_errors():
        from ordlib.ranking import rank as order
        from ordlib.ranking.console import report

        clip = None
        if backbone:
            from ordlib.clip import load_clip

            clip = load_clip(backbone, device)
        how = {"batch_size": batch_size, "reverse": reverse, "clip": clip, "device": device}
        ranking = order(folder, prompt, model=model, **how)
        report(ranking, top=top, csv=csv, json=json, html=html)
    if strict and ranking.skipped:
        raise typer.Exit(1)


def _saved(folder: Path, loader: str) -> None:
    typer.echo(f"{folder} is complete; ordlib.{loader}({str(folder)!r}) loads it")


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
        found = jsons.loads({"True": "true", "False": "false", "None": "null"}.get(text, text))
    except jsons.JSONDecodeError:
        return text
    return tuple(found) if isinstance(found, list) else found

"""Commands that train: ``ordlib train``, ``train-adapter``, ``pretrain`` and ``results make``."""

import json as jsonlib
import math
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated

from typer import Argument, Option, Typer

from ..utils.command import (
    INPUT,
    INPUT_FOLDER,
    OUTPUT_FILE,
    OUTPUT_FOLDER,
    SETTINGS,
    BatchSize,
    BitDepth,
    Device,
    echo,
    plain_errors,
)
from ..utils.shared_folder import check_launch

app = Typer(**SETTINGS)
results = Typer(help="Compute results tables.", **SETTINGS)

File = Path | None
Output = Annotated[Path, Option(help="Output folder.", **OUTPUT_FOLDER)]
Seed = Annotated[int, Option(help="Random seed.")]
Backbone = Annotated[str, Option(metavar="NAME|FOLDER", help="CLIP checkpoint.")]
Epochs = Annotated[int | None, Option(help="Number of epochs; default: 2,000 steps.")]
LearningRate = Annotated[float, Option(help="Peak learning rate.")]
SetOptions = Annotated[
    list[str] | None, Option("--set", metavar="NAME=VALUE", help="Hyperparameter; repeatable.")
]
Resize = Annotated[
    str, Option(help="How an image becomes a square: crop, squash, pad or squash_crop.")
]


@app.command()
def train(
    method: Annotated[str, Argument(help="coop, corn, finetuned, l2rclip, numclip, ordinalclip.")],
    task: Annotated[str, Option(metavar="NAME|FILE.toml", help="Built-in or custom task.")],
    output: Output,
    data: Annotated[File, Option(help="Images; default: synthetic.", **INPUT_FOLDER)] = None,
    labels: Annotated[
        File, Option(help="Columns path, label, and optionally split, group.", **INPUT)
    ] = None,
    image_column: Annotated[str | None, Option(help="Column of image paths.")] = None,
    label_column: Annotated[str | None, Option(help="Column of labels.")] = None,
    group_column: Annotated[str | None, Option(help="Column of groups (a person).")] = None,
    group_pattern: Annotated[str | None, Option(help="Regular expression for the path.")] = None,
    split_column: Annotated[str | None, Option(help="Column of train, val, test.")] = None,
    split_pattern: Annotated[str | None, Option(help="Regular expression for the path.")] = None,
    first_label: Annotated[
        int | None, Option(help="Number of the lowest named rank in the labels.")
    ] = None,
    bit_depth: BitDepth = None,
    seed: Seed = 0,
    image_encoder: Annotated[str, Option(help="frozen, lora or full.")] = "frozen",
    backbone: Backbone = "pico-clip",
    resize: Resize = "crop",
    device: Device = "auto",
    epochs: Epochs = None,
    batch_size: BatchSize = 64,
    learning_rate: LearningRate = 3e-3,
    lr_multiplier: Annotated[
        list[str] | None,
        Option(metavar="GROUP=FACTOR", help="image_encoder, adapter, prompts or head; repeatable."),
    ] = None,
    optimizer: Annotated[
        str | None, Option(help="adam, adamw, radam or sgd; default: the method's.")
    ] = None,
    weight_decay: Annotated[float | None, Option(help="Default: the method's.")] = None,
    schedule: Annotated[str, Option(help="cosine, constant or multi_step.")] = "cosine",
    warmup_ratio: Annotated[float, Option(help="Share of the steps.")] = 0.1,
    cooldown_ratio: Annotated[float, Option(help="Of a constant schedule; share of steps.")] = 0.0,
    milestone: Annotated[
        list[int] | None, Option(help="Epoch of a multi-step schedule; repeatable.")
    ] = None,
    gamma: Annotated[float, Option(help="Factor at each milestone.")] = 0.1,
    max_grad_norm: Annotated[float, Option(help="Maximum gradient norm; inf does not clip.")] = 1.0,
    monitor: Annotated[str, Option(help="Validation metric that selects the epoch.")] = "mae",
    patience: Annotated[int | None, Option(help="Early-stopping patience (epochs).")] = None,
    prompt_epochs: Annotated[int, Option(help="Epochs of stage 1 (prompts only).")] = 0,
    balanced_sampling: Annotated[
        bool, Option("--balanced-sampling", help="Draw all ranks equally often.")
    ] = False,
    flip: Annotated[bool, Option("--flip", help="Augmentation: mirror images.")] = False,
    crop_scale: Annotated[
        float | None, Option(help="Augmentation: smallest area of a random crop, 0 to 1.")
    ] = None,
    random_crop: Annotated[
        bool, Option("--random-crop", help="Augmentation; needs --resize squash_crop.")
    ] = False,
    jitter: Annotated[
        float, Option(help="Augmentation: largest change of brightness and contrast.")
    ] = 0.0,
    set_: SetOptions = None,
) -> None:
    """Train a method, evaluate it on test, and save it with a card.

    Resumes after an interruption. `accelerate launch -m ordlib train ...` uses several processes.
    """
    with plain_errors():
        check_launch()
        from ..training import TrainingConfig
        from ..training.distributed import is_main_process
        from .train import train_and_save

        config = TrainingConfig(
            epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, seed=seed,
            lr_multipliers=_parse_assignments("lr-multiplier", lr_multiplier, float),
            optimizer=optimizer, weight_decay=weight_decay, schedule=schedule,
            warmup_ratio=warmup_ratio, cooldown_ratio=cooldown_ratio,
            milestones=milestone or (), gamma=gamma,
            max_grad_norm=None if max_grad_norm == math.inf else max_grad_norm,
            monitor=monitor, patience=patience, prompt_epochs=prompt_epochs,
            balanced_sampling=balanced_sampling, flip=flip, crop_scale=crop_scale,
            random_crop=random_crop, jitter=jitter,
        )  # fmt: skip
        options = _parse_assignments("set", set_, _parse_value)
        if image_encoder != "frozen":
            options["image_encoder"] = image_encoder
        names = {"image_column": image_column, "label_column": label_column,
                 "group_column": group_column, "group_pattern": group_pattern,
                 "split_column": split_column, "split_pattern": split_pattern,
                 "first_label": first_label, "bit_depth": bit_depth}  # fmt: skip
        columns = {name: value for name, value in names.items() if value is not None}
        inputs = {"backbone": backbone, "resize": resize, "device": device,
                  "data": data, "labels": labels}  # fmt: skip
        model, history = train_and_save(
            method, task, output, config=config, options=options, columns=columns, **inputs
        )
        if not is_main_process():
            return
        best = history.loc[history["best"], monitor]
        score = f"{best.iloc[-1]:.3f}" if len(best) else "undefined"
        echo(f"val {monitor} {score} in {history.attrs['seconds']:.0f} s")
        echo(f"test mae {model.card['metrics']['mae']:.3f}")
        _echo_saved(output, "load_component")


@app.command()
def reproduce(
    dataset: Annotated[str, Argument(help="A data set of `ordlib data list`.")],
    method: Annotated[str, Argument(help="zero-shot, probe, or as for `ordlib train`.")],
    root: Annotated[Path, Option(help="Images and lists of the data set.", **INPUT_FOLDER)],
    output: Output,
    protocol: Annotated[str | None, Option(help="Default: the first that is complete.")] = None,
    label: Annotated[str | None, Option(help="Which label, where there are several.")] = None,
    fold: Annotated[list[int] | None, Option(help="Number of a fold; repeatable.")] = None,
    skip_missing: Annotated[
        bool, Option("--skip-missing", help="Leave out images that are not found.")
    ] = False,
    shots: Annotated[int | None, Option(help="Labels per rank; default: all.")] = None,
    draw: Annotated[str | None, Option(help="Distorted training labels: 'long tail', ...")] = None,
    repeats: Annotated[int, Option(help="Seeds of each fold.", min=1)] = 1,
    image_encoder: Annotated[str, Option(help="frozen, lora or full.")] = "frozen",
    backbone: Backbone = "pico-clip",
    resize: Resize = "crop",
    device: Device = "auto",
    epochs: Epochs = None,
    batch_size: BatchSize = 64,
    learning_rate: LearningRate = 3e-3,
    set_: SetOptions = None,
) -> None:
    """Run the published protocol of a data set: all folds, and a page that compares.

    Resumes after an interruption. Nothing is downloaded: see `ordlib data check`.
    """
    with plain_errors():
        from ..training import TrainingConfig
        from .reproduce import Reproduction
        from .reproduce import reproduce as run

        options = _parse_assignments("set", set_, _parse_value)
        if image_encoder != "frozen":
            options["image_encoder"] = image_encoder
        config = TrainingConfig(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate)
        setting = Reproduction(
            dataset=dataset, root=root, method=method, backbone=backbone, resize=resize,
            protocol=protocol, label=label, folds=fold or None, skip_missing=skip_missing,
            shots=shots, draw=draw, repeats=repeats, config=config, options=options,
        )  # fmt: skip
        run(setting, output, device, progress=echo)
        echo(f"wrote {output / 'results.json'} and {output / 'report.md'}")


@app.command()
def train_adapter(
    output: Output,
    task: Annotated[list[str] | None, Option(help="Synthetic task; repeatable.")] = None,
    seed: Seed = 0,
    epochs: Annotated[int, Option(help="Number of epochs.")] = 8,
    backbone: Backbone = "pico-clip",
    device: Device = "auto",
) -> None:
    """Train a ranking adapter, evaluate and save it. Resumes after an interruption."""
    with plain_errors():
        check_launch()
        from dataclasses import replace

        from ..training.distributed import is_main_process
        from .train_adapter import CONFIG, train_and_save_adapter

        config = replace(CONFIG, seed=seed, epochs=epochs)
        train_and_save_adapter(task or (), output, config=config, backbone=backbone, device=device)
        if is_main_process():
            _echo_saved(output, "load_component")


@app.command()
def pretrain(
    output: Output,
    count_caption_fraction: Annotated[
        float, Option(help="Fraction of counting captions that state the true count.")
    ] = 0.0,
    distractor_number_fraction: Annotated[
        float | None, Option(help="Fraction of captions with a number about something else.")
    ] = None,
    seed: Seed = 0,
    size: Annotated[str, Option(help="Model size: small.")] = "small",
    num_images: Annotated[int, Option(help="Number of pretraining images.")] = 384_000,
    samples_seen: Annotated[int, Option(help="Total number of image-caption pairs.")] = 3_840_000,
    batch_size: BatchSize = 512,
    learning_rate: LearningRate = 2e-3,
    precision: Annotated[str, Option(help="auto, float32 or bfloat16.")] = "auto",
    checkpoint_minutes: Annotated[float, Option(help="Minutes between checkpoints.")] = 2.0,
    num_workers: Annotated[int | None, Option(help="Number of worker processes.")] = None,
) -> None:
    """Pretrain a small CLIP on rendered images and their captions.

    Resumes after an interruption. `accelerate launch -m ordlib pretrain ...` uses several GPUs.
    On a busy CPU, OMP_NUM_THREADS=1 and a batch size of 256 are fastest.
    """
    with plain_errors():
        check_launch()
        from .pretrain_clip.config import PretrainingConfig, find_size
        from .pretrain_clip.pretrain import pretrain
        from .pretrain_clip.trainer import ProgressBar

        config = PretrainingConfig(
            count_caption_fraction=count_caption_fraction,
            distractor_number_fraction=distractor_number_fraction,
            seed=seed, size=find_size(size), num_images=num_images, samples_seen=samples_seen,
            batch_size=batch_size, learning_rate=learning_rate, precision=precision,
        )  # fmt: skip
        settings = {"checkpoint_minutes": checkpoint_minutes, "num_workers": num_workers}
        with closing(ProgressBar(config)) as progress:
            pretrain(config, output, **settings, on_step=progress.update)
        # With several processes, only the main one shows progress.
        if progress.bar is not None:
            _echo_saved(output, "load_clip")


@app.command()
def evaluate_clip(
    folder: Annotated[Path, Argument(help="pico-clip checkpoint.", **INPUT_FOLDER)],
) -> None:
    """Evaluate a pico-clip on 5,000 new images, and write the metrics to its card."""
    with plain_errors():
        from .pretrain_clip.evaluate import write_metrics

        for name, value in write_metrics(folder).items():
            echo(f"{name:24} {value:.3f}")


@results.command("make")
def make_results(
    table: Annotated[str, Argument(help="Name of the table; an unknown name lists all.")],
    output: Annotated[File, Option(help="Output file.", **OUTPUT_FILE)] = None,
    seeds: Annotated[int | None, Option(help="Number of seeds.", min=1)] = None,
    num_jobs: Annotated[int | None, Option(help="Models trained in parallel.", min=1)] = None,
    work_dir: Annotated[File, Option(help="Cache folder.", **OUTPUT_FOLDER)] = None,
    device: Annotated[str | None, Option(help="auto, cuda, mps or cpu.")] = None,
    minutes: Annotated[float | None, Option(help="Of release: start nothing later.")] = None,
    set_: SetOptions = None,
) -> None:
    """Compute a results table. Resumes after an interruption."""
    with plain_errors():
        from .results import make_results

        settings = _parse_assignments("set", set_, _parse_value)
        common = {"seeds": seeds, "num_jobs": num_jobs, "work_dir": work_dir}
        settings = {**common, "device": device, "minutes": minutes, **settings}
        echo(f"wrote {make_results(table, output, **settings)}")


def _echo_saved(folder: Path, loader: str) -> None:
    echo(f"saved {folder}; load it with ordlib.{loader}({str(folder)!r})")


def _parse_assignments(option: str, assignments: list[str] | None, parse: Callable) -> dict:
    """Parse repeated ``--option NAME=VALUE``."""
    parsed = {}
    for assignment in assignments or []:
        name, equals, text = assignment.partition("=")
        try:
            if not equals:
                raise ValueError("must have the form NAME=VALUE")
            parsed[name] = parse(text)
        except ValueError as error:
            raise ValueError(f"--{option} {assignment}: {error}") from error
    return parsed


def _parse_value(text: str) -> object:
    """Parse JSON literals (and True, False, None); return any other text as a string."""
    try:
        value = jsonlib.loads({"True": "true", "False": "false", "None": "null"}.get(text, text))
    except (jsonlib.JSONDecodeError, RecursionError):
        return text
    return tuple(value) if isinstance(value, list) else value

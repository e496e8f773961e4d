"""Train one method on a task, evaluate it on test, and save it with a card."""

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Literal, Union, get_args, get_origin, get_type_hints

import pandas as pd
import torch

from ..clip import load_clip
from ..clip.preprocessing import Resize
from ..data import ImageData, load_folder
from ..data.label_files import read_labels
from ..data.leakage import warn_about_splits
from ..data.splits import split_indices
from ..methods import METHODS as ALL_METHODS
from ..methods import find_method
from ..methods.base import OrdinalMethod
from ..methods.checks import check_saving
from ..metrics.evaluate import evaluate
from ..tasks import OrdinalTask, load_task
from ..training.config import TrainingConfig
from ..training.distributed import is_main_process, wait_for_everyone
from ..training.fit import delete_checkpoints, fit
from ..utils.device import device_description, versions
from ..utils.validation import check_choice
from .calibration import synthetic_calibration_data
from .results import command_line, round_or_none
from .synthetic_data import load_data

# By command-line name; ranking adapters have a command of their own.
METHODS = {name.lower(): find_method(name) for name in ALL_METHODS if name != "RankingAdapter"}
SPLITS = ("train", "val", "test")
NO_COLUMNS: Mapping[str, object] = MappingProxyType({})
SPLIT_FRACTIONS = {"train": 0.6, "val": 0.2, "test": 0.2}


def train_and_save(
    method: str, task: str, folder: Path, *, config: TrainingConfig, options: Mapping[str, object],
    backbone: str = "pico-clip", resize: Resize = "crop", device: str | None = None,
    data: Path | None = None, labels: Path | None = None,
    columns: Mapping[str, object] = NO_COLUMNS,
) -> tuple[OrdinalMethod, pd.DataFrame]:  # fmt: skip
    """Train a method on a task, evaluate it on test, and save it with a card.

    Args:
        method: one of ``METHODS``.
        task: name of a built-in task, or a TOML file with the fields of an ``OrdinalTask``.
        folder: output folder; training resumes from a checkpoint in it.
        config: hyperparameters of the training; its seed also initializes the method.
        options: hyperparameters of the method.
        backbone, resize, device: as for :func:`ordlib.load_clip`.
        data, labels: image folder and label file, as for :func:`ordlib.load_folder`; None for
            the synthetic images.
        columns: arguments of ``load_folder`` by name: ``image_column``, ``label_column``,
            ``group_column``, ``group_pattern``, ``first_label`` and so on. By default "path",
            "label" and, if the label file has them, "group" and "split"; without splits the images
            are split 60 : 20 : 20.

    Returns:
        The method with its best weights, and the training history.

    Raises:
        ValueError: unknown method, task or option value, or a checkpoint of another run.
        TypeError: unknown option.
    """
    if method not in METHODS:
        raise ValueError(f"method = {method!r}: must be one of {', '.join(METHODS)}")
    check_options(method, options)
    if torch.cuda.is_available():
        # With several processes, "cuda" is the GPU of this process.
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    clip = load_clip(backbone, device, resize=resize)
    splits = load_splits(task, clip.image_size, data, labels, columns)
    train, val, test = (splits[split] for split in SPLITS)
    config = config.resolved(len(train))
    calibration = splits.get("calibration", "auto")
    model = METHODS[method](clip, train.task, seed=config.seed, **options)
    folder = check_saving(model, folder)  # before the training
    history = fit(model, train, val, config, calibration=calibration, checkpoint_dir=folder)
    evaluation = evaluate(model, test)
    arguments = (method, task, folder.resolve().name, config, backbone, options, data, labels)
    card = {
        "description": f"{type(model).__name__} on the {'rendered ' * (data is None)}"
        f"{train.task.name} task; image encoder: {model.options.image_encoder}.",
        **_data_card(splits, data, model),
        "command": reproduce_command(*arguments, columns, resize),
        "data": {name: splits[name].fingerprint for name in SPLITS}
        | {"image_size": clip.image_size},
        **training_card(config, history, clip.device),
        "history": history_card(history),
        "metrics": {name: round_or_none(value) for name, value in evaluation.metrics.items()},
        "intervals": {
            name: [round_or_none(end) for end in interval[1:]]
            for name, interval in evaluation.intervals.items()
        },
    }
    if is_main_process():
        model.save_pretrained(folder, card)
        delete_checkpoints(folder)
    wait_for_everyone()
    model.card = card
    return model, history


def training_card(config: TrainingConfig, history: pd.DataFrame, device: torch.device) -> dict:
    """Return the entries of a card that describe the training."""
    return {
        "seed": config.seed, "hyperparameters": asdict(config), "steps": history.attrs["steps"],
        "best_epoch": history.attrs["best_epoch"], "device": device_description(device),
        "train_seconds": history.attrs["seconds"], "versions": versions(),
    }  # fmt: skip


def reproduce_command(
    method: str, task: str, output: str, config: TrainingConfig, backbone: str,
    options: Mapping[str, object], data: Path | None = None, labels: Path | None = None,
    columns: Mapping[str, object] = NO_COLUMNS, resize: Resize = "crop",
) -> str:  # fmt: skip
    """Return the shell command that trains a component again.

    Example:
        >>> config = TrainingConfig(seed=3)
        >>> reproduce_command("coop", "dating", "mine", config, "pico-clip", {"n_ctx": 4})
        'ordlib train coop --task dating --output mine --seed 3 --set n_ctx=4'
    """
    arguments = [("task", task), ("output", output), ("data", data), ("labels", labels)]
    arguments += columns.items()
    arguments += [("backbone", backbone)] * (backbone != "pico-clip")
    arguments += [("resize", resize)] * (resize != "crop")
    defaults = asdict(TrainingConfig())
    for name, value in asdict(config).items():
        if name == "lr_multipliers":
            arguments += [("lr-multiplier", f"{group}={factor}") for group, factor in value.items()]
        elif name == "milestones":
            arguments += [("milestone", epoch) for epoch in value]
        elif name == "max_grad_norm" and value is None:
            arguments.append((name, "inf"))
        elif value != defaults[name]:
            arguments.append((name, value))
    for name, value in options.items():
        text = value if isinstance(value, str) else json.dumps(value)
        is_encoder = name == "image_encoder"
        arguments.append((name, text) if is_encoder else ("set", f"{name}={text}"))
    return command_line("train", method, options=arguments)


def _data_card(splits: Mapping[str, ImageData], data: Path | None, model: OrdinalMethod) -> dict:
    """Entries of a card about one's own images, and about the calibration of the intervals."""
    calibration = model.calibrations.get(splits["train"].task.name)
    card: dict = {"num_calibration_images": len(calibration.residuals) if calibration else 0}
    if data is None:
        return card
    groups = [part.groups for part in splits.values() if part.groups is not None]
    return card | {
        "training_data": f"{len(splits['train'])} images of {data.name}",
        "num_images": {name: len(part) for name, part in splits.items()},
        "num_groups": len(set().union(*groups)) if groups else None,
    }


def history_card(history: pd.DataFrame) -> dict:
    """Return the training history by column, rounded, for a card."""
    columns = history[["epoch", "loss", *history.columns[2:3], "best"]]
    return {name: [*map(round_or_none, column.tolist())] for name, column in columns.items()}


def load_splits(
    task: str | OrdinalTask, image_size: int, data: Path | None = None, labels: Path | None = None,
    columns: Mapping[str, object] = NO_COLUMNS,
) -> dict[str, ImageData]:  # fmt: skip
    """Load the splits "train", "val" and "test", synthetic or from a folder.

    Raises:
        ValueError: invalid task file, label file or images; a missing split.
    """
    if data is None:
        if Path(task).suffix == ".toml":
            raise ValueError(f"task = {task}: a custom task needs images; give --data FOLDER")
        if labels is not None:
            raise ValueError(f"labels = {labels}: needs images; give --data FOLDER")
        splits = {split: load_data(task, split, image_size) for split in SPLITS}
        return splits | {"calibration": synthetic_calibration_data(task, image_size)}
    label_file = _label_file(data, labels)
    splits = _load_own(task, data, labels, columns)
    if isinstance(splits, ImageData):
        parts = split_indices(splits.ranks, SPLIT_FRACTIONS, splits.groups)
        splits = {name: splits.subset(indices, name) for name, indices in parts.items()}
        warn_about_splits(splits)
    missing = [split for split in SPLITS if split not in splits]
    if missing:
        problem = f"has no {missing[0]!r}, only {', '.join(map(repr, splits))}"
        source = f"{label_file}: column 'split'" if label_file else f"{data}: the folder"
        raise ValueError(f"{source} {problem}; it must contain all of {SPLITS}")
    return splits


def load_split(
    model: OrdinalMethod, task: OrdinalTask, split: str, data: Path, labels: Path | None = None,
    columns: Mapping[str, object] = NO_COLUMNS,
) -> ImageData:  # fmt: skip
    """Load a split of the images that a component was trained with.

    Warns if it has other images or labels than the card says.

    Raises:
        ValueError: as :func:`load_splits`; or the images have no splits of their own, and divide
            otherwise than for the training, so that training images would be in this one.
    """
    image_size = getattr(model.clip, "image_size", 0)  # none without a backbone, and not used here
    splits = load_splits(task, image_size, data, labels, columns)
    check_choice("split", split, splits)
    recorded = model.card.get("data")
    recorded = recorded.get(split) if isinstance(recorded, Mapping) else None
    if recorded == splits[split].fingerprint:
        return splits[split]
    problem = f"these are not the {split} images of the training"
    remedy = "give the table and columns of `command` in the component's card.json, or "
    if recorded is None:
        problem, remedy = "the component does not record the images of its training", ""
    problem = f"split = {split!r}: {problem}, so that it may have seen some of these"
    if isinstance(_load_own(task, data, labels, columns), ImageData):
        raise ValueError(f"{problem}; {remedy}evaluate other images without a split")
    warnings.warn(problem, stacklevel=2)
    return splits[split]


def _label_file(data: Path, labels: Path | None) -> Path | None:
    """The file that load_folder reads, which raises if there is none."""
    candidates = [] if labels is None else [Path(data, labels), Path(labels)]
    return next(filter(Path.is_file, candidates), None)


def _load_own(
    task: str | OrdinalTask, data: Path, labels: Path | None, columns: Mapping[str, object]
) -> ImageData | dict[str, ImageData]:
    """Load a folder, by the columns "group" and "split" of its table if there are any."""
    label_file, found = _label_file(data, labels), set()
    if label_file is not None:
        names = (columns.get("image_column", "path"), columns.get("label_column", "label"))
        found = set(read_labels(data, label_file, *names).metadata)
    kinds = [kind for kind in ("group", "split") if f"{kind}_pattern" not in columns]
    usual = {f"{kind}_column": kind for kind in kinds if kind in found}
    return load_folder(data, labels, _read_task(task), **usual | dict(columns))


def _read_task(task: str | OrdinalTask) -> OrdinalTask:
    if isinstance(task, OrdinalTask):
        return task
    if Path(task).suffix != ".toml":
        return load_task(task)
    try:
        return OrdinalTask.from_toml(task)
    except ValueError as error:
        prefix = f"task = {task}: "
        raise ValueError(prefix + str(error).removeprefix(prefix)) from error


def check_options(method: str, options: Mapping[str, object]) -> None:
    """Validate names and types of options: "no" for a bool would otherwise count as true."""
    annotations = get_type_hints(METHODS[method].Config)
    del annotations["seed"]
    for name, value in options.items():
        if name not in annotations:
            problem = f"unknown option of {method}; available options: {', '.join(annotations)}"
            raise TypeError(f"{name} = {value!r}: {problem}")
        expected = annotations[name]
        if not _has_type(value, expected):
            type_name = str(expected) if get_args(expected) else expected.__name__
            raise ValueError(f"{name} = {value!r}: must be {type_name}")
    METHODS[method].Config(**options)  # validates the values


def _has_type(value: object, expected: object) -> bool:
    origin, args = get_origin(expected), get_args(expected)
    if origin is Literal:
        return True  # Config validates the choices.
    if origin in (UnionType, Union):
        return any(_has_type(value, option) for option in args)
    if origin is tuple:
        return isinstance(value, (list, tuple)) and all(_has_type(v, args[0]) for v in value)
    return type(value) is expected or (expected is float and type(value) is int)

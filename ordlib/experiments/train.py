"""One trained method from a name, a task and a seed, with what is to be said of it."""

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from types import UnionType
from typing import Literal, Union, get_args, get_origin, get_type_hints

import pandas as pd
import torch

from ..clip import load_clip
from ..data import ImageData, load_folder
from ..data.label_files import read_labels
from ..methods import METHODS as ALL
from ..methods import find_method
from ..methods.base import OrdinalMethod
from ..metrics import compute_metrics
from ..synthetic.load import load_data
from ..tasks import OrdinalTask, load_task
from ..training.config import TrainingConfig
from ..training.fit import delete_checkpoints, fit
from ..utils.device import device_description, versions
from .runs import command_line, number

# By the name that the command line knows them by; adapters have a command of their own.
METHODS = {name.lower(): find_method(name) for name in ALL if name != "RankingAdapter"}

SPLITS = ("train", "val", "test")
SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}


def train_and_save(
    method: str,
    task: str,
    folder: Path,
    *,
    config: TrainingConfig,
    backbone: str = "pico-clip",
    device: str | None = None,
    data: Path | None = None,
    labels: Path | None = None,
    options: Mapping[str, object],
) -> tuple[OrdinalMethod, pd.DataFrame]:
    """Train a method on a task, test it, and keep it with its card.

    Args:
        method: one of ``METHODS``.
        task: a built-in task's name, or a TOML file of the fields of an ``OrdinalTask``.
        folder: where the component goes; an unfinished run there goes on.
        config: of the training; its seed is the method's, too.
        backbone, device: as for :func:`ordlib.load_clip`.
        data, labels: images and label table of one's own, as for :func:`ordlib.load_folder`: with
            columns "split" and "group", if there; without "split" they are dealt out 60 : 20 : 20.
            None stands for the rendered images of the task.
        options: of the method.

    Returns:
        The method in its best state, and the history of its training.

    Raises:
        ValueError: an unknown method, task or option value, or a folder with another run.
        TypeError: an option that the method does not have.
    """
    if method not in METHODS:
        raise ValueError(f"method = {method!r}: must be one of {', '.join(METHODS)}")
    _check_options(method, options)
    if torch.cuda.is_available():
        # Of several processes each has a GPU of its own, and "cuda" means that one.
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    clip = load_clip(backbone, device)
    image_size = clip.image_size
    sets = load_splits(task, image_size, data, labels)
    train, val, test = (sets[split] for split in SPLITS)
    model = METHODS[method](clip, train.task, seed=config.seed, **options)
    history = fit(model, train, val, config, checkpoint_dir=folder)
    found = compute_metrics(test.task, test.values, model.predict(test))
    where = (method, task, folder.resolve().name, config, backbone, options, data, labels)
    card = {
        "description": f"{type(model).__name__} on the {'rendered ' * (data is None)}{train.task.name} task; "
        f"image encoder: {model.options.image_encoder}.",
        "command": reproduce_command(*where),
        "data": {split: sets[split].fingerprint for split in SPLITS} | {"image_size": image_size},
        **of_training(config, history, clip.device),
        "metrics": {name: number(value) for name, value in found.items()},
    }
    model.save_pretrained(folder, card)
    delete_checkpoints(folder)
    return model, history


def of_training(config: TrainingConfig, history: pd.DataFrame, device: torch.device) -> dict:
    """What the card of a trained component says of its training."""
    return {
        "seed": config.seed,
        "hyperparameters": asdict(config),
        "steps": history.attrs["steps"],
        "best_epoch": history.attrs["best_epoch"],
        "device": device_description(device),
        "train_seconds": history.attrs["seconds"],
        "versions": versions(),
    }


def reproduce_command(
    method: str,
    task: str,
    output: str,
    config: TrainingConfig,
    backbone: str,
    options: Mapping[str, object],
    data: Path | None = None,
    labels: Path | None = None,
) -> str:
    """The command that trains a component again.

    Example:
        >>> reproduce_command("coop", "dating", "mine", TrainingConfig(seed=3), "pico-clip", {"n_ctx": 4})
        'ordlib train coop --task dating --output mine --seed 3 --set n_ctx=4'
    """
    words = [("task", task), ("output", output), ("data", data), ("labels", labels)]
    words += [("backbone", backbone)] * (backbone != "pico-clip")
    defaults = asdict(TrainingConfig())
    for name, value in asdict(config).items():
        if name == "lr_multipliers":
            words += [("lr-multiplier", f"{group}={rate}") for group, rate in value.items()]
        elif value != defaults[name]:
            words.append((name, value))
    for name, value in options.items():
        text = value if isinstance(value, str) else json.dumps(value)
        words.append(
            ("image-encoder", text) if name == "image_encoder" else ("set", f"{name}={text}")
        )
    return command_line("train", method, options=words)


def load_splits(
    task: str, side: int, data: Path | None = None, labels: Path | None = None
) -> dict[str, ImageData]:
    """What a component is trained, selected and tested on: "train", "val" and "test".

    Raises:
        ValueError: faults of the task's file, the table or the images; a split that is missing.
    """
    if data is None:
        if Path(task).suffix == ".toml":
            raise ValueError(f"task = {task}: a task of your own needs --data FOLDER")
        if labels is not None:
            raise ValueError(f"labels = {labels}: belong to --data FOLDER, which is not given")
        return {split: load_data(task, split, side) for split in SPLITS}
    # Where load_folder looks, too; if there is none, it says so.
    places = [] if labels is None else [Path(data, labels), Path(labels)]
    table = next(filter(Path.is_file, places), None)
    columns = set() if table is None else set(read_labels(data, table, "path", "label").metadata)
    dealt = {"split_column": "split"} if "split" in columns else {"splits": SHARES}
    group = "group" if "group" in columns else None
    found = load_folder(data, labels, _read_task(task), group_column=group, **dealt)
    missing = [split for split in SPLITS if split not in found]
    if missing:
        raise ValueError(
            f"{table}: column 'split' has {', '.join(map(repr, found))} and not {missing[0]!r}: it "
            "must hold train, val and test"
        )
    return found


def _read_task(task: str) -> OrdinalTask:
    if Path(task).suffix != ".toml":
        return load_task(task)
    try:
        given = tomllib.loads(Path(task).read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"task = {task}: cannot be read as a TOML file: {error}") from error
    known = [field.name for field in fields(OrdinalTask)]
    wrong = [name for name in given if name not in known]
    wrong += [name for name in ("name", "unit", "values") if name not in given]
    if wrong:
        fault = "is no field of a task" if wrong[0] in given else "is missing"
        raise ValueError(f"{task}: {wrong[0]} {fault}; it may have {', '.join(known)}")
    try:
        return OrdinalTask(**given)
    except ValueError as error:
        raise ValueError(f"{task}: {error}") from error


def _check_options(method: str, options: Mapping[str, object]) -> None:
    """Refuse what would fail late, or be taken for something else, as "no" for true."""
    known = get_type_hints(METHODS[method].Config)
    del known["seed"]
    for name, value in options.items():
        if name not in known:
            there = ", ".join(known)
            raise TypeError(f"option {name} = {value!r}: {method} has no such; there are {there}")
        if not _fits(value, known[name]):
            kind = getattr(known[name], "__name__", str(known[name]))
            raise ValueError(f"option {name} = {value!r}: must be {kind}")
    METHODS[method].Config(**options)  # complains of values out of range


def _fits(value: object, kind: object) -> bool:
    if get_origin(kind) is Literal:
        return True  # The options themselves name the choices.
    if get_origin(kind) in (UnionType, Union):
        return any(_fits(value, one) for one in get_args(kind))
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        return isinstance(value, (list, tuple)) and all(_fits(one, inner) for one in value)
    return type(value) is kind

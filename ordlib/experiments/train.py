"""One trained method from a name, a task and a seed, with what is to be said of it."""

import json
import math
import os
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import UnionType
from typing import Literal, Union, get_args, get_origin, get_type_hints

import pandas as pd
import torch

from ..clip import load_clip
from ..data import ImageData, load_folder
from ..data.label_files import read_listing
from ..methods.base import Method
from ..methods.coop import CoOp
from ..methods.corn import Corn
from ..methods.finetuned import FineTuned
from ..methods.l2rclip import L2RCLIP
from ..methods.numclip import NumCLIP
from ..methods.ordinalclip import OrdinalCLIP
from ..metrics import score
from ..synthetic.load import load_data
from ..tasks import OrdinalTask, load_task
from ..training.config import TrainingPlan
from ..training.fit import fit, forget
from ..utils.device import describe, versions

METHODS = {
    "coop": CoOp,
    "corn": Corn,
    "finetuned": FineTuned,
    "l2rclip": L2RCLIP,
    "numclip": NumCLIP,
    "ordinalclip": OrdinalCLIP,
}


SPLITS = ("train", "val", "test")
SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}
# What fields of a plan are called on the command line, if not as they are.
OPTIONS = {
    "batch": "batch-size",
    "largest_norm": "max-grad-norm",
    "metric": "monitor",
    "words_first": "prompt-epochs",
}


def train_component(
    method: str,
    task: str,
    folder: Path,
    *,
    plan: TrainingPlan,
    backbone: str = "pico-clip",
    device: str | None = None,
    data: Path | None = None,
    labels: Path | None = None,
    options: Mapping[str, object],
) -> tuple[Method, pd.DataFrame]:
    """Train a method on a task, test it, and keep it with its card.

    Args:
        method: one of ``METHODS``.
        task: a built-in task's name, or a TOML file of the fields of an ``OrdinalTask``.
        folder: where the component goes; an unfinished run there goes on.
        plan: of the training; its seed is the method's, too.
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

    Example:
        >>> train_component("magic", "dating", Path("x"), plan=TrainingPlan(), options={})
        Traceback (most recent call last):
        ValueError: method = 'magic': must be one of coop, corn, ...
    """
    if method not in METHODS:
        raise ValueError(f"method = {method!r}: must be one of {', '.join(METHODS)}")
    _check_options(method, options)
    if torch.cuda.is_available():
        # Of several processes each has a GPU of its own, and "cuda" means that one.
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    clip = load_clip(backbone, device)
    side = clip.image_side
    sets = load_splits(task, side, data, labels)
    train, val, test = (sets[split] for split in SPLITS)
    model = METHODS[method](clip, train.task, seed=plan.seed, **options)
    history = fit(model, train, val, plan, folder=folder)
    found = score(test.task, test.values, model.predict(test))
    model.save_pretrained(
        folder,
        {
            "what": f"{type(model).__name__} on the {'rendered ' * (data is None)}task of "
            f"{train.task.name}, picture tower {model.options.tower}.",
            "command": command(
                *(method, task, folder.resolve().name, plan, backbone, options), data, labels
            ),
            "data": {"train": train.key, "val": val.key, "test": test.key, "side": side},
            "seed": plan.seed,
            "plan": asdict(plan),
            "steps": history.attrs["steps"],
            "best_epoch": history.attrs["best_epoch"],
            "device": describe(clip.device),
            "seconds": history.attrs["seconds"],
            "versions": versions(),
            # JSON knows no NaN: the correlation with a constant is undefined.
            "test": {n: None if math.isnan(v) else round(v, 6) for n, v in found.items()},
        },
    )
    forget(folder)
    return model, history


def command(
    method: str,
    task: str,
    output: str,
    plan: TrainingPlan,
    backbone: str,
    options: Mapping[str, object],
    data: Path | None = None,
    labels: Path | None = None,
) -> str:
    """Return the command that trains a component again.

    Example:
        >>> command("coop", "dating", "mine", TrainingPlan(seed=3), "pico-clip", {"context": 4})
        'ordlib train coop --task dating --output mine --seed 3 --set context=4'
    """
    words = ["ordlib", "train", method, "--task", task, "--output", output]
    words += [] if data is None else ["--data", str(data)]
    words += [] if labels is None else ["--labels", str(labels)]
    if backbone != "pico-clip":
        words += ["--backbone", backbone]
    defaults = asdict(TrainingPlan())
    for name, value in asdict(plan).items():
        if name == "rates":
            for group, rate in value.items():
                words += ["--lr-multiplier", f"{group}={rate}"]
        elif value != defaults[name]:
            words += [f"--{OPTIONS.get(name, name.replace('_', '-'))}", str(value)]
    for name, value in options.items():
        text = value if isinstance(value, str) else json.dumps(value)
        words += ["--image-encoder", text] if name == "tower" else ["--set", f"{name}={text}"]
    return shlex.join(words)


def load_splits(
    task: str, side: int, data: Path | None = None, labels: Path | None = None
) -> dict[str, ImageData]:
    """Load what a component is trained, selected and tested on.

    Args:
        task, data, labels: as for :func:`train_component`.
        side: pixels of rendered images.

    Returns:
        "train", "val" and "test".

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
    columns = set() if table is None else set(read_listing(data, table, "path", "label").records)
    dealt = {"split_column": "split"} if "split" in columns else {"splits": SHARES}
    group = "group" if "group" in columns else None
    found = load_folder(data, labels, _read_task(task), group=group, **dealt)
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
        fields = tomllib.loads(Path(task).read_text("utf-8"))
        return OrdinalTask(**fields)
    except (tomllib.TOMLDecodeError, TypeError, ValueError) as error:
        raise ValueError(f"{task}: {error}") from error


def _check_options(method: str, options: Mapping[str, object]) -> None:
    """Refuse what would fail late, or be taken for something else, as "no" for true."""
    known = get_type_hints(METHODS[method].Options)
    del known["seed"]
    for name, value in options.items():
        if name not in known:
            there = ", ".join(known)
            raise TypeError(f"option {name} = {value!r}: {method} has no such; there are {there}")
        if not _fits(value, known[name]):
            kind = getattr(known[name], "__name__", str(known[name]))
            raise ValueError(f"option {name} = {value!r}: must be {kind}")
    METHODS[method].Options(**options)  # complains of values out of range


def _fits(value: object, kind: object) -> bool:
    if get_origin(kind) is Literal:
        return True  # The options themselves name the choices.
    if get_origin(kind) in (UnionType, Union):
        return any(_fits(value, one) for one in get_args(kind))
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        return isinstance(value, (list, tuple)) and all(_fits(one, inner) for one in value)
    return type(value) is kind

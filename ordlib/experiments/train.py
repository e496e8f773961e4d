"""One trained method from a name, a task and a seed, with what is to be said of it."""

import json
import math
import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import UnionType
from typing import Literal, Union, get_args, get_origin, get_type_hints

import pandas as pd
import torch

from ..clip import load_clip
from ..data import load_data
from ..hardware import describe, versions
from ..metrics import score
from ..models.coop import CoOp
from ..models.corn import Corn
from ..models.finetuned import FineTuned
from ..models.l2rclip import L2RCLIP
from ..models.method import Method
from ..models.numclip import NumCLIP
from ..models.ordinalclip import OrdinalCLIP
from .fitting import fit, forget
from .plan import TrainingPlan

METHODS = {
    "coop": CoOp,
    "corn": Corn,
    "finetuned": FineTuned,
    "l2rclip": L2RCLIP,
    "numclip": NumCLIP,
    "ordinalclip": OrdinalCLIP,
}


def train_component(
    method: str,
    task: str,
    folder: Path,
    *,
    plan: TrainingPlan,
    backbone: str = "pico-clip",
    device: str | None = None,
    options: Mapping[str, object],
) -> tuple[Method, pd.DataFrame]:
    """Train a method on one of the rendered tasks, test it, and keep it with its card.

    Args:
        method: one of ``METHODS``.
        task: "counting", "dating", "ageing" or "quality".
        folder: where the component goes; an unfinished run there goes on.
        plan: of the training; its seed is the method's, too.
        backbone, device: as for :func:`ordlib.load_clip`.
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
    train, val, test = (load_data(task, split, side) for split in ("train", "val", "test"))
    model = METHODS[method](clip, train.task, seed=plan.seed, **options)
    history = fit(model, train, val, plan, folder=folder)
    found = score(test.task, test.values, model.predict(test))
    model.save_pretrained(
        folder,
        {
            "what": f"{type(model).__name__} on the rendered task of {task}, picture tower "
            f"{model.options.tower}.",
            "command": command(method, task, folder.resolve().name, plan, backbone, options),
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
) -> str:
    """Return the command that trains a component again.

    Example:
        >>> command("coop", "dating", "mine", TrainingPlan(seed=3), "pico-clip", {"context": 4})
        'python -m ordlib.training coop dating --output mine --seed 3 --option context=4'
    """
    words = ["python", "-m", "ordlib.training", method, task, "--output", output]
    if backbone != "pico-clip":
        words += ["--backbone", backbone]
    defaults = asdict(TrainingPlan())
    for name, value in asdict(plan).items():
        if name == "rates":
            for group, rate in value.items():
                words += ["--rate", f"{group}={rate}"]
        elif value != defaults[name]:
            words += [f"--{name.replace('_', '-')}", str(value)]
    for name, value in options.items():
        text = value if isinstance(value, str) else json.dumps(value)
        words += ["--tower", text] if name == "tower" else ["--option", f"{name}={text}"]
    return shlex.join(words)


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

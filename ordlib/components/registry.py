"""List and load pretrained components by name."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from ..clip import ClipBackbone, load_clip
from ..methods import METHODS, find_method
from ..utils.validation import check_choice
from .io import CARD, CONFIG, read_json, trained_resize

if TYPE_CHECKING:
    from ..methods.base import TrainableModule

COMPONENTS = Path(__file__).with_name("weights")
COLUMNS = ["method", "task", "backbone", "mae", "device", "description"]


def list_components() -> pd.DataFrame:
    """Table of the bundled components by name; ``mae`` is of the test set, in the task's unit.

    Example:
        >>> list_components().columns.tolist()
        ['method', 'task', 'backbone', 'mae', 'device', 'description']
    """
    rows = {folder.name: _row(folder) for folder in _folders()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS).rename_axis("name")


def load_component(
    name: str | os.PathLike,
    clip: ClipBackbone | None = None,
    device: str | torch.device | None = None,
) -> "TrainableModule":
    """Load a trained method, ready for prediction, with its card in ``model.card``.

    Args:
        name: a name in :func:`list_components`, or a folder written by ``save_pretrained``.
        clip: the backbone it was trained on; None loads it by the name and with the ``resize`` in
            the config.
        device: of the loaded backbone, see :func:`ordlib.load_clip`.

    Raises:
        FileNotFoundError: no such component; the message lists the bundled ones.
        ValueError: different backbone, damaged files, or unknown method.

    Example:
        >>> load_component("counting-by-magic")
        Traceback (most recent call last):
        FileNotFoundError: no component 'counting-by-magic'; ...
    """
    folder = _find(name)
    config = read_json(folder / CONFIG)
    method = config.get("method")
    check_choice(f"{folder}: method", method, METHODS)
    if clip is None:
        clip = load_clip(config["backbone"]["name"], device, resize=trained_resize(config))
    model = find_method(method).from_pretrained(folder, clip)
    model.card = read_json(folder / CARD)
    return model


def _find(name: str | os.PathLike) -> Path:
    for folder in (COMPONENTS / name, Path(name).expanduser()):
        if os.fspath(name) and folder.is_dir() and folder != COMPONENTS:
            return folder
    names = ", ".join(folder.name for folder in _folders()) or "none"
    raise FileNotFoundError(
        f"no component {os.fspath(name)!r}; give a folder or a bundled component: {names}"
    )


def _folders() -> list[Path]:
    configs = sorted(COMPONENTS.glob(f"*/{CONFIG}"))
    return [path.parent for path in configs if "method" in read_json(path)]


def _row(folder: Path) -> tuple:
    config, card = read_json(folder / CONFIG), read_json(folder / CARD)
    return (
        config["method"],
        ", ".join(task["name"] for task in config.get("tasks") or [config["task"]]),
        config["backbone"]["name"],
        card.get("metrics", {}).get("mae"),
        card.get("device"),
        card.get("description"),
    )

"""List and load pretrained components by name."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from ..clip import ClipBackbone, load_clip
from ..clip.checkpoints import OPEN_CLIP, OPEN_CLIP_REMEDY, is_known
from ..methods import METHODS, find_method
from ..utils.reading import errors_name, get_field, read_json
from ..utils.validation import check_choice
from .io import CONFIG, read_card, read_config, trained_resize

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
    config = read_config(folder)
    with errors_name(folder / CONFIG):
        check_choice("method", method := config.get("method"), METHODS)
        if clip is None:
            backbone = get_field(config, "backbone.name", str)
            resize = trained_resize(config)
    if clip is None:
        clip = load_clip(_known(folder, backbone), device, resize=resize)
    model = find_method(method).from_pretrained(folder, clip)
    model.card = read_card(folder)
    return model


def _known(folder: Path, backbone: str) -> str:
    """Return the name of a backbone that can be loaded without a request to an unknown address."""
    if backbone.startswith(OPEN_CLIP):
        raise FileNotFoundError(f"{folder} was trained on {backbone!r}: {OPEN_CLIP_REMEDY}")
    if not is_known(backbone):
        raise FileNotFoundError(
            f"{folder} was trained on {backbone!r}, which is neither bundled nor on this machine; "
            f"ordlib downloads no backbone that a component names. If you trust it, pass clip="
            f"load_clip({backbone!r}), which also keeps it for later"
        )
    return backbone


def _find(name: str | os.PathLike) -> Path:
    text = os.fspath(name)
    # A bundled name is a plain one: "../x" is a folder of the user.
    bundled = [COMPONENTS / text] if text == Path(text).name else []
    folders = [*bundled, Path(os.path.expanduser(text))] if text else []
    for folder in folders:
        if folder.is_dir():
            return folder
    names = ", ".join(folder.name for folder in _folders()) or "none"
    raise FileNotFoundError(f"no component {text!r}; give a folder or a bundled component: {names}")


def _folders() -> list[Path]:
    configs = sorted(COMPONENTS.glob(f"*/{CONFIG}"))
    return [path.parent for path in configs if "method" in read_json(path)]


def _row(folder: Path) -> tuple:
    config, card = read_config(folder), read_card(folder)
    return (
        config["method"],
        ", ".join(task["name"] for task in config.get("tasks") or [config["task"]]),
        config["backbone"]["name"],
        card.get("metrics", {}).get("mae"),
        card.get("device"),
        card.get("description"),
    )

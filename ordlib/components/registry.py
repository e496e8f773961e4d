"""List pretrained components; load them by name, folder or hub id."""

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch

from ..clip import ClipBackbone, load_clip
from ..clip.checkpoints import is_hub_id
from ..methods import BASELINES, METHODS, find_method
from ..methods.predictor import as_backbone
from ..utils.reading import errors_name, read_json, shorten
from ..utils.validation import check_choice
from .backbones import find_backbone
from .hub import fetch
from .io import CONFIG, read_card, read_config, read_unchanged, trained_resize

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
    revision: str | None = None,
) -> "TrainableModule":
    """Load a trained method, ready for prediction, with its card in ``model.card``.

    Args:
        name: the first that exists of: a name in :func:`list_components`; a folder written by
            ``save_pretrained``, relative or absolute; a repository "owner/name" of the Hugging Face
            hub, of which config, card and safetensors are downloaded. "./owner/name" is never a
            repository.
        clip: the backbone it was trained on; None looks for it on this machine: by name, by the
            path from the component, and by the hash of the weights, see components/backbones.py.
        device: of the loaded backbone, see :func:`ordlib.load_clip`.
        revision: branch, tag or commit on the hub; None is "main". The commit is then in
            ``model.source``, "owner/name@commit".

    Raises:
        FileNotFoundError: no such component; the message lists the bundled ones. Or the backbone
            is not on this machine.
        ValueError: different backbone, damaged files, unknown method, or a revision of a folder.

    Example:
        >>> load_component("counting-by-magic")
        Traceback (most recent call last):
        FileNotFoundError: no component 'counting-by-magic'; ...
    """
    if not isinstance(name, str | os.PathLike):
        raise TypeError(f"name = {name!r:.80}: must be a name, or the path of a folder")
    if revision is not None and not _is_revision(revision):
        raise ValueError(f"revision = {revision!r:.80}: must be a branch, tag or commit")
    clip = None if clip is None else as_backbone(clip)
    folder, source = _find(name, revision)
    model = read_unchanged(folder, partial(_load, folder, clip, device))
    model.source = source
    return model


def _load(
    folder: Path, clip: ClipBackbone | None, device: str | torch.device | None
) -> "TrainableModule":
    config = read_config(folder)
    with errors_name(folder / CONFIG):
        check_choice("method", method := config.get("method"), (*METHODS, *BASELINES))
    # A regression on pixels has none.
    if clip is None and not (method in BASELINES and config.get("backbone") is None):
        with errors_name(folder / CONFIG):
            resize = trained_resize(config)
        backbone, commit = find_backbone(folder, config)
        clip = load_clip(backbone, device, revision=commit, resize=resize)
    model = find_method(method).from_pretrained(folder, clip)
    model.card = read_card(folder)
    return model


def _find(name: str | os.PathLike, revision: str | None) -> tuple[Path, str | None]:
    """Folder of a component, and "owner/name@commit" if it is one of the hub."""
    text = os.fspath(name)
    # A bundled name is a plain one: "../x" is a folder of the user.
    bundled = [COMPONENTS / text] if text == Path(text).name else []
    folders = [*bundled, Path(os.path.expanduser(text))] if text else []
    for folder in folders:
        if os.path.isdir(folder):  # Path.is_dir raises for names that are too long
            if revision is not None:
                raise ValueError(f"revision = {revision!r}: of the hub only; {folder} is a folder")
            return folder, None
    names = ", ".join(folder.name for folder in _folders()) or "none"
    missing = f"no component {shorten(text)}; give a folder or a bundled component: {names}"
    if not is_hub_id(text):
        raise FileNotFoundError(f"{missing}; or a repository of the hub, 'owner/name'")
    try:
        folder, commit = fetch(text, revision)
    except FileNotFoundError as error:
        if " at commit " in str(error):
            raise
        raise FileNotFoundError(f"{error}. There is no folder {text!r} here, either") from None
    return folder, f"{text}@{commit}"


def _is_revision(name: object) -> bool:
    """Whether a value can be the name of a branch, tag or commit, and no path out of a folder."""
    is_name = isinstance(name, str) and bool(name) and name.isprintable() and " " not in name
    return is_name and ".." not in name and not name.startswith("/") and len(name) < 256


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

"""Components on disk: safetensors, a config, a card, and a hash that ties them together."""

import hashlib
import json
import os
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ..utils.cache import atomic_write

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "card.json"


def save_checkpoint(
    folder: str | os.PathLike, config: dict, tensors: dict[str, Tensor], card: dict
) -> None:
    """Write a component: every file is whole or not there, and config and card name the weights.

    Args:
        folder: made if missing.
        config: what rebuilds the method, for JSON.
        tensors: the trained parts.
        card: what is to be said of it, for JSON.

    Example:
        >>> import tempfile, torch
        >>> folder = tempfile.mkdtemp()
        >>> save_checkpoint(folder, {"method": "A"}, {"x": torch.ones(2)}, {"seed": 0})
        >>> config, tensors = load_checkpoint(folder)
        >>> config["method"], tensors["x"]
        ('A', tensor([1., 1.]))
    """
    weights = save({name: t.detach().cpu().contiguous() for name, t in tensors.items()})
    sha256 = {"sha256": hashlib.sha256(weights).hexdigest()}
    # The config comes last: with the hash in it, a mixture of old and new files is found out.
    for name, content in (
        (WEIGHTS, weights),
        (CARD, _as_json(card | sha256)),
        (CONFIG, _as_json(config | sha256)),
    ):
        with atomic_write(Path(folder) / name) as temporary:
            temporary.write_bytes(content)


def load_checkpoint(folder: str | os.PathLike) -> tuple[dict, dict[str, Tensor]]:
    """Config and checked tensors, on the CPU, of a folder that :func:`save_checkpoint` wrote.

    Raises:
        FileNotFoundError: the folder or one of its files is missing (says which).
        ValueError: the weights are not those that the config names.
    """
    folder = Path(folder)
    config = read_json(folder / CONFIG)
    weights = _bytes(folder / WEIGHTS)
    found = hashlib.sha256(weights).hexdigest()
    if found != config.get("sha256"):
        raise ValueError(
            f"{folder / WEIGHTS} has sha256 {found[:12]}..., its config says "
            f"{str(config.get('sha256'))[:12]}...: the file was damaged or exchanged; fetch or "
            "train the component again"
        )
    try:
        return config, load(weights)
    except SafetensorError as error:
        raise ValueError(f"{folder / WEIGHTS} is no safetensors file: {error}") from error


def read_json(path: Path) -> dict:
    """A component's config or card.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no JSON, or no fields.
    """
    try:
        content = json.loads(_bytes(path))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged: it holds {content!r:.40}, not fields")
    return content


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        raise FileNotFoundError(f"{path.parent} is no component: it lacks {path.name}")
    return path.read_bytes()


def _as_json(content: dict) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()

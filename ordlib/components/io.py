"""Component files: safetensors weights, config and card, linked by a SHA-256 hash."""

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ..utils.cache import atomic_write

if TYPE_CHECKING:
    from ..clip import ClipBackbone

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "card.json"


def save_checkpoint(
    folder: str | os.PathLike, config: dict, tensors: dict[str, Tensor], card: dict
) -> None:
    """Save a component; each file is written atomically, config and card hold the weights' hash.

    Args:
        folder: created if missing.
        config: JSON-serializable arguments that rebuild the method.
        tensors: trained tensors.
        card: JSON-serializable model card.

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
    card_json, config_json = _to_json(card | sha256), _to_json(config | sha256)
    # The config is last: its hash exposes a mixture of old and new files.
    for name, content in ((WEIGHTS, weights), (CARD, card_json), (CONFIG, config_json)):
        with atomic_write(Path(folder) / name) as temporary:
            temporary.write_bytes(content)


def load_checkpoint(folder: str | os.PathLike) -> tuple[dict, dict[str, Tensor]]:
    """Load config and tensors (on the CPU) saved by :func:`save_checkpoint`.

    Raises:
        FileNotFoundError: the folder or one of its files is missing.
        ValueError: the weights do not match the hash in the config, or are NaN or infinite.
    """
    folder = Path(folder)
    config = read_json(folder / CONFIG)
    weights = _read(folder / WEIGHTS)
    sha256 = hashlib.sha256(weights).hexdigest()
    if sha256 != config.get("sha256"):
        raise ValueError(
            f"{folder / WEIGHTS}: sha256 = {sha256[:12]}...: config.json has "
            f"{str(config.get('sha256'))[:12]}..., so the file is damaged or exchanged; "
            "download or train the component again"
        )
    try:
        tensors = load(weights)
    except SafetensorError as error:
        raise ValueError(f"{folder / WEIGHTS}: not a safetensors file: {error}") from error
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ValueError(
                f"{folder / WEIGHTS}: {name} contains NaN or infinite values; train the component "
                "again"
            )
    return config, tensors


def read_json(path: Path) -> dict:
    """Read a component's config or card; ValueError if it is not a JSON object."""
    try:
        content = json.loads(_read(path))
    except ValueError as error:
        raise ValueError(f"{path}: damaged: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: damaged: {content!r:.40} is not a JSON object")
    return content


def check_backbone(folder: str | os.PathLike, config: dict, clip: "ClipBackbone") -> None:
    """Check that a backbone is the one that a component was trained on.

    Args:
        folder: the component's, for messages.
        config: the component's; older ones lack "settings" and "resize".
        clip: the backbone.

    Raises:
        ValueError: other weights, settings or ``resize``, or weights changed since loading.
    """
    trained = config["backbone"]
    name, sha256 = trained["name"], trained["sha256"]
    if sha256 != clip.weights_hash:
        raise ValueError(
            f"{folder} was trained on {name!r} (weights {sha256[:8]}) and does not fit "
            f"{clip.name!r} (weights {clip.weights_hash[:8]}); load that backbone or train the "
            "method on this one"
        )
    if (resize := trained_resize(config)) != clip.resize:
        raise ValueError(
            f"{folder} was trained with resize={resize!r}, the backbone has {clip.resize!r}; "
            f"use load_clip({clip.name!r}, resize={resize!r})"
        )
    if trained.get("settings", clip.settings_hash) != clip.settings_hash:
        raise ValueError(
            f"{folder} was trained on {name!r} with another config, tokenizer or image "
            f"preprocessing than in {clip.folder or clip.name}, whose weights are the same; "
            "restore those files or train the method on this backbone"
        )
    if not clip.weights_unchanged:
        raise ValueError(
            f"{folder} does not fit {clip.name!r}: its weights have changed since it was loaded; "
            "load it again with load_clip"
        )


def trained_resize(config: dict) -> str:
    """Return the ``resize`` of the backbone that a component was trained with."""
    return config["backbone"].get("resize", "crop")


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise FileNotFoundError(f"{path.parent}: not a component, {path.name} is missing")
    return path.read_bytes()


def _to_json(content: dict) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()

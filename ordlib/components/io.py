"""Component files: safetensors weights, config and card, linked by SHA-256 hashes."""

import errno
import hashlib
import json
import os
import re
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ..utils.cache import delete_remains, file_signature, lock_folder
from ..utils.reading import (
    MAX_JSON_BYTES,
    check_file,
    errors_name,
    get_field,
    parse_json,
    read_file,
    read_json,
    shorten,
)
from .model_card import README, is_generated, model_card

if TYPE_CHECKING:
    from ..clip import ClipBackbone

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "card.json"
MAX_WEIGHTS_BYTES = 16 * 2**30
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
FILES = (WEIGHTS, CARD, README, CONFIG)
_PENDING = re.compile(rf"({'|'.join(map(re.escape, FILES))})\.[0-9a-f]{{16}}")
ATTEMPTS = 20
_REMEDY = "choose another folder, or move that one away"
T = TypeVar("T")


def save_checkpoint(
    folder: str | os.PathLike,
    config: dict,
    tensors: dict[str, Tensor],
    card: dict,
    name: str | None = None,
) -> None:
    """Save a component. Interrupted at any time, it leaves the old component or the new one.

    All files are first written under names that end in a hash of the new config. The config, which
    is renamed first, decides: :func:`load_checkpoint` reads the files of its hash, and else those
    of the usual names, which the new files have at last. One process saves to a folder at a time. A
    README.md that an author has edited is kept, with a warning.

    Args:
        folder: created if missing.
        config: JSON-serializable arguments that rebuild the method.
        tensors: trained tensors.
        card: JSON-serializable model card.
        name: in README.md, see :func:`~.model_card.model_card`; None is the folder's.

    Raises:
        ValueError: what :func:`load_checkpoint` would refuse; nothing is written.

    Example:
        >>> import tempfile, torch
        >>> folder = tempfile.mkdtemp()
        >>> save_checkpoint(folder, {"method": "A"}, {"x": torch.ones(2)}, {"seed": 0})
        >>> config, tensors = load_checkpoint(folder)
        >>> config["method"], tensors["x"], read_card(folder)["seed"]
        ('A', tensor([1., 1.]), 0)
    """
    folder = Path(folder)
    _check_tensors(folder / WEIGHTS, tensors)
    weights = pack(tensors)
    sha256 = {"sha256": hashlib.sha256(weights).hexdigest()}
    contents = {
        WEIGHTS: weights,
        CARD: _to_json(folder / CARD, card, sha256),
        README: model_card(name or folder.resolve().name, config, card).encode(errors="replace"),
        CONFIG: _to_json(folder / CONFIG, config, sha256),
    }
    folder.mkdir(parents=True, exist_ok=True)
    _check_writable(folder)
    delete_remains(folder)
    with lock_folder(folder):
        _complete(folder)
        try:
            for file, content in contents.items():
                _write(_pending(folder / file, contents[CONFIG]), content)
        except OSError as error:
            for name in contents:  # A full disk would stay full.
                _pending(folder / name, contents[CONFIG]).unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror, str(folder / file)) from error
        os.replace(_pending(folder / CONFIG, contents[CONFIG]), folder / CONFIG)
        is_edited = not is_generated(folder / README)
        _complete(folder)
    if is_edited:
        warnings.warn(
            f"{folder / README} has been edited and is kept; check that it still fits the model "
            "just saved. Delete it before saving to get a new one",
            stacklevel=4,
        )


def _check_writable(folder: Path) -> None:
    for path in (folder / WEIGHTS, folder / CARD, folder / CONFIG):
        if os.path.lexists(path):
            check_file(path, folder)
            if not os.access(path, os.W_OK) or not path.stat().st_mode & 0o222:
                problem = "is read-only; make it writable, or give another folder"
                raise PermissionError(errno.EACCES, problem, str(path))


def check_replaceable(folder: Path, config: dict) -> None:
    """Raise unless a folder is free for a component, or has an earlier one of the same kind.

    Raises:
        ValueError: the folder has a file of such a name that is not a component's, or the component
            of another method or task.
    """
    if not os.path.lexists(folder / CONFIG):
        if os.path.lexists(folder / WEIGHTS):
            raise ValueError(f"{folder / WEIGHTS}: is not a component's; {_REMEDY}")
        return
    try:
        earlier = read_json(check_file(folder / CONFIG))
    except ValueError as error:
        raise ValueError(f"{error}; {_REMEDY}") from error
    if not {"method", "sha256"} <= earlier.keys():
        raise ValueError(f"{folder / CONFIG}: is not a component's, perhaps CLIP's; {_REMEDY}")
    (old, old_tasks), (new, new_tasks) = map(_kind, (earlier, config))
    if (old, sorted(old_tasks)) != (new, sorted(new_tasks)):
        raise ValueError(
            f"{folder}: has a {shorten(old)} for {', '.join(map(shorten, old_tasks))}, not a "
            f"{new!r} for {', '.join(map(repr, new_tasks))}; {_REMEDY}"
        )


def read_unchanged(folder: str | os.PathLike, read: Callable[[], T]) -> T:
    """Result of ``read``; again if another process has saved to the folder meanwhile."""
    for _ in range(ATTEMPTS):
        before, result, failure = _signatures(folder), None, None
        try:
            result = read()
        except (OSError, ValueError) as error:
            failure = error
        if _signatures(folder) == before:
            break
    if failure is not None:
        raise failure
    return result


def _signatures(folder: str | os.PathLike) -> list[tuple]:
    return [file_signature(Path(folder) / name) for name in (CONFIG, WEIGHTS, CARD)]


def pack(tensors: dict[str, Tensor]) -> bytes:
    """Return the content of the weights file of a component."""
    return save({name: t.detach().cpu().contiguous() for name, t in tensors.items()})


def load_checkpoint(folder: str | os.PathLike) -> tuple[dict, dict[str, Tensor]]:
    """Load config and tensors (on the CPU) saved by :func:`save_checkpoint`.

    Raises:
        FileNotFoundError: the folder or one of its files is missing.
        ValueError: a file is damaged; the weights do not match the hash in the config, or are
            no finite floating-point numbers.
    """
    return read_unchanged(folder, partial(_load, folder))


def _load(folder: str | os.PathLike) -> tuple[dict, dict[str, Tensor]]:
    config, weights_path = _config_and(Path(folder), WEIGHTS)
    weights = read_file(weights_path, MAX_WEIGHTS_BYTES)
    sha256 = hashlib.sha256(weights).hexdigest()
    if sha256 != config.get("sha256"):
        raise ValueError(
            f"{weights_path}: sha256 = {sha256[:12]}...: config.json has "
            f"{shorten(config.get('sha256'), 12)}, so the file is damaged or exchanged; "
            "download or train the component again"
        )
    try:
        tensors = load(weights)
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise ValueError(f"{weights_path}: not a safetensors file: {error}") from error
    _check_tensors(weights_path, tensors)
    return config, tensors


def _check_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPES or tensor.is_meta or not tensor.float().isfinite().all():
            raise ValueError(
                f"{path}: {name} contains NaN or infinite values, or no floating-point numbers; "
                "train the component again"
            )


def _kind(config: dict) -> tuple[object, list[str]]:
    """Method and names of the tasks of a component."""
    tasks = config.get("tasks") or [config.get("task")]
    names = [task.get("name") for task in tasks if isinstance(task, dict)]
    return config["method"], [str(name) for name in names]


def read_config(folder: str | os.PathLike) -> dict:
    """Read the config of a component; errors as of :func:`load_checkpoint`."""
    return _config_and(folder, CONFIG)[0]


def read_card(folder: str | os.PathLike) -> dict:
    """Read the card of a component; ValueError if it is damaged or that of other weights."""
    config, path = _config_and(folder, CARD)
    card = read_json(path)
    if card.get("sha256", config.get("sha256")) != config.get("sha256"):
        raise ValueError(f"{path}: sha256 is not that in config.json: the card of other weights")
    return card


def backbone_config(clip: "ClipBackbone") -> dict[str, str]:
    """Return what a config records of a backbone, for :func:`check_backbone`."""
    return {
        "name": clip.name,
        "sha256": clip.weights_hash,
        "settings": clip.settings_hash,
        "resize": clip.resize,
    }


def check_backbone(folder: str | os.PathLike, config: dict, clip: "ClipBackbone") -> None:
    """Check that a backbone is the one that a component was trained on.

    Args:
        folder: the component's, for messages.
        config: the component's; older ones lack "settings" and "resize".
        clip: the backbone.

    Raises:
        ValueError: other weights, settings or ``resize``, or weights changed since loading.
    """
    with errors_name(Path(folder) / CONFIG):
        name, sha256 = (get_field(config, f"backbone.{key}", str) for key in ("name", "sha256"))
        settings = get_field(config, "backbone.settings", str, default=clip.settings_hash)
        resize = trained_resize(config)
        get_field(config, "backbone.path", str, default="")
    if sha256 != clip.weights_hash:
        raise ValueError(
            f"{folder} was trained on {name!r} (weights {shorten(sha256, 9)}) and does not fit "
            f"{clip.name!r} (weights {clip.weights_hash[:8]}); load that backbone and "
            "pass it as clip=, or train the method on this one"
        )
    if resize != clip.resize:
        raise ValueError(
            f"{folder} was trained with resize={resize!r}, the backbone has {clip.resize!r}; "
            f"use load_clip({clip.name!r}, resize={resize!r})"
        )
    if settings != clip.settings_hash:
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
    return get_field(config, "backbone.resize", str, default="crop")


def _config_and(folder: str | os.PathLike, name: str) -> tuple[dict, Path]:
    """Config, and the path of the file of a name that belongs to it."""
    folder = Path(folder)
    try:
        content = read_file(folder / CONFIG)
        path = _pending(folder / name, content)
        path = path if path.exists() else check_file(folder / name)
    except FileNotFoundError as error:
        reason = str(error).removeprefix(f"{folder}: ")
        raise FileNotFoundError(f"{folder}: not a component, {reason}") from None
    return parse_json(folder / CONFIG, content), path


def _pending(path: Path, config_json: bytes) -> Path:
    return path.with_name(f"{path.name}.{hashlib.sha256(config_json).hexdigest()[:16]}")


def _complete(folder: Path) -> None:
    """Give pending files of the present config the usual names; delete those of other saves."""
    if (folder / CONFIG).exists():
        config_json = read_file(folder / CONFIG)
        for name in (WEIGHTS, CARD, README):
            pending = _pending(folder / name, config_json)
            # Of an edited model card, only the pending one goes.
            if pending.is_file() and (name != README or is_generated(folder / name)):
                os.replace(pending, folder / name)
    for path in folder.iterdir():
        if _PENDING.fullmatch(path.name):
            path.unlink()


def _write(path: Path, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _to_json(path: Path, content: dict, sha256: dict[str, str]) -> bytes:
    with errors_name(path, RecursionError):
        text = json.dumps(content | sha256, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    # Bytes of a path that are no text become the JSON escapes that they have in Python.
    encoded = text.encode(errors="backslashreplace")
    if len(encoded) > MAX_JSON_BYTES:
        raise ValueError(f"{path}: has {len(encoded):,} bytes; at most {MAX_JSON_BYTES} are read")
    parse_json(path, encoded)  # Two keys, such as 1 and "1", may be the same text.
    return encoded

"""Where a CLIP checkpoint lies, whether it is one, and what its weights are called."""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

from ..utils.cache import cache_dir, digest, replacing
from .hub import SETTINGS, WEIGHTS, cached, fetch

BUNDLED = Path(__file__).parents[1] / "components" / "weights"


def find_checkpoint(name: str | os.PathLike, revision: str | None = None) -> Path:
    """Return the folder of a checkpoint, downloading it when only the hub has it.

    Args:
        name: a bundled name, a local folder, or a hub id like "openai/clip-vit-base-patch32".
        revision: branch, tag or commit on the hub; None takes a pinned commit where ordlib
            knows one, else "main".

    Returns:
        A folder that holds a CLIP model: its config, safetensors weights, and a tokenizer.

    Raises:
        FileNotFoundError: no such checkpoint, a file is missing, or the hub is out of reach.
        ValueError: the checkpoint is no CLIP model.

    Example:
        >>> find_checkpoint("no-such-clip")
        Traceback (most recent call last):
        ...
        FileNotFoundError: no checkpoint 'no-such-clip': ...
    """
    name = os.fspath(name)
    if not name:
        raise FileNotFoundError("no checkpoint '': give a bundled name, a hub id or a folder")
    for folder in (BUNDLED / name, Path(name).expanduser()):
        if folder.is_dir():
            check_kind(folder)
            break
    else:
        folder = _from_hub(name, revision)
    check_files(folder)
    return folder


def bundled() -> list[str]:
    """Return the names of the CLIP checkpoints inside the package.

    Example:
        >>> "openai/clip-vit-base-patch32" in bundled()
        False
    """
    configs = BUNDLED.glob("*/config.json")
    return sorted(path.parent.name for path in configs if _kind(path) == "clip")


def check_kind(folder: Path) -> None:
    """Raise unless a folder's config describes a CLIP model with both towers.

    Raises:
        FileNotFoundError: there is no config.
        ValueError: it describes another model.
    """
    config = folder / "config.json"
    if not config.is_file():
        raise FileNotFoundError(
            f"{folder} is no transformers checkpoint: it lacks config.json ({_found(folder)})"
        )
    kind = _kind(config)
    if kind != "clip":
        raise ValueError(
            f"{config} describes a model of type {kind!r}; ordlib needs 'clip', a transformers "
            "CLIPModel with an image and a text tower"
        )


def check_files(folder: Path) -> None:
    """Raise ``FileNotFoundError`` unless a folder has safetensors weights and a tokenizer."""
    if not weights_files(folder):
        raise FileNotFoundError(
            f"{folder} has no model.safetensors ({_found(folder)}). ordlib loads safetensors "
            "only, because unpickling a file can run code. If this came from the hub, its main "
            "branch holds a pickle only: pass revision='refs/pr/N', the hub's own conversion, "
            "which the model's page lists under Community. If it was saved here, save it again "
            "with model.save_pretrained(folder)"
        )
    pair = (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file()
    if not pair and not (folder / "tokenizer.json").is_file():
        raise FileNotFoundError(
            f"{folder} has no tokenizer: neither tokenizer.json nor vocab.json with merges.txt "
            f"({_found(folder)}). Save it there with tokenizer.save_pretrained(folder)"
        )


def weights_files(folder: Path) -> list[Path]:
    """Return the safetensors files of the model in a folder: one, or its numbered parts."""
    single = folder / "model.safetensors"
    return [single] if single.is_file() else sorted(folder.glob("model-*-of-*.safetensors"))


def hash_weights(folder: Path) -> str:
    """Return the sha256 of a checkpoint's weights, remembered by path, size and time.

    Args:
        folder: folder of a checkpoint.

    Returns:
        64 hexadecimal digits; of several files, the hash of their hashes.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "model.safetensors").write_bytes(b"weights")
        >>> hash_weights(folder)[:8]
        '9a129038'
    """
    files = weights_files(folder)
    stamps = [(path.resolve(), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    memo = cache_dir() / "hashes" / digest(*stamps)
    if memo.is_file():
        return memo.read_text()
    hashes = [_sha256(path) for path in files]
    total = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
    # A cache that cannot be written costs a second, no more.
    with suppress(OSError), replacing(memo) as temporary:
        temporary.write_text(total)
    return total


def _from_hub(name: str, revision: str | None) -> Path:
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise FileNotFoundError(
            f"no checkpoint {name!r}: there is no such folder, it is no hub id ('owner/name'), and "
            f"it is not bundled with ordlib (bundled: {', '.join(bundled()) or 'none as yet'})"
        )
    folder = cached(name, revision)
    with suppress(FileNotFoundError):
        if folder:
            check_kind(folder)
            check_files(folder)
            return folder
    # The config first: half a gigabyte later is too late to learn that it is no CLIP.
    check_kind(fetch(name, ["config.json"], revision))
    return fetch(name, [*WEIGHTS, *SETTINGS], revision)


def _kind(config: Path) -> str | None:
    return json.loads(config.read_text(encoding="utf-8")).get("model_type")


def _found(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    return f"found: {shown or 'nothing'}"


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

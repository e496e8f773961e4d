"""Where a CLIP checkpoint is: inside the package, in a folder, or on the Hugging Face hub."""

import hashlib
import json
import os
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from .storage import cache_dir, digest, replacing

BUNDLED = Path(__file__).parent / "weights"

# OpenAI's main branch holds a pickle only. This commit is the hub's own conversion of it to
# safetensors, and a commit never changes.
REVISIONS = {"openai/clip-vit-base-patch32": "c237dc49a33fc61debc9276459120b7eac67e7ef"}

WANTED = [
    "config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*-of-*.safetensors",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
]


def find_checkpoint(name: str | os.PathLike, revision: str | None = None) -> Path:
    """Return the folder of a checkpoint, downloading it when it is on the hub only.

    Args:
        name: a bundled name, a local folder, or a hub id like "openai/clip-vit-base-patch32".
        revision: branch, tag or commit on the hub; None takes a pinned commit where ordlib
            knows one, else "main". Only hub ids have revisions.

    Returns:
        A folder that holds a ``config.json`` of a CLIP model and safetensors weights.

    Raises:
        FileNotFoundError: no such checkpoint, no weights in it, or the hub is out of reach.
        ValueError: the checkpoint is not a CLIP model.

    Example:
        >>> find_checkpoint("no-such-clip")
        Traceback (most recent call last):
        ...
        FileNotFoundError: no checkpoint 'no-such-clip': ...
    """
    name = os.fspath(name)
    for folder in (BUNDLED / name, Path(name).expanduser()):
        if folder.is_dir():
            break
    else:
        folder = _download(name, revision)
    _check(folder, name)
    return folder


def bundled() -> list[str]:
    """Return the names of the checkpoints inside the package.

    Example:
        >>> isinstance(bundled(), list)
        True
    """
    return sorted(
        path.parent.name
        for path in BUNDLED.glob("*/config.json")
        if json.loads(path.read_text()).get("model_type") == "clip"
    )


def weights_files(folder: Path) -> list[Path]:
    """Return the safetensors files that make up the model in a folder, sorted by name."""
    single = folder / "model.safetensors"
    return [single] if single.is_file() else sorted(folder.glob("model-*-of-*.safetensors"))


def hash_weights(folder: Path) -> str:
    """Return the sha256 of a checkpoint's weights, remembered by path, size and time.

    Args:
        folder: folder of a checkpoint.

    Returns:
        64 hexadecimal digits; of several files, the hash of their hashes.
    """
    files = weights_files(folder)
    stamps = [(path.resolve(), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    memo = cache_dir() / "hashes" / digest(*stamps)
    if memo.is_file():
        return memo.read_text()
    hashes = []
    for path in files:
        with open(path, "rb") as file:
            hashes.append(hashlib.file_digest(file, "sha256").hexdigest())
    total = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
    with replacing(memo) as temporary:
        temporary.write_text(total)
    return total


def _check(folder: Path, name: str) -> None:
    """Raise unless the folder holds a CLIP model whose weights are safetensors."""
    found = ", ".join(sorted(path.name for path in folder.iterdir())[:12]) or "nothing"
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(
            f"{folder} is no transformers checkpoint: it has no config.json (found: {found})"
        )
    kind = json.loads((folder / "config.json").read_text()).get("model_type")
    if kind != "clip":
        raise ValueError(
            f"{folder}/config.json describes a model of type {kind!r}; ordlib needs 'clip', "
            "a transformers CLIPModel with both an image and a text tower"
        )
    if not weights_files(folder):
        raise FileNotFoundError(
            f"{folder} has no model.safetensors (found: {found}). ordlib loads safetensors only, "
            "because unpickling a file can run code. Of a hub checkpoint, either the download "
            "was cut short (try again with network), or this revision holds a pickle only: "
            f"load_clip({name!r}, revision='refs/pr/N') takes the converted copy that most such "
            "pages list under Community"
        )


def _download(name: str, revision: str | None) -> Path:
    """Return the snapshot of a hub checkpoint, from the hub's local cache where it is whole."""
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise FileNotFoundError(
            f"no checkpoint {name!r}: no such folder, not a hub id ('owner/name'), and not "
            f"bundled with ordlib (bundled: {', '.join(bundled()) or 'none in this version'})"
        )
    revision = revision or REVISIONS.get(name)
    try:
        return _snapshot(name, revision, local_files_only=True)
    except (OSError, HFValidationError):
        pass
    try:
        return _snapshot(name, revision, local_files_only=False)
    except (OSError, HFValidationError) as error:
        raise FileNotFoundError(_explain(name, revision, error)) from error


def _snapshot(name: str, revision: str | None, local_files_only: bool) -> Path:
    folder = Path(
        snapshot_download(
            name, revision=revision, allow_patterns=WANTED, local_files_only=local_files_only
        )
    )
    if local_files_only and not ((folder / "config.json").is_file() and weights_files(folder)):
        raise FileNotFoundError(f"{folder} is incomplete")
    return folder


def _explain(name: str, revision: str | None, error: Exception) -> str:
    """Say what went wrong with the hub, and the way out."""
    where = f"{name} (revision {revision or 'main'})"
    chain: list[BaseException] = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    statuses = {getattr(getattr(link, "response", None), "status_code", None) for link in chain}
    if isinstance(error, HFValidationError):
        return f"{name!r} is neither a folder nor a hub id ('owner/name'): {error}"
    if isinstance(error, GatedRepoError):
        return f"the hub gives {where} only to people who accepted its terms: run `hf auth login`"
    if isinstance(error, RevisionNotFoundError):
        return f"the hub has {name}, but no revision {revision!r} of it (404)"
    if 429 in statuses:
        reason = (
            f"the hub has had too many requests from this address (429) and did not send {where}. "
            "The limit is shared by everyone behind the address, on Colab too: wait five minutes, "
            "or log in with `hf auth login`"
        )
    elif isinstance(error, RepositoryNotFoundError) or 404 in statuses:
        return f"the hub has no {where}, or it is private (404): check the spelling"
    else:
        reason = (
            f"{where} is not in the local hub cache and the hub is out of reach "
            f"({type(chain[-1]).__name__})"
        )
    pin = f" --revision {revision}" if revision else ""
    return (
        f"{reason}. Without network: on a machine that has it, run `hf download {name}{pin} "
        f"--local-dir {name.split('/')[-1]}`, copy that folder here, and give its path instead of "
        "the name. Or use a bundled checkpoint, which needs no download "
        f"(bundled: {', '.join(bundled()) or 'none in this version'})"
    )

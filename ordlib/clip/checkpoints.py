"""CLIP checkpoints: bundled, in a folder or on the Hugging Face hub; what makes a whole one."""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ..utils.cache import atomic_write, cache_dir, content_hash

BUNDLED = Path(__file__).parents[1] / "components" / "weights"

# OpenAI's main branch holds a pickle only. This commit is the hub's own conversion of it to
# safetensors, and a commit never changes.
REVISIONS = {"openai/clip-vit-base-patch32": "c237dc49a33fc61debc9276459120b7eac67e7ef"}

WEIGHTS = ["model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors"]
SETTINGS = [
    *("config.json", "preprocessor_config.json", "processor_config.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "merges.txt"),
]


def find_checkpoint(name: str | os.PathLike, revision: str | None = None) -> Path:
    """Folder of a checkpoint, downloaded when only the hub has it.

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
        FileNotFoundError: no checkpoint 'no-such-clip': ...
    """
    name = os.fspath(name)
    if not name:
        raise FileNotFoundError("no checkpoint '': give a bundled name, a hub id or a folder")
    for folder in (BUNDLED / name, Path(name).expanduser()):
        if folder.is_dir():
            validate_model_type(folder)
            break
    else:
        folder = _from_hub(name, revision)
    check_files(folder)
    return folder


def list_bundled() -> list[str]:
    """Names of the CLIP checkpoints inside the package."""
    configs = BUNDLED.glob("*/config.json")
    return sorted(path.parent.name for path in configs if _model_type(path) == "clip")


def validate_model_type(folder: Path) -> None:
    """Raise unless a folder's config is there and describes a CLIP model with both towers."""
    config = folder / "config.json"
    if not config.is_file():
        raise FileNotFoundError(
            f"{folder} is no transformers checkpoint: it lacks config.json ({_found(folder)})"
        )
    kind = _model_type(config)
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
    """Safetensors files of the model in a folder: one, or its numbered parts."""
    single = folder / "model.safetensors"
    return [single] if single.is_file() else sorted(folder.glob("model-*-of-*.safetensors"))


def hash_weights(folder: Path) -> str:
    """sha256 of a checkpoint's weights, remembered by path, size and time.

    64 hexadecimal digits; of several files, the hash of their hashes.
    """
    files = weights_files(folder)
    stamps = [(path.resolve(), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    memo = cache_dir() / "hashes" / content_hash(*stamps)
    if memo.is_file():
        return memo.read_text()
    hashes = [_sha256(path) for path in files]
    total = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
    # A cache that cannot be written costs a second, no more.
    with suppress(OSError), atomic_write(memo) as temporary:
        temporary.write_text(total)
    return total


def _from_hub(name: str, revision: str | None) -> Path:
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise FileNotFoundError(
            f"no checkpoint {name!r}: there is no such folder, it is no hub id ('owner/name'), and "
            f"it is not bundled with ordlib (bundled: {', '.join(list_bundled()) or 'none as yet'})"
        )
    folder = cached(name, revision)
    with suppress(FileNotFoundError):
        if folder:
            validate_model_type(folder)
            check_files(folder)
            return folder
    # The config first: half a gigabyte later is too late to learn that it is no CLIP.
    validate_model_type(download(name, ["config.json"], revision))
    return download(name, [*WEIGHTS, *SETTINGS], revision)


def _model_type(config: Path) -> str | None:
    return json.loads(config.read_text(encoding="utf-8")).get("model_type")


def _found(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    return f"found: {shown or 'nothing'}"


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cached(name: str, revision: str | None = None) -> Path | None:
    """Folder of a repository in the hub's local cache, perhaps with files missing, or None."""
    # The hub is not asked: a class behind one address stays under its limit on requests.
    revision = revision or REVISIONS.get(name)
    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (OSError, HFValidationError):
        return None


def download(name: str, files: list[str], revision: str | None = None) -> Path:
    """Folder in the hub's local cache after a download of those ``files`` that there are.

    Raises:
        FileNotFoundError: no such repository, or the hub is out of reach; says what to do.
        OSError: the disk is full, or the cache cannot be written.
    """
    revision = revision or REVISIONS.get(name)
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=files))
    # The hub's client lets errors of its HTTP library through, whichever that is today.
    except Exception as error:
        if getattr(error, "errno", None):
            raise
        # The message holds the cause; a hundred lines of HTTP library would bury it.
        raise FileNotFoundError(_download_error_message(name, revision, error)) from None


def _download_error_message(name: str, revision: str | None, error: Exception) -> str:
    """Why the hub did not give a checkpoint, and the way out.

    Tells a wrong name (404) from too many requests (429) and from no network.
    """
    where = f"{name} (revision {revision or 'main'})"
    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    statuses = {getattr(getattr(cause, "response", None), "status_code", 0) for cause in causes}
    if isinstance(error, HFValidationError):
        return f"{name!r} is neither a folder nor a hub id ('owner/name')"
    if isinstance(error, GatedRepoError):
        return (
            f"the hub gives {where} only to those who accepted its terms: accept them at "
            f"https://huggingface.co/{name} and run `hf auth login`"
        )
    if isinstance(error, RevisionNotFoundError):
        return f"the hub has {name}, but no revision {revision!r} of it (404)"
    if isinstance(error, RepositoryNotFoundError) or 404 in statuses:
        return f"the hub has no {where}, or it is private (404): check the spelling"
    if 429 in statuses:
        return (
            f"the hub has had too many requests from this address (429) and held {where} back. "
            "Everyone behind the address shares the limit, on Colab too: wait five minutes, or "
            f"log in with `hf auth login`. {_by_hand(name, revision)}"
        )
    return (
        f"{where} is not, or not whole, in the local hub cache, and the hub is out of reach "
        f"({type(causes[-1]).__name__}). {_by_hand(name, revision)}"
    )


def _by_hand(name: str, revision: str | None) -> str:
    folder = name.split("/")[-1]
    pin = f" --revision {revision}" if revision else ""
    return (
        f"Without network: on a machine that has it, run `hf download {name}{pin} --include "
        f'"*.json" --include "*.txt" --include "*.safetensors" --local-dir {folder}`, bring the '
        f"folder here, and load_clip('path/to/{folder}')"
    )

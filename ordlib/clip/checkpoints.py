"""Locate and validate a checkpoint of CLIP or SigLIP; hash its weights."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from ..utils.cache import atomic_write, cache_dir, content_hash, file_signature, is_settled
from ..utils.hub import hub_error
from ..utils.reading import check_file, errors_name, get_field, read_json

INDEX = "model.safetensors.index.json"
# Files and keys of config.json by which transformers would load other weights than the folder's.
ADAPTER, OTHER_WEIGHTS = "adapter_config.json", "transformers_weights"
# Part of the keys of hashes that end with a check.
CHECKED = "checked"
BUNDLED = Path(__file__).parents[1] / "components" / "weights"

# OpenAI's main branch has a pickle only; this commit is the hub's conversion to safetensors.
REVISIONS = {"openai/clip-vit-base-patch32": "c237dc49a33fc61debc9276459120b7eac67e7ef"}

WEIGHTS = ["model.safetensors", INDEX, "model-*-of-*.safetensors"]
SETTINGS = [
    *("config.json", "preprocessor_config.json", "processor_config.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "merges.txt", "spiece.model"),
]
# As in ARCHITECTURES, which takes transformers' models a second to import.
MODEL_TYPES = ("clip", "siglip", "siglip2")
# Prefix of the names of open_clip's models, which have no folder.
OPEN_CLIP = "open_clip:"
OPEN_CLIP_REMEDY = (
    "create the model with open_clip, wrap it with ClipBackbone.from_open_clip(model, preprocess, "
    "tokenizer, name), and pass it as clip"
)


def find_checkpoint(name: str | os.PathLike, revision: str | None = None) -> Path:
    """Folder with CLIP config, safetensors weights and tokenizer, downloaded if necessary.

    Args:
        name: a bundled name, a local folder, or a hub id like "openai/clip-vit-base-patch32".
        revision: branch, tag or commit on the hub; None uses a pinned commit for known models,
            else "main".

    Raises:
        FileNotFoundError: no such checkpoint, a missing file, or the hub is unreachable.
        ValueError: the checkpoint is neither CLIP nor SigLIP.

    Example:
        >>> find_checkpoint("no-such-clip")
        Traceback (most recent call last):
        FileNotFoundError: no checkpoint 'no-such-clip': ...
    """
    name = os.fspath(name)
    if not name:
        raise FileNotFoundError("no checkpoint '': give a bundled name, a hub id or a folder")
    if name.startswith(OPEN_CLIP):
        raise FileNotFoundError(f"no checkpoint {name!r}: {OPEN_CLIP_REMEDY}")
    folder = local_checkpoint(name)
    if folder:
        validate_model_type(folder)
    else:
        folder = _from_hub(name, revision)
    check_files(folder)
    return folder


def is_known(name: str) -> bool:
    """Whether a checkpoint is on this machine, or on the hub at a commit that ordlib names."""
    if name in REVISIONS or local_checkpoint(name):
        return True
    return is_hub_id(name) and cached(name) is not None


def local_checkpoint(name: str) -> Path | None:
    """Folder of a bundled checkpoint, whose name has no separator, or folder of the user."""
    bundled = [BUNDLED / name] if name == Path(name).name else []
    folders = [*bundled, Path(os.path.expanduser(name))] if name else []
    # Path.is_dir raises for names that are too long.
    return next((folder for folder in folders if os.path.isdir(folder)), None)


def is_hub_id(name: str) -> bool:
    """Whether a text can be the name of a repository on the hub, "owner/name"."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return isinstance(name, str) and name.count("/") == 1


def list_bundled() -> list[str]:
    """Names of the CLIP checkpoints inside the package."""
    configs = BUNDLED.glob("*/config.json")
    return sorted(path.parent.name for path in configs if model_type(path) in MODEL_TYPES)


def validate_model_type(folder: Path) -> None:
    """Raise unless the folder's config describes a CLIP or SigLIP model."""
    config = folder / "config.json"
    if not config.exists():
        raise FileNotFoundError(
            f"{folder}: not a transformers checkpoint, config.json is missing ({_listing(folder)})"
        )
    if (kind := model_type(config)) not in MODEL_TYPES:
        raise ValueError(
            f"{config}: model_type = {kind!r}: must be 'clip' (CLIPModel), 'siglip' (SiglipModel) "
            "or 'siglip2' (Siglip2Model)"
        )


def check_files(folder: Path) -> None:
    """Raise unless the folder has safetensors weights of its own and a tokenizer.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a damaged index of shards, a PEFT adapter, other weights in config.json, or a
            file that is no regular one or a link out of the folder.
    """
    for pattern in (*WEIGHTS, *SETTINGS):
        for path in folder.glob(pattern):
            check_file(path)
    if (folder / ADAPTER).exists():
        raise ValueError(
            f"{folder / ADAPTER}: a PEFT adapter beside the weights: merge it into them with "
            "model.merge_and_unload().save_pretrained(folder), or move it to another folder"
        )
    if other := read_json(folder / "config.json").get(OTHER_WEIGHTS):
        raise ValueError(
            f"{folder / 'config.json'}: {OTHER_WEIGHTS} = {other!r:.80}: rename that file to "
            "model.safetensors and delete the entry"
        )
    files = weights_files(folder)
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(
                f"{folder / INDEX} names {file.name!r}, which is missing; download or save the "
                "checkpoint again"
            )
        check_file(file, folder)
    if not files:
        raise FileNotFoundError(
            f"{folder}: no model.safetensors ({_listing(folder)}). ordlib loads safetensors only, "
            "because unpickling can run code. From the hub: pass revision='refs/pr/N', the "
            "safetensors conversion, listed under Community on the model's page. Your own model: "
            "save it again with model.save_pretrained(folder)"
        )
    vocabulary = (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file()
    files = (folder / "tokenizer.json", folder / "spiece.model")
    if not vocabulary and not any(file.is_file() for file in files):
        raise FileNotFoundError(
            f"{folder}: no tokenizer: tokenizer.json, spiece.model or vocab.json with merges.txt "
            f"({_listing(folder)}). Save it with tokenizer.save_pretrained(folder)"
        )


def weights_files(folder: Path) -> list[Path]:
    """Safetensors files of the model: one, or the shards that its index names; [] if missing."""
    single, index = folder / "model.safetensors", folder / INDEX
    if single.is_file() or not index.is_file():
        return [single] if single.is_file() else []
    with errors_name(index):
        names = set(get_field(read_json(index), "weight_map", dict).values())
        for name in names:
            if not isinstance(name, str) or not name.endswith(".safetensors"):
                raise ValueError(f"damaged: weight_map names {name!r:.80}, no safetensors file")
        return sorted(folder / name for name in names)


def hash_weights(folder: Path) -> str:
    """SHA-256 of the weights (of shards: of their hashes), cached by path, size and times."""
    files = weights_files(folder)
    signatures = [*map(file_signature, files)]
    cache = cache_dir() / "hashes" / content_hash(CHECKED, *signatures)
    # A damaged one does not end with its own hash.
    with suppress(OSError, ValueError):
        total, check = cache.read_text(encoding="ascii").split()
        if check == content_hash(total):
            return total
    hashes = [_sha256(path) for path in files]
    total = hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
    if all(map(is_settled, signatures)):
        # An unwritable cache costs a second only.
        with suppress(OSError), atomic_write(cache) as temporary:
            temporary.write_text(f"{total} {content_hash(total)}", encoding="ascii")
    return total


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_type(config: Path) -> str | None:
    """Architecture that a config.json names."""
    return read_json(config).get("model_type")


def _listing(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    return f"found: {shown or 'nothing'}"


def _from_hub(name: str, revision: str | None) -> Path:
    if not is_hub_id(name):
        raise FileNotFoundError(
            f"no checkpoint {name!r}: neither a folder, a hub id ('owner/name') nor bundled with "
            f"ordlib (bundled: {', '.join(list_bundled()) or 'none'})"
        )
    folder = cached(name, revision)
    with suppress(FileNotFoundError):
        if folder:
            validate_model_type(folder)
            check_files(folder)
            return folder
    # The config first, so that other models fail before the weights are downloaded.
    validate_model_type(download(name, ["config.json"], revision))
    return download(name, [*WEIGHTS, *SETTINGS], revision)


def cached(name: str, revision: str | None = None) -> Path | None:
    """Folder in the hub's local cache, possibly incomplete, or None; without a request."""
    revision = revision or REVISIONS.get(name)
    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (OSError, HFValidationError):
        return None


def download(
    name: str, files: list[str], revision: str | None = None, remedy: str | None = None
) -> Path:
    """Download those of ``files`` that exist; returns the folder in the hub's local cache.

    ``remedy`` ends the message where the hub is out of reach; None is that of a checkpoint.
    """
    revision = revision or REVISIONS.get(name)
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=files))
    # The hub's client lets arbitrary errors of its HTTP library through.
    except Exception as error:
        if getattr(error, "errno", None):
            raise
        folder = name.split("/")[-1]
        pin = f" --revision {revision}" if revision else ""
        remedy = remedy or (
            f"Offline: on another machine, run `hf download {name}{pin} --include "
            f'"*.json" --include "*.txt" --include "*.safetensors" --local-dir {folder}`, copy the '
            f"folder to this machine, and load_clip('path/to/{folder}')"
        )
        # The message includes the cause; the HTTP library's long traceback would hide it.
        raise FileNotFoundError(hub_error(name, revision, error, remedy)) from None

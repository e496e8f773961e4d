"""Components on the Hugging Face hub: download of three files at a commit, upload in one commit."""

import os
import shlex
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import CommitOperationAdd, HfApi, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from torch import Tensor

from ..clip.checkpoints import OPEN_CLIP, download, is_hub_id, local_checkpoint
from ..utils.hub import hub_error
from ..utils.reading import MAX_JSON_BYTES, errors_name, read_file
from ..utils.validation import check_choice, check_path
from .io import (
    CARD,
    CONFIG,
    MAX_WEIGHTS_BYTES,
    WEIGHTS,
    check_replaceable,
    load_checkpoint,
    read_card,
    read_config,
    save_checkpoint,
)
from .model_card import README, is_generated

MAX_BYTES = {CONFIG: MAX_JSON_BYTES, CARD: MAX_JSON_BYTES, WEIGHTS: MAX_WEIGHTS_BYTES}
FILES = [*MAX_BYTES]


def fetch(name: str, revision: str | None = None) -> tuple[Path, str]:
    """Download a component's config, card and safetensors; nothing else of the repository.

    Args:
        name: "owner/name".
        revision: branch, tag or commit; None is "main".

    Returns:
        The folder in the hub's cache, and the commit.

    Raises:
        FileNotFoundError: no such repository or revision, a file is missing, no permission, or the
            hub is unreachable and the files are not in its cache.
        ValueError: no component, or damaged.
    """
    pin = f" --revision {revision}" if revision else ""
    folder_name = name.split("/")[-1]
    remedy = (
        f"Offline: on another machine, run `hf download {name}{pin} {' '.join(FILES)} --local-dir "
        f"{folder_name}`, copy the folder to this machine, and load_component("
        f"'path/to/{folder_name}'); or give the revision of a commit in the cache"
    )
    # The config first, so that no other model's weights are downloaded.
    folder = _download(name, [CONFIG], revision, remedy)
    commit = folder.name
    with _says_how_to_repeat(name, folder):
        if "method" not in read_config(folder):
            raise ValueError(f"{folder / CONFIG}: method is missing: not a component of ordlib")
    _download(name, FILES, commit, remedy)
    with _says_how_to_repeat(name, folder):
        load_checkpoint(folder)
        read_card(folder)
    return folder, commit


@contextmanager
def _says_how_to_repeat(name: str, folder: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, ValueError) as error:
        raise type(error)(
            f"{name} at commit {folder.name}: {error}. To download it again, delete "
            f"{folder.parents[1]}"
        ) from error


def _download(name: str, files: list[str], revision: str | None, remedy: str) -> Path:
    """As :func:`~.checkpoints.download`; ValueError, before it, for files that are too large."""
    infos = []
    with suppress(Exception):  # Offline, or an error that the download explains.
        infos = snapshot_download(name, revision=revision, allow_patterns=files, dry_run=True)
    for info in infos:
        if (info.file_size or 0) > MAX_BYTES[info.filename]:
            raise ValueError(
                f"{name} at commit {info.commit_hash}: {info.filename} has {info.file_size:,} "
                f"bytes, more than the {MAX_BYTES[info.filename]:,} of a component; not downloaded"
            )
    return download(name, files, revision, remedy)


def push(
    name: str,
    config: dict,
    tensors: dict[str, Tensor],
    card: Mapping,
    private: bool | None = None,
    token: str | None = None,
    readme: str | os.PathLike | None = None,
) -> str:
    """Upload a component in one commit and return it; see ``push_to_hub`` of the models."""
    if not is_hub_id(name):
        raise ValueError(
            f"repo_id = {name!r}: must be 'owner/name', of letters, digits, '-', '_' and '.'"
        )
    check_choice("private", private, (True, False, None))
    if isinstance(token, str) and (not token.isprintable() or " " in token):
        raise ValueError("token: has spaces or line ends; copy it again")
    if readme is not None:
        check_path("readme", readme)
        with errors_name(os.fspath(readme)):
            readme = read_file(Path(readme).resolve()).decode()
    if config["backbone"]:
        backbone = config["backbone"]["name"]
        is_path = local_checkpoint(backbone) or not (
            is_hub_id(backbone) or backbone.startswith(OPEN_CLIP)
        )
        if is_path:  # perhaps one of a folder that has moved
            config = config | {"backbone": config["backbone"] | {"name": Path(backbone).name}}
    if isinstance(card.get("command"), str):
        card = {**card, "command": _without_paths(card["command"])}
    api = HfApi(token=token)
    with TemporaryDirectory() as folder:
        try:
            return _push(api, Path(folder), name, config, tensors, card, private, readme)
        # The hub's client lets arbitrary errors of its HTTP library through.
        except Exception as error:
            if isinstance(error, ValueError | TypeError) or getattr(error, "errno", None):
                raise
            remedy = f"Save it with save_pretrained(folder) and later run `hf upload {name} folder`"
            problem = hub_error(name, None, error, remedy, "was not uploaded")
            raise OSError(problem) from None


def _push(
    api: HfApi, folder: Path, name: str, config: dict, tensors: dict, card: Mapping,
    private: bool | None, readme: str | None,
) -> str:  # fmt: skip
    api.create_repo(name, private=private, exist_ok=True)
    if private is not None and bool(api.repo_info(name).private) != private:
        is_now, wanted = ("public", "private") if private else ("private", "public")
        raise ValueError(
            f"private = {private}: {name} exists on the hub and is {is_now}; make it {wanted} in "
            "its settings there, or leave private out"
        )
    for file in (CONFIG, README):
        try:
            api.hf_hub_download(name, file, local_dir=folder)
        except LocalEntryNotFoundError:
            raise
        except EntryNotFoundError:
            pass
    has_weights = not (folder / CONFIG).exists() and api.file_exists(name, WEIGHTS)
    try:
        check_replaceable(folder, config)
    except ValueError as error:
        raise ValueError(f"repo_id = {name!r}: holds another model; give another name") from error
    if has_weights:
        raise ValueError(f"repo_id = {name!r}: has weights that are no component's; give another")
    if readme is not None:
        (folder / README).write_bytes(readme.encode())
    if not is_generated(folder / README) and readme is None:
        warnings.warn(
            f"README.md of {name} has been edited and is kept; check that it still fits the model",
            stacklevel=4,
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the same, by its temporary name
        save_checkpoint(folder, config, tensors, card, name)
    operations = [CommitOperationAdd(file, str(folder / file)) for file in (*FILES, README)]
    message = f"{config['method']}, saved by ordlib"
    return api.create_commit(name, operations, commit_message=message).oid


def _without_paths(command: str) -> str:
    """A command whose paths from the root or the home folder are reduced to their last part.

    Example:
        >>> _without_paths("ordlib train corn --data /home/me/toast --backbone openai/clip")
        'ordlib train corn --data toast --backbone openai/clip'
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    return shlex.join(Path(w).name if w.startswith(("/", "~", "..")) else w for w in words)

"""Find the backbone of a component on this machine, also after folders have moved."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from huggingface_hub import constants
from huggingface_hub.file_download import repo_folder_name

from ..clip.checkpoints import (
    BUNDLED,
    OPEN_CLIP,
    OPEN_CLIP_REMEDY,
    hash_weights,
    is_hub_id,
    is_known,
    list_bundled,
    local_checkpoint,
)
from ..utils.reading import errors_name, get_field, shorten
from .io import CONFIG


def find_backbone(folder: Path, config: dict) -> tuple[str, str | None]:
    """Name and revision for ``load_clip`` of the backbone that a component was trained on.

    The first one with the weights of the hash in the config, of: the name in the config, as a
    bundled name, a folder, or a hub id in the hub's cache; the path from the component's folder to
    the backbone's; the bundled backbones; and all revisions of the name in the hub's cache.

    Nothing is downloaded, except a name that ordlib pins to a commit.

    Args:
        folder: of the component.
        config: the component's.

    Raises:
        FileNotFoundError: not on this machine.
        ValueError: a field of the config is missing or of another type.
    """
    with errors_name(folder / CONFIG):
        name, sha256 = (get_field(config, f"backbone.{key}", str) for key in ("name", "sha256"))
        path = get_field(config, "backbone.path", str, default="")
    trained = f"{folder} was trained on {shorten(name)} (weights {shorten(sha256, 66)})"
    if name.startswith(OPEN_CLIP):
        raise FileNotFoundError(f"{trained}: {OPEN_CLIP_REMEDY}")
    for found, revision, checkpoint in _candidates(folder, name, path):
        with suppress(OSError, ValueError):
            if hash_weights(checkpoint) == sha256:
                return found, revision
    if is_known(name):  # pinned, or with other weights, which the error then compares
        return name, None
    raise FileNotFoundError(
        f"{trained}, which is not on this machine: neither there, nor beside the component, nor "
        "bundled, nor in the hub's cache; ordlib downloads no backbone that a component names. If "
        "you trust it, pass clip=load_clip('folder or hub id'), whose weights must have that hash"
    )


def relative_path(name: str, folder: str | os.PathLike) -> dict[str, str]:
    """Path from a component's folder to its backbone's, for the config, if that is a local folder.

    Args:
        name: of the backbone.
        folder: of the component.
    """
    checkpoint = local_checkpoint(name)
    if checkpoint is None or checkpoint.parent == BUNDLED:
        return {}
    with suppress(ValueError):  # on another drive
        path = os.path.relpath(os.path.realpath(checkpoint), os.path.realpath(folder))
        return {"path": Path(path).as_posix()}
    return {}


def _candidates(folder: Path, name: str, path: str) -> Iterator[tuple[str, str | None, Path]]:
    """Name and revision for ``load_clip``, and the folder with the weights."""
    if (checkpoint := local_checkpoint(name)) is not None:
        yield name, None, checkpoint
    if path:
        beside = os.path.normpath(Path(os.path.realpath(folder), path))
        yield beside, None, Path(beside)
    for bundled in list_bundled():
        yield bundled, None, BUNDLED / bundled
    if is_hub_id(name) and checkpoint is None:  # load_clip prefers a folder
        repository = Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=name, repo_type="model"))
        for snapshot in sorted((repository / "snapshots").glob("*")):
            yield name, snapshot.name, snapshot

"""Rendered splits on disk, checked before they are read: damaged ones are rendered again."""

import hashlib
import json
import os
import shutil
import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..utils.cache import (
    TEMPORARY_PREFIX,
    atomic_write,
    check_writable,
    file_signature,
    writers_lock,
)

IMAGES, VALUES, RECORDS = FILES = ("images.npy", "values.npy", "records.json")
CHECKSUMS = "checksums.json"


def prepare_split(folder: Path, num_images: int, image_size: int) -> None:
    """Delete a damaged split; if there is none, check that it can be written before it is rendered.

    Raises:
        OSError: a damaged split cannot be deleted, or the cache cannot be written or has no room;
            the message names the remedy.
    """
    if os.path.lexists(folder) and not is_intact(folder, num_images, image_size):
        _delete(folder)
    if not folder.is_dir():
        check_writable(folder, num_images * image_size**2 * 3)


def is_intact(folder: Path, num_images: int, image_size: int) -> bool:
    """Whether the files of a split have the expected shapes, and their checksums if these exist.

    Example:
        >>> is_intact(Path("no such folder"), 1, 64)
        False
    """
    signatures = [file_signature(folder / name) for name in (*FILES, CHECKSUMS)]
    try:
        _check(folder, num_images, image_size, str(signatures))
    except Exception:  # Numpy raises almost anything on a damaged header.
        return False
    return True


def seal_split(folder: Path) -> None:
    """Write the checksums of a split that has none, if the cache can be written."""
    if not (folder / CHECKSUMS).exists():
        with suppress(OSError), atomic_write(folder / CHECKSUMS) as temporary:
            temporary.write_text(json.dumps(_checksums(folder)), encoding="utf-8")


@lru_cache(maxsize=256)
def _check(folder: Path, num_images: int, image_size: int, _signatures: str) -> None:
    for name in FILES:
        if not (folder / name).is_file():
            raise ValueError(f"{folder / name} is no file")
    images = np.load(folder / IMAGES, mmap_mode="r")
    values = np.load(folder / VALUES)
    records = json.loads((folder / RECORDS).read_text())
    is_valid = (images.shape, images.dtype) == ((num_images, image_size, image_size, 3), np.uint8)
    is_valid &= (values.shape, values.dtype) == ((num_images,), np.float64)
    is_valid &= bool(np.isfinite(values).all()) and bool(records)
    is_valid &= all(len(column) == num_images for column in records.values())
    if (folder / CHECKSUMS).exists():
        is_valid &= json.loads((folder / CHECKSUMS).read_text()) == _checksums(folder)
    if not is_valid:
        raise ValueError(f"{folder} is damaged")


def _checksums(folder: Path) -> dict[str, str]:
    digests = {}
    for name in FILES:
        with open(folder / name, "rb") as file:
            digests[name] = hashlib.file_digest(file, "blake2b").hexdigest()[:32]
    return digests


def _delete(folder: Path) -> None:
    """Delete at once: others must not read what is left of it meanwhile."""
    try:
        with writers_lock(folder.parent):
            temporary = tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=folder.parent)
            os.replace(folder, os.path.join(temporary, folder.name))
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise OSError(
            f"{folder} is damaged and cannot be deleted ({error.strerror}): ask whoever may, or "
            "set ORDLIB_CACHE to another folder"
        ) from error

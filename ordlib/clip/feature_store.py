"""Features on disk by image, in immutable files that many processes may read and add to."""

import hashlib
import json
import os
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

import numpy as np

from ..utils.cache import atomic_write
from ..utils.cache_entries import DESCRIPTION_NAME, listing

MAX_SHARD_IMAGES = 1024
MAX_SHARD_BYTES = 64_000_000


class FeatureStore:
    """Features of one kind and backbone, by image key.

    A shard is an array (``.npy``) of at most 1,024 images with a list of keys (``.json``). The list
    is written last and has the array's checksum, so that an incomplete or damaged shard is ignored.
    Two processes may encode the same image; neither can damage the other's shards.

    Args:
        folder: created on the first write.
        description: what the features are, for `ordlib cache`.

    Example:
        >>> import tempfile
        >>> store = FeatureStore(Path(tempfile.mkdtemp()))
        >>> store.add(["cat", "dog"], np.ones((2, 3), np.float32))
        >>> "dog" in store, FeatureStore(store.folder).read(["dog"]).tolist()
        (True, [[1.0, 1.0, 1.0]])
    """

    def __init__(self, folder: Path, description: str = "features") -> None:
        self.folder, self.description = folder, description
        # By key: file, or array in memory, and row.
        self._locations: dict[str, tuple[Path | np.ndarray, int]] = {}
        for file in listing(folder):
            if file.suffix == ".json":
                self._add_shard(_keys_if_valid(file), file.with_suffix(".npy"))

    def __contains__(self, key: str) -> bool:
        return key in self._locations

    def read(self, keys: Sequence[str]) -> np.ndarray:
        """Features of the given keys, copied into memory.

        Raises:
            KeyError: a key is missing.
            OSError: a shard has been deleted since.
        """
        rows = []
        for source, row in map(self._locations.__getitem__, keys):
            array = source if isinstance(source, np.ndarray) else _open_array(source)
            rows.append(array[row])
        return np.stack(rows)

    def add(self, keys: Sequence[str], features: np.ndarray) -> None:
        """Write a shard; where that fails, warn and keep the features in memory."""
        try:
            source = self._write(keys, features)
        except OSError as error:
            warnings.warn(f"cannot cache the features in {self.folder}: {error}", stacklevel=2)
            source = features
        self._add_shard(keys, source)

    def max_images(self, features: np.ndarray) -> int:
        """Maximum number of images of a shard of such features."""
        return max(1, min(MAX_SHARD_IMAGES, MAX_SHARD_BYTES // features[0].nbytes))

    def _add_shard(self, keys: Sequence[str], source: Path | np.ndarray) -> None:
        self._locations |= {key: (source, row) for row, key in enumerate(keys)}

    def _write(self, keys: Sequence[str], features: np.ndarray) -> Path:
        if not (note := self.folder / DESCRIPTION_NAME).exists():
            with atomic_write(note) as temporary:
                temporary.write_text(self.description, encoding="utf-8")
        file = self.folder / f"{uuid4().hex}.npy"
        with atomic_write(file) as temporary, open(temporary, "wb") as stream:
            np.save(stream, features)
            _sync(stream)
        index = file.with_suffix(".json")
        with atomic_write(index) as temporary, open(temporary, "w", encoding="utf-8") as stream:
            json.dump({"keys": list(keys), "checksum": _checksum(features)}, stream)
            _sync(stream)
        return file


def _sync(stream: object) -> None:
    """Wait until the content is on disk: a renamed file could otherwise be empty after a crash."""
    stream.flush()
    os.fsync(stream.fileno())


def _checksum(array: np.ndarray) -> str:
    return hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=16).hexdigest()


def _signature(index: Path) -> tuple:
    """Changes with either file of a shard, so that each is verified once per process."""
    statuses = (os.stat(index), os.stat(index.with_suffix(".npy")))
    return tuple((status.st_size, status.st_mtime_ns, status.st_ino) for status in statuses)


def _record_use(index: Path) -> None:
    """Set the access time, by which `ordlib cache` prunes; many disks do not record it."""
    with suppress(OSError):
        os.utime(index, ns=(time.time_ns(), index.stat().st_mtime_ns))


def _keys_if_valid(index: Path) -> list[str]:
    """Keys of a shard; none if it is incomplete, damaged or cannot be read now."""
    try:
        return _verified_keys(index, _signature(index))
    except (OSError, ValueError, KeyError, TypeError, EOFError, RecursionError):
        return []


@lru_cache(maxsize=4096)
def _verified_keys(index: Path, _signature: tuple) -> list[str]:
    content = json.loads(index.read_text(encoding="utf-8"))
    array = np.load(index.with_suffix(".npy"), mmap_mode="r")
    if len(array) != len(content["keys"]) or _checksum(array) != content["checksum"]:
        raise ValueError(f"{index}: damaged")
    _record_use(index)
    return content["keys"]


# Each open array takes a file descriptor, of which a process may have few.
@lru_cache(maxsize=64)
def _open_array(file: Path) -> np.ndarray:
    return np.load(file, mmap_mode="r")

"""Features on disk by image, in immutable files that many processes may read and add to."""

import hashlib
import json
import os
import stat
import time
import warnings
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from functools import cache, lru_cache
from itertools import count
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import numpy as np
from numpy.lib import format

from ..utils.cache import atomic_write, delete_remains, writers_lock
from ..utils.cache_entries import DESCRIPTION_NAME, listing

MAX_SHARD_IMAGES = 1024
MAX_SHARD_BYTES = 64_000_000


class FeatureStore:
    """Features of one kind and backbone, by image key.

    A shard is an array (``.npy``) of at most 1,024 images with a list of keys (``.json``). The list
    is written last and has the array's checksum, so that an incomplete or damaged shard is ignored.
    Two processes may encode the same image; neither can damage the other's shards. What a killed
    one has left is deleted when nobody writes.

    Args:
        folder: created on the first write.
        description: what the features are, for `ordlib cache`.
        dtype, shape: of the features of an image; shards of any other are ignored. None: any.

    Attributes:
        is_in_memory: whether features are in memory, because they could not be written.

    Example:
        >>> import tempfile
        >>> store = FeatureStore(Path(tempfile.mkdtemp()))
        >>> store.add(["cat", "dog"], np.ones((2, 3), np.float32))
        >>> "dog" in store, FeatureStore(store.folder).read(["dog"]).tolist()
        (True, [[1.0, 1.0, 1.0]])
    """

    def __init__(
        self,
        folder: Path,
        description: str = "features",
        dtype: np.dtype | type | None = None,
        shape: tuple[int, ...] | None = None,
    ) -> None:
        self.folder, self.description, self.is_in_memory = folder, description, False
        delete_remains(folder, ".npy", unless=".json")
        # By key: row, counted through all shards; numbers, since a tuple for each of millions of
        # images would take most of the time and memory. Of each shard: first row, and file or array
        # in memory.
        self._rows: dict[str, int] = {}
        self._num_rows, self._starts = 0, []
        self._sources: list[Path | np.ndarray] = []
        for file in listing(folder):
            if file.suffix == ".json":
                self._add_shard(_keys_if_valid(file, dtype, shape), file.with_suffix(".npy"))

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def read(self, keys: Sequence[str]) -> np.ndarray:
        """Features of the given keys, copied into memory.

        Raises:
            KeyError: a key is missing.
            OSError: a shard has been deleted since.
        """
        rows = []
        for row in map(self._rows.__getitem__, keys):
            shard = bisect_right(self._starts, row) - 1
            source = self._sources[shard]
            array = source if isinstance(source, np.ndarray) else _open_array(source)
            rows.append(array[row - self._starts[shard]])
        return np.stack(rows)

    def add(self, keys: Sequence[str], features: np.ndarray) -> None:
        """Write a shard; where that fails, warn and keep the features in memory."""
        try:
            source = self._write(keys, features)
        except OSError as error:
            _warn_once(f"cannot cache the features in {self.folder}: {error}")
            source, self.is_in_memory = features, True
        self._add_shard(keys, source)

    def max_images(self, features: np.ndarray) -> int:
        """Maximum number of images of a shard of such features."""
        return max(1, min(MAX_SHARD_IMAGES, MAX_SHARD_BYTES // features[0].nbytes))

    def _add_shard(self, keys: Sequence[str], source: Path | np.ndarray) -> None:
        if keys:
            self._starts.append(self._num_rows)
            self._sources.append(source)
            self._rows.update(zip(keys, count(self._num_rows)))
            self._num_rows += len(keys)

    def _write(self, keys: Sequence[str], features: np.ndarray) -> Path:
        if not os.path.exists(note := self.folder / DESCRIPTION_NAME):
            with atomic_write(note) as temporary:
                temporary.write_text(self.description, encoding="utf-8")
        file = self.folder / f"{uuid4().hex}.npy"
        # Until the list is written, the array would count as the remains of a killed process.
        with writers_lock(self.folder):
            with atomic_write(file) as temporary, open(temporary, "wb") as stream:
                _save(stream, features)
            with atomic_write(file.with_suffix(".json")) as temporary:
                content = {"keys": list(keys), "checksum": _checksum(features)}
                temporary.write_text(json.dumps(content), encoding="utf-8")
        return file


@cache
def _warn_once(message: str) -> None:
    """Warn; not again in this process, for a folder of images is encoded in parts."""
    warnings.warn(message, stacklevel=4)


def _save(stream: BinaryIO, array: np.ndarray) -> None:
    """Like ``np.save``, which does not notice every full disk."""
    array = np.ascontiguousarray(array)
    format.write_array_header_1_0(stream, format.header_data_from_array_1_0(array))
    stream.write(array.data)


def _checksum(array: np.ndarray) -> str:
    return hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=16).hexdigest()


def _signature(index: Path) -> tuple:
    """Changes with either file of a shard, so that each is verified once per process."""
    statuses = (os.stat(index), os.stat(index.with_suffix(".npy")))
    if not all(stat.S_ISREG(status.st_mode) for status in statuses):
        raise ValueError(f"{index}: not a file")  # Reading a pipe would wait for its other end.
    return tuple((s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino) for s in statuses)


def _record_use(index: Path) -> None:
    """Set the access time, by which `ordlib cache` prunes; many disks do not record it."""
    with suppress(OSError):
        os.utime(index, ns=(time.time_ns(), index.stat().st_mtime_ns))


def _keys_if_valid(
    index: Path, dtype: np.dtype | type | None, shape: tuple[int, ...] | None
) -> list[str]:
    """Keys of a shard; none if it is incomplete, damaged, of other features or not readable."""
    try:
        keys, *found = _verified_shard(index, _signature(index))
    except Exception:  # Numpy raises almost anything on a damaged header.
        return []
    is_expected = dtype is None or found == [np.dtype(dtype), shape]
    return keys if is_expected else []


@lru_cache(maxsize=4096)
def _verified_shard(index: Path, _signature: tuple) -> tuple[list[str], np.dtype, tuple[int, ...]]:
    """Keys of a shard, and the type and shape of its features."""
    content = json.loads(index.read_text(encoding="utf-8"))
    array, keys = np.load(index.with_suffix(".npy"), mmap_mode="r"), content["keys"]
    is_complete = len(array) == len(keys) and _checksum(array) == content["checksum"]
    if not is_complete or not all(isinstance(key, str) for key in keys):
        raise ValueError(f"{index}: damaged")
    if not np.isfinite(array).all():
        raise ValueError(f"{index}: contains NaN or infinite values")
    _record_use(index)
    return keys, array.dtype, array.shape[1:]


# Each open array takes a file descriptor, of which a process may have few.
@lru_cache(maxsize=64)
def _open_array(file: Path) -> np.ndarray:
    return np.load(file, mmap_mode="r")

"""What the cache folder holds, and deleting what has not been used for long."""

import os
import re
import shutil
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from .cache import TEMPORARY_PREFIX, cache_dir, check_writable
from .reading import read_file

DESCRIPTION_NAME = "description.txt"
# Nothing else is touched: the folder may hold files of others, even under the same names.
FOLDERS = {
    "datasets": re.compile(r"photo-folder-\d+|sign-digits-[0-9a-f]+"),
    "features": re.compile(r"(features|tokens)-[0-9a-f]{16}"),
    "hashes": re.compile(r"[0-9a-f]{16}"),
    "pool": re.compile(r"\d+-[0-9a-f]{16}"),
    "rendered": re.compile(r"[a-z_]+-[a-z_]+-\d+-\d+-\w+"),
}
MAX_DESCRIPTION = 200  # characters
INDEX_NAME = "images.sqlite"
SECONDS_PER_DAY = 24 * 3600
LOCK_SECONDS = 60


@dataclass(frozen=True)
class CacheEntry:
    """Files that are only useful together: a shard of features, or a rendered split.

    Attributes:
        kind: what it is.
        files: its files or folder.
        size: bytes on disk.
        last_used: seconds since 1970 of the last access or change.
    """

    kind: str
    files: tuple[Path, ...]
    size: int
    last_used: float

    @property
    def is_being_written(self) -> bool:
        """Whether another process may be writing it: a temporary folder of the last day."""
        is_temporary = self.files[0].name.startswith(TEMPORARY_PREFIX)
        return is_temporary and self.last_used > time.time() - SECONDS_PER_DAY


def cache_entries() -> list[CacheEntry]:
    """All entries of the cache, least recently used first."""
    entries = []
    for name, own in FOLDERS.items():
        for path in listing(cache_dir() / name):
            if own.fullmatch(path.name) or path.name.startswith(TEMPORARY_PREFIX):
                entries += _shards(path) if name == "features" else [_entry(name, [path])]
    if (index := cache_dir() / INDEX_NAME).is_file():
        entries.append(_entry("index of image files", [index]))
    return sorted(entries, key=lambda entry: entry.last_used)


def prune_cache(
    older_than_days: float | None = None, max_bytes: float | None = None
) -> list[CacheEntry]:
    """Delete the entries not used for some days, then the least recently used above a size.

    One process prunes at a time. Others may go on reading and writing: what they miss, they
    compute again.

    Args:
        older_than_days: delete entries whose last use is longer ago.
        max_bytes: delete entries until the rest fits.

    Returns:
        The deleted entries.

    Raises:
        ValueError: a limit below 0.
        OSError: the cache cannot be written.
        TimeoutError: another process has been pruning for a minute.

    Example:
        >>> prune_cache(older_than_days=-1)
        Traceback (most recent call last):
        ValueError: older_than_days = -1: must be 0 or more
    """
    for name, limit in {"older_than_days": older_than_days, "max_bytes": max_bytes}.items():
        if limit is not None and not limit >= 0:
            raise ValueError(f"{name} = {limit}: must be 0 or more")
    if not cache_dir().is_dir():
        return []
    # The lock would wait where its file cannot be created.
    check_writable(cache_dir() / ".prune.lock", 0)
    with FileLock(cache_dir() / ".prune.lock", timeout=LOCK_SECONDS):
        deleted, entries = [], cache_entries()
        total = sum(entry.size for entry in entries)
        oldest = 0 if older_than_days is None else time.time() - older_than_days * SECONDS_PER_DAY
        for entry in entries:
            if entry.is_being_written:
                continue
            if entry.last_used < oldest or (max_bytes is not None and total > max_bytes):
                _delete(entry)
                total -= entry.size
                deleted.append(entry)
    return deleted


def summarize(entries: Sequence[CacheEntry]) -> str:
    """Table of the kinds of entries: number, size and last use.

    Example:
        >>> print(summarize([CacheEntry("features", (Path("a.npy"),), 2_500_000, 0.0)]))
        entries        MB  last used   kind
              1       2.5  1970-01-01  features
    """
    rows = ["entries        MB  last used   kind"]
    for kind in sorted({entry.kind for entry in entries}):
        alike = [entry for entry in entries if entry.kind == kind]
        size = sum(entry.size for entry in alike) / 1e6
        day = time.strftime("%Y-%m-%d", time.gmtime(max(entry.last_used for entry in alike)))
        rows.append(f"{len(alike):7}{size:10,.1f}  {day}  {kind}")
    return "\n".join(rows)


def _shards(store: Path) -> list[CacheEntry]:
    """One entry per array and its list of keys; incomplete ones and remains too."""
    note = store / DESCRIPTION_NAME
    kind = "features"
    with suppress(OSError, ValueError):  # Missing, or damaged.
        kind = " ".join(read_file(note).decode("utf-8").split())[:MAX_DESCRIPTION] or kind
    shards = defaultdict(list)
    for path in listing(store):
        if path != note:
            shards[path.stem].append(path)
    return [_entry(kind, files) for files in shards.values()]


def _entry(kind: str, files: Sequence[Path]) -> CacheEntry:
    statuses = []
    for file in files:
        for part in (file, *file.rglob("*")):
            with suppress(OSError):  # Temporary files come and go.
                statuses += [part.stat()] if part.is_file() else []
    # The list of keys comes first: the access time of an array is not recorded by all disks.
    last_used = max((max(s.st_atime, s.st_mtime) for s in statuses), default=0.0)
    ordered = sorted(files, key=lambda file: file.suffix != ".json")
    return CacheEntry(kind, tuple(ordered), sum(s.st_size for s in statuses), last_used)


def _delete(entry: CacheEntry) -> None:
    for path in entry.files:
        with suppress(OSError):  # In use on Windows, or another process was faster.
            is_folder = path.is_dir() and not path.is_symlink()
            shutil.rmtree(path) if is_folder else os.remove(path)
    store = entry.files[0].parent
    if [path.name for path in listing(store)] == [DESCRIPTION_NAME]:
        shutil.rmtree(store, ignore_errors=True)


def listing(folder: Path) -> list[Path]:
    """Sorted paths in a folder; none where it is missing or cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []

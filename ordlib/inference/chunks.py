"""Shards of an image folder, and the chunks of predictions in which processes share the work."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..data.image_files import FileScan
from ..utils.cache import atomic_write
from ..utils.shared_folder import CHUNK_NAME
from .scoring import CHUNK_SIZE

# Buckets of files, by the hash of their path. Their number depends on the folder alone, so that any
# number of processes makes the same chunks: the power of two that puts at most this many images
# into a bucket on average, up to the largest number.
BUCKET_SIZE, MAX_BUCKETS = 128, 1024
TEXTS = ("names", "errors", "label")  # All other arrays of a chunk are numbers.
NEW_RUN = "run the command again, in all processes"


@dataclass
class Shard:
    """The image files of a folder that one of several processes predicts.

    Attributes:
        folder: the folder, as given.
        buckets: paths relative to the folder, sorted, by bucket; only those of this process.
        counts, digests: of all image files, number and sum of the hashes by bucket.
        ignored: number of files without an image file extension.
        skipped: reason by path of the subfolders that cannot be read.
    """

    folder: str
    buckets: dict[int, list[str]]
    counts: list[int]
    digests: list[int]
    ignored: int
    skipped: dict[str, str]

    def paths(self, names: Sequence[str]) -> list[str]:
        """Paths of files by their names in the folder."""
        return [os.path.join(self.folder, name) for name in names]


def path_hash(name: str) -> int:
    """BLAKE2 hash of a path relative to the image folder, 128 bits; the same on every machine.

    Example:
        >>> path_hash("a/b.png") % 1024
        360
    """
    digest = hashlib.blake2b(os.fsencode(name), digest_size=16).digest()
    return int.from_bytes(digest, "little")


def num_buckets(num_images: int) -> int:
    """Number of buckets for a number of images.

    Example:
        >>> [num_buckets(n) for n in (1, 129, 10_000, 10_000_000)]
        [1, 2, 128, 1024]
    """
    return min(MAX_BUCKETS, 1 << (-(-num_images // BUCKET_SIZE) - 1).bit_length())


def scan_shard(folder: str, rank: int = 0, world_size: int = 1) -> Shard:
    """Scan a folder for the image files of a process; those of others are only counted.

    Bucket b belongs to process b modulo ``world_size``. No file is opened.

    Raises:
        ValueError: no folder, or one without images.
    """
    if not os.path.isdir(folder):
        raise ValueError(f"{folder}: is no folder; several processes and --chunks need one")
    prefix, scan, names = len(os.path.join(folder, "")), FileScan(), []
    counts, digests, total = [0] * MAX_BUCKETS, [0] * MAX_BUCKETS, 0

    def collect(path: str) -> None:
        nonlocal total
        name = path[prefix:]
        key = path_hash(name)
        bucket = key % MAX_BUCKETS
        counts[bucket], digests[bucket] = counts[bucket] + 1, digests[bucket] + key
        total += 1
        # While there are few images, the final buckets are not known yet.
        if num_buckets(total) < MAX_BUCKETS or bucket % world_size == rank:
            names.append(name)

    scan.add_folder(folder, collect)
    if not total:
        raise ValueError(f"{folder}: no image files; {scan.ignored} other files")
    number, buckets = num_buckets(total), {}
    for name in names:
        bucket = path_hash(name) % number
        if bucket % world_size == rank:
            buckets.setdefault(bucket, []).append(name)
    return Shard(
        folder=folder,
        buckets={bucket: sorted(buckets[bucket]) for bucket in sorted(buckets)},
        counts=[sum(counts[bucket::number]) for bucket in range(number)],
        digests=[sum(digests[bucket::number]) for bucket in range(number)],
        ignored=scan.ignored,
        skipped=scan.skipped,
    )


def fingerprint(description: str, shard: Shard, names: Sequence[str]) -> str:
    """Hash of what determines a chunk: model and options, names, sizes and times of the images."""
    digest = hashlib.blake2b(description.encode(), digest_size=8)
    for name, path in zip(names, shard.paths(names), strict=True):
        try:
            status = os.stat(path)
            state = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:
            state = "missing"
        digest.update(b"\0" + os.fsencode(name) + b"\0" + state.encode())
    return digest.hexdigest()


def chunk_path(chunks: Path, bucket: int, number: int, piece: int, key: str) -> Path:
    """Path of a chunk: its bucket, the number of buckets, its number in the bucket, fingerprint."""
    return chunks / f"{bucket:04d}-of-{number:04d}-{piece:06d}-{key}.npz"


def planned_chunks(
    chunks: Path, shard: Shard, description: str, bucket: int
) -> dict[Path, list[str]]:
    """Names of the images by chunk, for one of the shard's buckets."""
    names, number = shard.buckets[bucket], len(shard.counts)
    pieces = [names[i : i + CHUNK_SIZE] for i in range(0, len(names), CHUNK_SIZE)]
    keys = [fingerprint(description, shard, piece) for piece in pieces]
    return {chunk_path(chunks, bucket, number, i, keys[i]): piece for i, piece in enumerate(pieces)}


def write_chunk(
    path: Path, names: Sequence[str], table: pd.DataFrame, errors: Mapping[str, str]
) -> None:
    """Write a chunk atomically.

    Args:
        path: from :func:`planned_chunks`.
        names: of its images, sorted.
        table: rows of the readable ones in this order; a column "path" is left out.
        errors: reason by name of the others.
    """
    arrays = {"names": names, "errors": [errors.get(name, "") for name in names]}
    arrays |= {name: table[name].to_numpy() for name in table if name != "path"}
    # Text as an array of fixed width: objects would be pickled.
    arrays = {
        name: np.array([*values], str) if np.asarray(values).dtype == object else values
        for name, values in arrays.items()
    }
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def read_chunk(path: Path) -> tuple[list[str], pd.DataFrame, dict[str, str]]:
    """Read what :func:`write_chunk` wrote; the table has the names as ``path``.

    Raises:
        ValueError: the file is damaged; the message names it.
    """
    try:
        if not path.is_file():  # Opening a pipe would wait.
            raise ValueError("not a regular file")
        with np.load(path, allow_pickle=False) as file:
            columns = {name: file[name] for name in file.files}
        for name, values in columns.items():
            if values.dtype.kind != ("U" if name in TEXTS else "f") or values.ndim != 1:
                raise ValueError(f"{name} has another type")
            columns[name] = values.tolist() if name in TEXTS else values
        names, reasons = columns.pop("names"), columns.pop("errors")
        if not all(reasons) and "value" not in columns:
            raise ValueError("value is missing")
        errors = {name: text for name, text in zip(names, reasons, strict=True) if text}
        table = pd.DataFrame({"path": [name for name in names if name not in errors], **columns})
    except Exception as error:  # Zip and numpy raise almost anything.
        raise ValueError(f"{path}: damaged ({error}); delete it and {NEW_RUN}") from error
    return names, table, errors


def find_chunks(chunks: Path, shard: Shard) -> dict[tuple[int, int], list[Path]]:
    """Chunk files in a folder, by bucket and number in the bucket."""
    found = {}
    for path in sorted(chunks.iterdir()):
        match = CHUNK_NAME.fullmatch(path.name)
        if match and int(match[2]) == len(shard.counts):
            found.setdefault((int(match[1]), int(match[3])), []).append(path)
    return found


def missing_chunks(chunks: Path, shard: Shard) -> list[tuple[int, int]]:
    """Bucket and number of the chunks of all processes that do not exist."""
    found = find_chunks(chunks, shard)
    expected = [(b, i) for b, n in enumerate(shard.counts) for i in range(-(-n // CHUNK_SIZE))]
    return [key for key in expected if key not in found]


def join_chunks(
    chunks: Path, shard: Shard, description: str
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Join the chunks of all processes: a table sorted by path, and errors by path.

    Raises:
        ValueError: a chunk is missing, damaged, or of other inputs; an image is missing or twice.
    """
    found, tables, errors, number = find_chunks(chunks, shard), [], {}, len(shard.counts)
    for bucket, count in enumerate(shard.counts):
        all_names = []
        for piece in range(-(-count // CHUNK_SIZE)):
            paths = found.get((bucket, piece), [])
            if len(paths) != 1:
                name = chunk_path(chunks, bucket, number, piece, "*")
                problem = "is missing" if not paths else f"exists {len(paths)} times"
                raise ValueError(f"{name}: {problem}; {NEW_RUN}")
            names, table, problems = read_chunk(paths[0])
            if CHUNK_NAME.fullmatch(paths[0].name)[4] != fingerprint(description, shard, names):
                raise ValueError(
                    f"{paths[0]}: belongs to another model or other options, or images have "
                    f"changed since; {NEW_RUN}"
                )
            all_names += names
            tables.append(table.assign(path=shard.paths(table["path"])))
            errors |= dict(zip(shard.paths(problems), problems.values(), strict=True))
        _check_names(chunks, bucket, all_names, count, shard)
    table = pd.concat(tables, ignore_index=True)
    paths = table["path"].tolist()
    return table.iloc[sorted(range(len(paths)), key=paths.__getitem__)].reset_index(
        drop=True
    ), errors


def _check_names(chunks: Path, bucket: int, names: list[str], count: int, shard: Shard) -> None:
    """Raise ValueError unless the chunks of a bucket hold each image of the folder once."""
    where = chunk_path(chunks, bucket, len(shard.counts), 0, "*")
    seen = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{where}: {name!r} is in the chunks of this bucket twice; {NEW_RUN}")
        seen.add(name)
    if len(names) != count or sum(map(path_hash, names)) != shard.digests[bucket]:
        raise ValueError(
            f"{where}: the chunks hold {len(names)} images, the folder {count} of this bucket, or "
            f"others: images were added, renamed or deleted meanwhile; {NEW_RUN}"
        )

"""Content hashes and inspection results of image files, remembered between runs."""

import errno
import hashlib
import os
import sqlite3
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import partial
from itertools import repeat
from pathlib import Path

from PIL import Image
from tqdm.auto import tqdm

from ..utils.cache import cache_dir, content_hash, file_signature, is_settled
from ..utils.cache_entries import INDEX_NAME
from ..utils.threads import NUM_THREADS
from .image_io import ImageReport, inspect_image, is_regular

# Signatures of files that may still change unnoticed: not kept.
NEW = "new "
# Of a statement that does not fit the tables.
SQLITE_ERROR = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS files (signature TEXT PRIMARY KEY, hash TEXT);
CREATE TABLE IF NOT EXISTS images (hash TEXT PRIMARY KEY);
"""


def content_hashes(files: Sequence[Path]) -> list[str]:
    """BLAKE2 hash of each file's bytes; a file whose signature is known is not read again.

    The signature consists of real path, size, inode and times.

    Raises:
        OSError: a file cannot be read; the message names it.

    Example:
        >>> import tempfile
        >>> files = [Path(tempfile.mkdtemp()) / name for name in "ab"]
        >>> for file in files:
        ...     _ = file.write_text("the same")
        >>> len(set(content_hashes([files[0], files[0]])))
        1
    """
    signatures, known = _known_hashes(files)
    new = {s: file for s, file in zip(signatures, files, strict=True) if s not in known}
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        hashes = dict(zip(new, pool.map(_hash_file, new.values()), strict=True))
    _insert_hashes(hashes.items())
    return [known.get(signature) or hashes[signature] for signature in signatures]


def inspect_images(
    files: Sequence[Path], decode: bool = True, bit_depth: int | None = None
) -> list[ImageReport]:
    """:func:`inspect_image` of each file, in threads; an image that passed is not decoded again.

    Progress is shown after two seconds.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "image.png"
        >>> Image.new("RGB", (64, 64)).save(file)
        >>> inspect_images([file])
        [ImageReport(error=None, bit_depth=8, max_value=None)]
    """
    if decode:
        signatures, known = _known_hashes(files)
        keys = [known.get(signature) for signature in signatures]
        passed_before = _passed(filter(None, keys))
        inspect = partial(_inspect_unless_known, bit_depth=bit_depth, known=passed_before)
    else:
        signatures, keys = [""] * len(files), repeat(None)
        inspect = partial(_inspect_header, bit_depth=bit_depth)
    reports, passed = [], []
    # Pillow warns from its limit, which is ours, to twice that.
    quiet = warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning)
    with quiet, ThreadPoolExecutor(NUM_THREADS) as pool:
        results = pool.map(inspect, files, keys)
        bar = tqdm(results, "inspecting images", len(files), leave=False, delay=2, unit="image")
        try:
            for signature, (key, report) in zip(signatures, bar, strict=True):
                reports.append(report)
                # Of deeper images, the bit depth must be checked again.
                if key is not None and report == ImageReport():
                    passed.append((signature, key))
        finally:  # Also after Ctrl-C.
            _insert_hashes(passed)
            _insert("images (hash)", ((key,) for _, key in passed))
    return reports


def common_bit_depth(reports: Iterable[ImageReport]) -> int | None:
    """The largest bit depth of images with more than 8 bits; None without such images.

    Example:
        >>> common_bit_depth([ImageReport(), ImageReport(bit_depth=12, max_value=900)])
        12
    """
    return max((r.bit_depth for r in reports if r.max_value is not None), default=0) or None


def _inspect_unless_known(
    file: Path, key: str | None, bit_depth: int | None, known: set[str]
) -> tuple[str | None, ImageReport]:
    """Content hash and report of a file; images of more than 8 bits are always inspected."""
    if key in known:
        return key, ImageReport()
    if key is None:
        try:
            key = _hash_file(file)
        except OSError as error:
            return None, ImageReport(f"cannot be read: {error.strerror}")
        if _passed([key]):  # A copy of a known image.
            return key, ImageReport()
    return key, inspect_image(file, bit_depth=bit_depth)


def _passed(keys: Iterable[str]) -> set[str]:
    """Those content hashes whose image has passed the inspection."""
    return {key for (key,) in _select("SELECT hash FROM images WHERE hash = ?", keys)}


def _inspect_header(
    file: Path, _key: None, bit_depth: int | None
) -> tuple[str | None, ImageReport]:
    return None, inspect_image(file, decode=False, bit_depth=bit_depth)


def _known_hashes(files: Sequence[Path]) -> tuple[list[str], dict[str, str]]:
    """Signature of each file, and the known content hashes by signature."""
    signatures = [_signature(file) for file in files]
    query = "SELECT signature, hash FROM files WHERE signature = ?"
    return signatures, dict(_select(query, signatures))


def _signature(file: Path) -> str:
    signature = file_signature(file)
    return content_hash(signature) if is_settled(signature) else f"{NEW}{content_hash(signature)}"


def _insert_hashes(rows: Iterable[tuple[str, str]]) -> None:
    _insert("files (signature, hash)", [row for row in rows if not row[0].startswith(NEW)])


def _hash_file(file: Path) -> str:
    if not is_regular(file):
        raise OSError(errno.EINVAL, "is not a regular file", str(file))
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "blake2b").hexdigest()[:32]


def _select(query: str, keys: Iterable[str]) -> list[tuple]:
    """Rows of a query with one parameter; none where the index is missing or cannot be read."""
    # Read-only: the cache may be, and reading must not create it.
    path = cache_dir() / INDEX_NAME
    uri = f"{path.absolute().as_uri()}?mode=ro"
    if not os.path.isfile(path):  # SQLite would wait for the other end of a pipe.
        return []
    with suppress(sqlite3.Error), closing(sqlite3.connect(uri, uri=True, timeout=10)) as index:
        return [row for key in keys for row in index.execute(query, (key,))]
    return []


def _insert(table: str, rows: Iterable[tuple]) -> None:
    """Add rows; without a writable cache the next run inspects the files again."""
    rows = list(rows)
    path = cache_dir() / INDEX_NAME
    if not rows:
        return
    with suppress(OSError, sqlite3.OperationalError), _deleted_if_damaged(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=10)) as index, index:
            index.executescript(SCHEMA)
            values = ", ".join("?" * len(rows[0]))
            index.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({values})", rows)


@contextmanager
def _deleted_if_damaged(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        # Other operational errors: locked, full, or not writable.
        is_operational = isinstance(error, sqlite3.OperationalError)
        if is_operational and getattr(error, "sqlite_errorcode", None) != SQLITE_ERROR:
            raise
        path.unlink()

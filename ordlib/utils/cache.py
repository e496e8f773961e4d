"""Cache folder, atomic writes and content hashes."""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


def cache_dir() -> Path:
    """Cache folder: ``ORDLIB_CACHE`` in the environment, else ``~/.cache/ordlib``."""
    return Path(os.environ.get("ORDLIB_CACHE") or "~/.cache/ordlib").expanduser()


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Atomic write: a temporary path beside ``path``, renamed if the block succeeds.

    Other processes see either nothing or the complete result. If two processes write the same
    file, the last rename wins; for a folder the first, since both hold the same content.

    Args:
        path: final file or folder. Missing parents are created.

    Yields:
        An unused path in the same folder, to be written as a file or created as a folder.

    Raises:
        PermissionError: the folder cannot be written; in the cache with a remedy.

    Example:
        >>> target = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with atomic_write(target) as temporary:
        ...     _ = temporary.write_text("done")
        >>> target.read_text()
        'done'
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary_folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        if error.errno in READ_ONLY and path.is_relative_to(cache_dir()):
            raise PermissionError(
                error.errno,
                f"the cache cannot be written ({error.strerror}); set ORDLIB_CACHE to a folder "
                "that can, or ask whoever shares this one to fill it",
                str(path.parent),
            ) from error
        raise
    temporary = temporary_folder / path.name
    try:
        yield temporary
        if temporary.is_dir() and path.is_dir():
            return
        try:
            os.replace(temporary, path)
        except OSError:
            # A folder cannot replace a non-empty folder: another process finished first.
            if not path.is_dir():
                raise
    finally:
        shutil.rmtree(temporary_folder, ignore_errors=True)


def file_signature(file: str | os.PathLike) -> tuple:
    """What changes whenever a file does, without reading it; of a missing file its path alone.

    A copy that keeps size and modification time still has another inode and change time.

    Example:
        >>> file_signature("no such file")
        ('no such file',)
    """
    try:
        status = os.stat(file)
    except OSError:
        return (os.fspath(file),)
    times = (status.st_mtime_ns, status.st_ctime_ns)
    return (os.path.realpath(file), status.st_size, status.st_ino, *times)


def content_hash(*parts: object) -> str:
    """SHA-256 cache key, 16 hexadecimal digits, of strings, numbers, bytes or files (Path).

    Example:
        >>> content_hash("counting", 96) == content_hash("counting", 9, 6)
        False
    """
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            part = part.read_bytes()
        content = part if isinstance(part, bytes) else str(part).encode()
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()[:16]

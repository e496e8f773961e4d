"""Cache folder, atomic writes and content hashes."""

import errno
import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Of a mounted file, of folders on several disks, of a file of another user in a sticky folder.
NOT_REPLACEABLE = (errno.EBUSY, errno.EXDEV, *READ_ONLY)
TEMPORARY_PREFIX = ".ordlib-tmp-"
PRIVATE_MODE = 0o600
# What numpy says when a disk is full.
SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")
TIME_STEP_NS = 2_000_000_000


def cache_dir() -> Path:
    """Cache folder: ``ORDLIB_CACHE`` in the environment, else ``~/.cache/ordlib``.

    Raises:
        FileNotFoundError: there is no such home folder.
    """
    path = Path(os.environ.get("ORDLIB_CACHE") or "~/.cache/ordlib")
    try:
        return path.expanduser()
    except RuntimeError as error:
        problem = f"the cache {str(path)!r} is in a home folder that does not exist"
        raise FileNotFoundError(f"{problem}; set ORDLIB_CACHE to a folder") from error


def check_cache_folder() -> None:
    """Raise NotADirectoryError if the cache is something else than a folder, or missing."""
    path = cache_dir()
    if os.path.lexists(path) and not path.is_dir():
        raise NotADirectoryError(f"the cache {str(path)!r} is no folder; set ORDLIB_CACHE to one")


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Atomic write: a temporary path beside ``path``, renamed if the block succeeds.

    Other processes see either nothing or the complete result, also after a crash. If two processes
    write the same file, the last rename wins; for a folder the first, since both hold the same
    content. Links are followed, and an existing file keeps its mode and owner. Devices, pipes and
    files that cannot be replaced, such as mounted ones, are overwritten after the block.

    Args:
        path: final file or folder. Missing parents are created.

    Yields:
        An unused path, to be written as a file or created as a folder.

    Raises:
        OSError: the path cannot be written; the message names it, and in the cache the remedy. For
            a read-only file PermissionError, for a file in place of a folder IsADirectoryError.

    Example:
        >>> target = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with atomic_write(target) as temporary:
        ...     _ = temporary.write_text("done")
        >>> target.read_text()
        'done'
    """
    path = Path(path)
    with _errors_name(path):
        target, status = Path(os.path.realpath(path)), _status(path)
        folder = _folder_for_renaming(path, target, status)
        with writers_lock(folder):
            temporary_folder = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=folder))
            try:
                temporary = temporary_folder / (target.name or "root")
                yield temporary
                _sync(temporary)
                if temporary.is_dir():
                    _rename_folder(temporary, target)
                elif target.is_dir():
                    raise IsADirectoryError(errno.EISDIR, "is a folder; give a file", str(path))
                elif folder is None or not _rename_file(temporary, target, status):
                    _overwrite(temporary, path, status)
            finally:
                shutil.rmtree(temporary_folder, ignore_errors=True)


def check_writable(path: Path, num_bytes: int) -> None:
    """Check, before the work, whether a folder of this size could be written with atomic_write.

    Raises:
        OSError: it could not; as :func:`atomic_write`.
    """
    with _errors_name(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(prefix=TEMPORARY_PREFIX, dir=path.parent):
            pass
        if num_bytes > shutil.disk_usage(path.parent).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _status(path: Path) -> os.stat_result | None:
    """Status of what will be written to, or None if it is new; raises if it is read-only."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    may_write = status.st_mode & 0o222 and os.access(path, os.W_OK)
    if stat.S_ISREG(status.st_mode) and not may_write:
        problem = "is read-only; make it writable, or give another file"
        raise PermissionError(errno.EACCES, problem, str(path))
    return status


def _folder_for_renaming(path: Path, target: Path, status: os.stat_result | None) -> Path | None:
    """Folder of the temporary path; None if ``path`` exists and must be overwritten instead."""
    exists = status is not None
    is_stream = exists and not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode))
    if is_stream or _descriptor(path) is not None:
        return None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, "is not a folder", error.filename) from error
    return None if exists and not os.access(target.parent, os.W_OK) else target.parent


def _descriptor(path: Path) -> int | None:
    """File descriptor that /dev/stdout, /dev/fd/63 or a link to them means, or None.

    Opening such a path again would start at the beginning of a file that others write to.
    """
    folders = {os.path.realpath(folder) for folder in ("/proc/self/fd", "/dev/fd")}
    for _ in range(40):
        if path.name.isdecimal() and os.path.realpath(path.parent) in folders:
            return int(path.name)
        if not path.is_symlink():
            break
        path = path.parent / os.readlink(path)
    return None


def _rename_file(temporary: Path, target: Path, status: os.stat_result | None) -> bool:
    """Rename a file over the target with its mode and owner; False where that is impossible."""
    try:
        if status is not None:
            new = temporary.stat()
            if (new.st_uid, new.st_gid) != (status.st_uid, status.st_gid):
                os.chown(temporary, status.st_uid, status.st_gid)
            os.chmod(temporary, stat.S_IMODE(status.st_mode))
        os.replace(temporary, target)
    except OSError as error:
        if status is None or error.errno not in NOT_REPLACEABLE:
            raise
        return False
    return True


def _rename_folder(temporary: Path, target: Path) -> None:
    try:
        os.replace(temporary, target)
    except OSError:
        # A folder cannot replace a non-empty folder: another process finished first.
        if not (target.is_dir() and any(target.iterdir())):
            raise


def _overwrite(temporary: Path, path: Path, status: os.stat_result | None) -> None:
    descriptor = _descriptor(path)
    if descriptor is not None:
        descriptor = os.dup(descriptor)
    else:
        # Not to be created: in folders for all, Linux forbids that for the files of others.
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | (os.O_CREAT if status is None else 0))
    with open(descriptor, "wb") as output, open(temporary, "rb") as content:
        shutil.copyfileobj(content, output)


def _sync(path: Path) -> None:
    """Wait until files are on disk: after a crash, a renamed one could otherwise be empty.

    Those that a library has made private get the usual mode of new files.
    """
    usual = path.with_name(f"{TEMPORARY_PREFIX}mode")
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    for file in files:
        descriptor = os.open(file, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if stat.S_IMODE(file.stat().st_mode) == PRIVATE_MODE:
            usual.touch()
            file.chmod(stat.S_IMODE(usual.stat().st_mode))


@contextmanager
def writers_lock(folder: Path | None) -> Iterator[None]:
    """Lock a folder against :func:`delete_remains`; any number of writers share it.

    The first one deletes what killed ones have left.
    """
    if folder is None:
        yield
        return
    delete_remains(folder)
    with _lock(folder, "LOCK_SH"):
        yield


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Let one process or thread at a time run the block; not around :func:`atomic_write` there.

    Without effect on Windows, and on network disks without locks.
    """
    with _lock(folder, "LOCK_EX"):
        yield


def delete_remains(folder: Path, suffix: str | None = None, unless: str | None = None) -> None:
    """Delete what killed processes have left in a folder, unless anybody is writing there.

    Args:
        folder: a folder in which everybody writes under :func:`writers_lock`.
        suffix, unless: also delete files with this suffix that have none beside them with that.
    """
    with _lock(folder, "LOCK_EX", wait=False) as locked, suppress(OSError):
        if not locked:
            return
        for path in folder.iterdir():
            if path.name.startswith(TEMPORARY_PREFIX):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            elif suffix and path.suffix == suffix and not path.with_suffix(unless).exists():
                path.unlink()


@contextmanager
def _lock(folder: Path, kind: str, wait: bool = True) -> Iterator[bool]:
    """Lock a folder; yields whether that is possible."""
    descriptor, locked = None, False
    try:
        with suppress(OSError):  # Missing, or on a network disk without locks.
            if fcntl is not None:
                descriptor = os.open(folder, os.O_RDONLY)
                no_wait = 0 if wait else fcntl.LOCK_NB
                fcntl.flock(descriptor, getattr(fcntl, kind) | no_wait)
                locked = True
        yield locked
    finally:
        if descriptor is not None:
            # Closed alone, the lock would last as long as a process that was forked meanwhile.
            if locked:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)


@contextmanager
def _errors_name(path: Path) -> Iterator[None]:
    """Errors of the temporary path name the final one; those in the cache also the remedy."""
    try:
        yield
    except OSError as error:
        if SHORT_WRITE.fullmatch(str(error)):
            error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        name = error.filename
        is_temporary = name is None or TEMPORARY_PREFIX in str(name)
        is_own = is_temporary or Path(str(name)) in (path, *path.parents)
        if error.errno is None or not is_own:
            raise
        if path.is_relative_to(cache_dir()):
            raise _cache_error(error, path.parent) from error
        if not is_temporary:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _cache_error(error: OSError, folder: Path) -> OSError:
    remedy = "ask whoever shares this one to fill it"
    if error.errno in FULL:
        remedy = "free space with `ordlib cache --older-than DAYS`"
    kind = PermissionError if error.errno in READ_ONLY else OSError
    problem = f"the cache cannot be written ({error.strerror})"
    advice = "set ORDLIB_CACHE to a folder that can"
    return kind(error.errno, f"{problem}; {advice}, or {remedy}", str(folder))


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


def is_settled(signature: tuple) -> bool:
    """Whether a later change of the file would change this :func:`file_signature`.

    Disks record times in steps of up to two seconds: a file that has just been written could
    change again within one, without a trace if it keeps its size.
    """
    changed = signature[-2 if os.name == "nt" else -1]  # On Windows, the last is the creation.
    return len(signature) > 1 and changed < time.time_ns() - TIME_STEP_NS


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

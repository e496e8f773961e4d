"""Where ordlib keeps what it can make again, and how it writes without leaving half a file."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_dir() -> Path:
    """Return the folder of everything that can be rendered or computed again.

    Returns:
        The folder named by the environment variable ``ORDLIB_CACHE``, else
        ``~/.cache/ordlib``. It need not exist yet.

    Example:
        >>> os.environ["ORDLIB_CACHE"] = "/tmp/somewhere"  # doctest: +SKIP
        >>> cache_dir()                                    # doctest: +SKIP
        PosixPath('/tmp/somewhere')
    """
    return Path(os.environ.get("ORDLIB_CACHE") or Path.home() / ".cache" / "ordlib")


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Write to a temporary name beside ``path`` and rename when the block ends well.

    A reader sees either nothing or the whole result. Two processes may write the same
    path at once: each has a name of its own, and the last rename wins (for a folder, the
    first one stays, since both hold the same content).

    Args:
        path: final file or folder. Its parent is made if missing.

    Yields:
        A fresh path in the same folder: write a file there, or make a folder of it.

    Raises:
        OSError: what the file system says (disk full, no permission), with the temporary
            files removed.

    Example:
        >>> target = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with replacing(target) as temporary:
        ...     _ = temporary.write_text("done")
        >>> target.read_text()
        'done'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    temporary = holder / path.name
    try:
        yield temporary
        if temporary.is_dir() and path.is_dir():
            return
        try:
            os.replace(temporary, path)
        except OSError:
            # A folder cannot replace a full one: another process was faster.
            if not path.is_dir():
                raise
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def digest(*parts: object) -> str:
    """Return a short, stable name for whatever determines a cached result.

    Args:
        parts: strings, numbers, bytes, or paths of files (a path stands for its content).

    Returns:
        16 hexadecimal digits.

    Example:
        >>> digest("counting", 96) == digest("counting", 96)
        True
        >>> digest("counting", 96) == digest("counting", 9, 6)
        False
    """
    total = hashlib.sha256()
    for part in parts:
        content = part if isinstance(part, bytes) else str(part).encode()
        if isinstance(part, Path):
            content = part.read_bytes()
        total.update(len(content).to_bytes(8, "little") + content)
    return total.hexdigest()[:16]

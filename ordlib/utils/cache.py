"""Where ordlib keeps what it can make again, and how it writes without leaving half a file."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_dir() -> Path:
    """Cache folder: ``ORDLIB_CACHE`` in the environment, else ``~/.cache/ordlib``."""
    return Path(os.environ.get("ORDLIB_CACHE") or Path.home() / ".cache" / "ordlib")


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Atomic write: a temporary path beside ``path``, renamed when the block ends well.

    A reader sees either nothing or the whole result. Of two processes that write the same path
    at once the last rename wins (for a folder the first, since both hold the same content).

    Args:
        path: final file or folder. Its parent is made if missing.

    Yields:
        A fresh path in the same folder: write a file there, or make a folder of it.

    Example:
        >>> target = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with atomic_write(target) as temporary:
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


def content_hash(*parts: object) -> str:
    """Cache key: 16 hexadecimal digits of strings, numbers, bytes, or the content at a Path.

    Example:
        >>> content_hash("counting", 96) == content_hash("counting", 9, 6)
        False
    """
    total = hashlib.sha256()
    for part in parts:
        content = part if isinstance(part, bytes) else str(part).encode()
        if isinstance(part, Path):
            content = part.read_bytes()
        total.update(len(content).to_bytes(8, "little") + content)
    return total.hexdigest()[:16]

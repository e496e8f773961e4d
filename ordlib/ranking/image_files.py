"""The picture files of a folder, whatever lies in it: which can be scored, which would do harm."""

import json
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from PIL import Image

from ..data.image_io import SUFFIXES, validate_image
from ..utils.cache import atomic_write, cache_dir, content_hash

# A picture is scaled until its short side fits: a line of pixels would grow beyond all memory.
MAX_ASPECT_RATIO = 100


@dataclass
class FileScan:
    """What lies in a folder.

    Attributes:
        files: of pictures, by name; nobody has looked into them yet.
        skipped: why, by path, for what cannot be looked at.
        ignored: how many files are no pictures by their endings.
    """

    files: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    ignored: int = 0


def find_images(paths: str | os.PathLike | Sequence[str | os.PathLike]) -> FileScan:
    """Picture files of a folder, or of a list of files and folders, sorted by path.

    In a folder, all its subfolders are searched, links followed and each folder entered once;
    what is hidden is left alone. A file that is named itself may end in anything.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: there is no picture.
    """
    alone = isinstance(paths, str | os.PathLike)
    if alone and not os.path.lexists(paths):
        raise FileNotFoundError(f"there is no folder {os.fspath(paths)!r}")
    found = FileScan()
    for path in [os.fspath(path) for path in ([paths] if alone else paths)]:
        for file in _walk(path, found) if os.path.isdir(path) else [path]:
            if os.path.isfile(file):
                found.files.append(file)
            else:
                found.skipped[file] = _absence(file)
    found.files = sorted(set(found.files))
    if not found.files:
        where = repr(os.fspath(paths)) if alone else f"the list of {len(paths)} paths"
        rest = f"; {found.ignored} other files" if found.ignored else ""
        rest += "".join(f"\n  {path!r} {reason}" for path, reason in found.skipped.items())
        raise ValueError(f"{where} holds no pictures (files in {', '.join(SUFFIXES)}){rest}")
    return found


def _walk(folder: str, found: FileScan) -> Iterator[str]:
    """Yield what is a picture by its ending, and note the rest."""

    def note(error: OSError) -> None:
        found.skipped[error.filename] = f"cannot be looked into: {error.strerror}"

    entered = set()
    for here, folders, names in os.walk(folder, onerror=note, followlinks=True):
        # A link may lead back to where it lies, or to what another link leads to.
        real = os.path.realpath(here)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if name.startswith("."):
                continue
            if name.lower().endswith(SUFFIXES):
                yield os.path.join(here, name)
            else:
                found.ignored += 1


def _absence(path: str) -> str:
    if os.path.islink(path):
        return "is a link that leads to no file"
    return "is no ordinary file" if os.path.exists(path) else "is missing"


def file_signature(file: str) -> tuple:
    """What changes when a file does: where it really is, its size and its time."""
    try:
        status = os.stat(file)
    except OSError:
        return (file,)
    return (os.path.realpath(file), status.st_size, status.st_mtime_ns)


class ImageValidationCache:
    """What is known of the files of a chunk, kept on disk until one of them changes.

    Only sound files are remembered: what was at fault is looked at anew each time, and all the
    way, as it may be that nobody was allowed to read it.

    Attributes:
        files: the chunk.
        pixels: of sound files, by name.
        faults: of the others, by name.
    """

    def __init__(self, files: Sequence[str]) -> None:
        self.files = files
        self._states = {file: file_signature(file) for file in files}
        self._path = cache_dir() / "ranking" / f"{content_hash(*self._states.values())}.json"
        known = self._remembered()
        self.pixels = known or {}
        self.faults: dict[str, str] = {}
        self._new = known is None
        self.validate([file for file in files if file not in self.pixels], known is not None)

    @property
    def valid_files(self) -> list[str]:
        """The files that can be scored, in order."""
        return [file for file in self.files if file in self.pixels]

    @property
    def key(self) -> str:
        """Names the sound files and what is in them."""
        return content_hash("ranking", *(self._states[file] for file in self.valid_files))

    def validate(self, files: Sequence[str], full_decode: bool) -> None:
        """Check files, in threads, since this mostly waits for disk and decoders."""
        # Where Pillow only warns, a picture decoded would take hundreds of megabytes: its warning
        # becomes a fault of ours.
        most = Image.MAX_IMAGE_PIXELS or math.inf
        check = partial(
            validate_image, most=most, longest=MAX_ASPECT_RATIO, full_decode=full_decode
        )
        quiet = warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning)
        with quiet, ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            for file, found in zip(files, pool.map(check, map(Path, files)), strict=True):
                if isinstance(found, str):
                    self.faults[file] = found
                    self.pixels.pop(file, None)
                else:
                    self._new |= file not in self.pixels
                    self.pixels[file] = found

    def save(self) -> None:
        """Remember the sound files, if there is something new about them."""
        if not self._new:
            return
        known = [self.pixels.get(file) for file in self.files]
        # Else the next run checks again; what fills the disk is told by the feature cache.
        with suppress(OSError), atomic_write(self._path) as temporary:
            temporary.write_text(json.dumps(known), encoding="utf-8")

    def _remembered(self) -> dict[str, int] | None:
        try:
            known = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return {file: n for file, n in zip(self.files, known, strict=True) if n is not None}

"""The picture files of a folder, whatever lies in it."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ..data.image_io import SUFFIXES

Path = str | os.PathLike


@dataclass
class Found:
    """What was found.

    Attributes:
        files: of pictures, by name; nobody has looked into them yet.
        skipped: why, by path, for what cannot be looked at.
        ignored: how many files are no pictures by their endings.
    """

    files: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    ignored: int = 0


def find_pictures(paths: Path | Sequence[Path]) -> Found:
    """Find the picture files of a folder, or look at those of a list.

    In a folder, all its subfolders are searched, links followed and each folder entered once;
    what is hidden is left alone. A file that is named itself may end in anything.

    Args:
        paths: a folder, or a sequence of files and folders.

    Returns:
        What was found, sorted by path.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: there is no picture.

    Example:
        >>> import pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> for name in ("b.png", "a.JPG", "notes.txt"):
        ...     (folder / name).touch()
        >>> found = find_pictures(folder)
        >>> [os.path.basename(file) for file in found.files], found.ignored
        (['a.JPG', 'b.png'], 1)
    """
    alone = isinstance(paths, str | os.PathLike)
    if alone and not os.path.lexists(paths):
        raise FileNotFoundError(f"there is no folder {os.fspath(paths)!r}")
    found = Found()
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


def _walk(folder: str, found: Found) -> Iterator[str]:
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

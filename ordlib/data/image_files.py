"""Find image files in folders: the same rules for class folders and for ranking."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from .image_io import MISSING_DECODERS, SUFFIXES

# Folders that file managers and archives create beside the images.
JUNK_FOLDERS = ("@eadir", "__macosx", "#recycle", "$recycle.bin", "system volume information")


@dataclass
class FileScan:
    """Files found in a folder.

    Attributes:
        files: image files, not yet validated.
        skipped: reason by path of image files and folders that cannot be read.
        ignored: number of files without an image file extension.
    """

    files: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    ignored: int = 0

    def add_folder(self, folder: str, collect: Callable[[str], None] | None = None) -> None:
        """Add the files of a folder and its subfolders.

        Links are followed, and each folder is entered once. Hidden files and folders and those of
        `JUNK_FOLDERS` are left out. With ``collect``, which gets the path of each image file, none
        is added or opened.

        Example:
            >>> import tempfile
            >>> folder = tempfile.mkdtemp()
            >>> for name in ("a.JPG", ".b.png", "notes.txt"):
            ...     _ = open(os.path.join(folder, name), "w").close()
            >>> scan = FileScan()
            >>> scan.add_folder(folder)
            >>> [os.path.basename(file) for file in scan.files], scan.ignored
            (['a.JPG'], 1)
        """
        for path in _walk(folder, self.skipped):
            if _suffix(path) in MISSING_DECODERS or _suffix(path) in SUFFIXES:
                (collect or self.add_image)(path)
            else:
                self.ignored += 1

    def add_image(self, path: str) -> None:
        """Add a file with the extension of an image, or the reason why it cannot be read."""
        if problem := MISSING_DECODERS.get(_suffix(path)):
            self.skipped[path] = problem
        else:
            self.add_file(path)

    def add_file(self, path: str) -> None:
        """Add a file of any extension, or the reason why it cannot be read."""
        if problem := missing_file(path):
            self.skipped[path] = problem
        else:
            self.files.append(path)


def missing_file(path: str | os.PathLike) -> str | None:
    """Why a path is no regular file; None if it is one."""
    if os.path.isfile(path):
        return None
    if os.path.isdir(path):
        return "is a folder"
    if os.path.exists(path):
        return "is not a regular file"
    return "is a broken link" if os.path.islink(path) else "is missing"


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden or junk, by its name."""
    return name.startswith(".") or name.casefold() in JUNK_FOLDERS


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _walk(folder: str, skipped: dict[str, str]) -> Iterator[str]:
    """Yield the visible files of a folder, and record unreadable folders in ``skipped``.

    Unlike ``os.walk``, no list holds the names of a folder, of which there may be millions.
    """
    visited, parents = set(), [folder]
    while parents:
        parent = parents.pop()
        # A link may lead to its own parent, or where another link leads.
        target, subfolders = os.path.realpath(parent), []
        if target in visited:
            continue
        visited.add(target)
        try:
            with os.scandir(parent) as entries:
                for entry in entries:
                    if is_hidden(entry.name):
                        continue
                    if _is_folder(entry):
                        subfolders.append(entry.path)
                    else:
                        yield entry.path
        except OSError as error:
            skipped[error.filename or parent] = f"cannot be opened: {error.strerror}"
        parents += sorted(subfolders, reverse=True)


def _is_folder(entry: os.DirEntry) -> bool:
    """Whether an entry is a folder or leads to one; a link to itself leads nowhere."""
    try:
        return entry.is_dir()
    except OSError:
        return False

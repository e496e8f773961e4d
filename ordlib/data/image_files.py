"""Find image files in folders: the same rules for class folders and for ranking."""

import os
from collections.abc import Iterator
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

    def add_folder(self, folder: str) -> None:
        """Add the files of a folder and its subfolders.

        Links are followed, and each folder is entered once. Hidden files and folders and those of
        `JUNK_FOLDERS` are left out.

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
            suffix = os.path.splitext(path)[1].lower()
            if suffix in MISSING_DECODERS:
                self.skipped[path] = MISSING_DECODERS[suffix]
            elif suffix not in SUFFIXES:
                self.ignored += 1
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


def _walk(folder: str, skipped: dict[str, str]) -> Iterator[str]:
    """Yield the visible files of a folder, and record unreadable folders in ``skipped``."""

    def skip(error: OSError) -> None:
        skipped[error.filename] = f"cannot be opened: {error.strerror}"

    visited = set()
    for parent, folders, names in os.walk(folder, onerror=skip, followlinks=True):
        # A link may lead to its own parent, or where another link leads.
        target = os.path.realpath(parent)
        if target in visited:
            folders.clear()
            continue
        visited.add(target)
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        yield from (os.path.join(parent, name) for name in names if not is_hidden(name))

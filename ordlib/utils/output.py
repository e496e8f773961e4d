"""Outputs of commands: which paths can be written, and text that a terminal can show."""

import os
from itertools import combinations
from pathlib import Path

from .validation import escape_nonprintable


def write_error(path: str | os.PathLike, is_folder: bool = False) -> str | None:
    """Why a file, or files in a folder, cannot be written; None if they can. Writes nothing.

    Missing folders count as writable if they can be created. Links are followed.

    Example:
        >>> write_error(".")
        'is a folder'
    """
    target = Path(os.path.realpath(path))
    try:
        target.stat()
    except (FileNotFoundError, NotADirectoryError):
        exists = False
    except OSError as error:
        return f"cannot be written: {error.strerror}"
    else:
        exists = True
        if target.is_dir() != is_folder:
            return "is a file, but must be a folder" if is_folder else "is a folder"
        if not is_folder and not os.access(target, os.W_OK):
            return "is read-only"
        if not is_folder and not target.is_file():  # A device or a FIFO is opened.
            return None
    folder = target if exists and is_folder else target.parent
    existing = next((p for p in (folder, *folder.parents) if os.path.lexists(p)), folder)
    if not existing.is_dir():
        return f"cannot be written: {existing} is not a folder"
    if not os.access(existing, os.W_OK | os.X_OK):
        return f"cannot be written: the folder {existing} is read-only"
    return None


def check_distinct(**paths: str | os.PathLike | None) -> None:
    """Raise ValueError if two options name the same file; missing ones are None.

    Example:
        >>> check_distinct(csv="out", json="./out")
        Traceback (most recent call last):
        ValueError: --csv and --json are both out: give two files
    """
    given = {name: path for name, path in paths.items() if path is not None}
    for one, other in combinations(given, 2):
        if os.path.realpath(given[one]) == os.path.realpath(given[other]):
            raise ValueError(f"--{one} and --{other} are both {given[one]}: give two files")


def printable(text: str, encoding: str = "utf-8") -> str:
    """Lines of text, with escapes for what is not printable or not in a terminal's encoding.

    Example:
        >>> print(printable("café\\x1b[31m", "ascii"))
        caf\\xe9\\x1b[31m
    """
    text = "\n".join(map(escape_nonprintable, text.split("\n")))
    return text.encode(encoding, "backslashreplace").decode(encoding)

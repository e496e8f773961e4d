"""Outputs of commands: which paths can be written, and text that a terminal can show."""

import errno
import os
import stat
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
    try:
        mode = os.stat(path).st_mode
    except ValueError:
        return "cannot be written: a null character is in the name"
    except (FileNotFoundError, NotADirectoryError):
        if is_folder and os.path.islink(path):
            return "is a broken link"
        target = Path(os.path.realpath(path))
        existing = next((p for p in target.parents if os.path.lexists(p)), target)
        if not existing.is_dir():
            return f"cannot be written: {existing} is not a folder"
        path = existing
    except OSError as error:
        return f"cannot be written: {error.strerror}"
    else:
        if stat.S_ISDIR(mode) != is_folder:
            return "is not a folder" if is_folder else "is a folder"
        # A file that is read-only for all is so for root too, as in `atomic_write`.
        if not is_folder and not mode & 0o222:
            return "is read-only"
    is_writable = os.access(path, os.W_OK | (os.X_OK if os.path.isdir(path) else 0))
    return None if is_writable else f"cannot be written: {path} is read-only"


def folder_path(name: str, folder: str | os.PathLike) -> Path:
    """Absolute path, without links, of a folder to write to; ``~`` is the home folder.

    Raises:
        ValueError: the path is empty or has a null character.
        NotADirectoryError: it, or what should be a folder above it, is none.

    Example:
        >>> folder_path("folder", "")
        Traceback (most recent call last):
        ValueError: folder = '': is no path; write . for the current folder
    """
    text = os.fsdecode(folder)
    if not text or "\0" in text:
        raise ValueError(f"{name} = {text!r}: is no path; write . for the current folder")
    try:
        path = Path(os.path.realpath(os.path.expanduser(text)))
    except FileNotFoundError as error:
        problem = "the current folder has been deleted; give an absolute path"
        raise FileNotFoundError(error.errno, problem, text) from error
    if os.path.lexists(path) and not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "is not a folder; give another", str(path))
    for parent in path.parents:
        if parent.exists() and not parent.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "is not a folder; give another", str(parent))
    return path


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

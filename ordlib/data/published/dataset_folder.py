"""Find list files and images under the root folder of a published data set."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from ...utils.validation import check_path
from ..image_files import is_hidden
from ..image_io import SUFFIXES

ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".rar", ".7z")


class DatasetFolder:
    """Index of the files under the root folder of a data set.

    Published lists contain the paths of the authors' machines: absolute ones, or with ``../../``.
    An image is found by its name; of several with that name, by the most folders before it that
    agree. Nothing outside the root is opened: linked folders are not entered, links that lead out
    are left out.

    Raises:
        FileNotFoundError, NotADirectoryError: the root folder does not exist.
        PermissionError: a folder cannot be read.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> (root / "image").mkdir()
        >>> (root / "image" / "1_0M20.JPG").touch()
        >>> DatasetFolder(root).find_image("../../datasets/Morph/image/1_0M20.JPG")
        'image/1_0M20.JPG'
    """

    def __init__(self, root: str | os.PathLike):
        check_path("root", root)
        self.root = Path(os.path.abspath(os.path.expanduser(root)))
        if not self.root.exists():
            raise FileNotFoundError(f"root = {str(self.root)!r}: no such folder")
        if not self.root.is_dir():
            raise NotADirectoryError(f"root = {str(self.root)!r}: is a file; give the folder")
        self.num_folders = 0
        self.num_links = 0  # not followed, because they lead out of the root

    @cached_property
    def files(self) -> list[str]:
        """Relative POSIX paths of all visible files, sorted."""
        real_root, found = os.path.realpath(self.root), []
        for parent, folders, names in os.walk(self.root, onerror=_raise):
            self.num_folders += 1
            self.num_links += sum(os.path.islink(os.path.join(parent, name)) for name in folders)
            folders[:] = sorted(name for name in folders if not is_hidden(name))
            for name in sorted(names):
                path = os.path.join(parent, name)
                if is_hidden(name):
                    continue
                if os.path.islink(path) and not _is_inside(os.path.realpath(path), real_root):
                    self.num_links += 1
                    continue
                found.append(os.path.relpath(path, self.root).replace(os.sep, "/"))
        return found

    @cached_property
    def images(self) -> list[str]:
        """Those of the files that have the extension of an image."""
        return [path for path in self.files if os.path.splitext(path)[1].lower() in SUFFIXES]

    def find_lists(self, names: Iterable[str]) -> list[Path]:
        """Return the path of each list file, wherever it lies under the root.

        A name may contain folders: "fold_0/train.txt".

        Raises:
            FileNotFoundError: lists are missing; names them and where they were looked for.
            ValueError: several files have the name.
        """
        names = list(names)
        missing = [name for name in names if not self._named(name)]
        if missing:
            # Counts the folders.
            count = len(self.files)
            raise FileNotFoundError(
                f"no file {', '.join(map(repr, missing))} in {self.root} and its "
                f"{self.num_folders - 1} subfolders ({count} files){self._hint()}"
            )
        return [self._only(name) for name in names]

    def has_lists(self, names: Iterable[str]) -> bool:
        """Whether each list file lies somewhere under the root."""
        return all(self._named(name) for name in names)

    def find_image(self, listed: str) -> str:
        """Return the relative path of an image that a list names; without extension, by its stem.

        Raises:
            LookupError: no image has the name, or several match equally well.
        """
        parts = [part for part in re.split(r"[\\/]+", listed) if part not in ("", ".", "..")]
        name = parts[-1].casefold() if parts else ""
        found = self._images_by_name.get(name) or self._images_by_stem.get(name, [])
        if not found:
            raise LookupError(f"{listed!r}: no such image under {self.root}{self._hint()}")
        matching = {path: _shared_tail(path, parts) for path in found}
        best = [path for path in found if matching[path] == max(matching.values())]
        if len(best) > 1:
            raise LookupError(f"{listed!r}: {may_be(best)}")
        return best[0]

    def _hint(self) -> str:
        """What may be the reason that something is not found."""
        hints = [path for path in self.files if path.lower().endswith(ARCHIVES)]
        hints = [f"there is {hints[0]!r}: unpack it"] if hints else []
        if self.num_links:
            hints.append(f"{self.num_links} links are not followed: move their files into it")
        return f" ({'; '.join(hints)})" if hints else ""

    def _named(self, name: str) -> list[str]:
        tail = f"/{name.casefold()}"
        found = self._files_by_name.get(tail.rpartition("/")[2], [])
        return [path for path in found if f"/{path.casefold()}".endswith(tail)]

    def _only(self, name: str) -> Path:
        found = self._named(name)
        if len(found) > 1:
            raise ValueError(f"{name!r} {may_be(found)} (in {self.root})")
        return self.root / found[0]

    @cached_property
    def _files_by_name(self) -> dict[str, list[str]]:
        return _grouped(self.files, os.path.basename)

    @cached_property
    def _images_by_name(self) -> dict[str, list[str]]:
        return _grouped(self.images, os.path.basename)

    @cached_property
    def _images_by_stem(self) -> dict[str, list[str]]:
        return _grouped(self.images, lambda path: os.path.splitext(os.path.basename(path))[0])


def may_be(paths: Iterable[str]) -> str:
    """What to do about two files of one name."""
    first, second, *_ = paths
    return f"may be {first!r} or {second!r}; remove one of them"


def _raise(error: OSError) -> None:
    raise error


def _is_inside(path: str, root: str) -> bool:
    return path.startswith(os.path.join(root, "")) and os.path.isfile(path)


def _grouped(paths: Iterable[str], key) -> dict[str, list[str]]:
    groups = defaultdict(list)
    for path in paths:
        groups[key(path).casefold()].append(path)
    return dict(groups)


def _shared_tail(path: str, parts: list[str]) -> tuple[int, int]:
    """Number of folders at the end that agree, regardless of case; then with case."""
    own = path.split("/")
    # The name agrees, perhaps up to its extension.
    folded = [part.casefold() for part in parts]
    own_folded = [part.casefold() for part in own]
    return _count(own_folded[:-1], folded[:-1]), _count(own[:-1], parts[:-1]) + (
        own[-1] == parts[-1]
    )


def _count(a: list[str], b: list[str]) -> int:
    count = 0
    while count < min(len(a), len(b)) and a[-1 - count] == b[-1 - count]:
        count += 1
    return count

"""Find image files; the part that rankings and predictions of files share."""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import pandas as pd

from ..data.image_files import FileScan
from ..data.image_io import SUFFIXES
from ..utils.cache import atomic_write
from ..utils.spreadsheet import csv_text
from ..utils.validation import escape_nonprintable, listed


def find_images(paths: str | os.PathLike | Sequence[str | os.PathLike]) -> FileScan:
    """Find the image files of a folder, or of a list of files and folders.

    Folders are searched recursively; links are followed, each folder is entered once, and hidden
    files are left out. Files of a list may have any extension.

    Raises:
        FileNotFoundError: the folder does not exist.
        TypeError: an entry is no path.
        ValueError: there is no image file.
    """
    is_single = isinstance(paths, str | os.PathLike)
    is_iterable = isinstance(paths, Iterable) and not isinstance(paths, bytes)
    paths = paths if is_single else list(paths) if is_iterable else [paths]
    for path in [] if is_single else paths:
        if not isinstance(path, str | os.PathLike):
            raise TypeError(
                f"paths: {path!r:.80} is no path; pass a folder, or paths of image files (an image "
                "in memory can be saved to one)"
            )
    if is_single and not os.path.lexists(paths):
        raise FileNotFoundError(f"paths = {os.fspath(paths)!r}: no such folder")
    scan = FileScan()
    for path in map(os.fspath, [paths] if is_single else paths):
        if os.path.isdir(path):
            scan.add_folder(path)
        else:
            scan.add_file(path)
    scan.files = sorted(set(scan.files))
    if not scan.files:
        source = repr(os.fspath(paths)) if is_single else f"list of {len(paths)} paths"
        others = f"; {scan.ignored} other files" if scan.ignored else ""
        others += listed([f"{path!r} {reason}" for path, reason in scan.skipped.items()])
        raise ValueError(f"paths = {source}: no image files ({', '.join(SUFFIXES)}){others}")
    return scan


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FileTable(ABC):
    """Table of image files with a title and warnings; base of `Ranking` and `FilePredictions`.

    Attributes:
        table: one row per image, with its ``path``.
        skipped: reason by path of the files that cannot be read.
        ignored: number of files without an image file extension.
        bit_depth: of images with more than 8 bits, or None.
    """

    table: pd.DataFrame
    skipped: Mapping[str, str]
    ignored: int
    bit_depth: int | None = None

    def __len__(self) -> int:
        """Number of images in the table."""
        return len(self.table)

    def __repr__(self) -> str:
        table = self._rounded().to_string(index=False, max_rows=20)
        lines = [self.title, *self.warnings]
        title, *warnings = map(escape_nonprintable, lines)
        return "\n".join([title, table, *warnings])

    def _repr_html_(self) -> str:
        warnings = "".join(f"<p>{escape(warning)}</p>\n" for warning in self.warnings)
        table = self._rounded().to_html(index=False, max_rows=20)
        return f"<p>{escape(self.title)}</p>\n{table}\n{warnings}"

    def _rounded(self) -> pd.DataFrame:
        texts = [name for name in ("path", "label") if name in self.table]
        return self.table.assign(
            **{name: [*map(escape_nonprintable, self.table[name])] for name in texts}
        ).round(3)

    @property
    @abstractmethod
    def title(self) -> str:
        """What the table shows, in one line."""

    @property
    def warnings(self) -> list[str]:
        """Files that are not in the table."""
        warnings = []
        if self.ignored:
            warnings.append(f"{_files_were(self.ignored)} ignored: no image file extension.")
        if self.skipped:
            warnings.append(f"{_files_were(len(self.skipped))} skipped.")
        return warnings

    def to_csv(self, path: str | os.PathLike | None = None) -> str:
        """Return the table as CSV, and write it to ``path`` if given.

        For spreadsheets, a path that begins like a formula gets "./", a label an apostrophe.
        """
        return write_text(csv_text(self.table), path)

    def to_json(self, path: str | os.PathLike | None = None) -> str:
        """Return the attributes as JSON, with the table's rows as ``images``, as in `to_csv`."""
        content = {name: value for name, value in vars(self).items() if name != "table"}
        table = self.table.astype(object).where(self.table.notna(), None)
        content |= {"skipped": dict(self.skipped), "images": table.to_dict("records")}
        return write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", path)


def is_ood(row: object) -> bool:
    """Whether a row of the table is out-of-distribution; False without an OOD detector."""
    return getattr(row, "ood_score", 0) > 1


def _files_were(count: int) -> str:
    return f"{count:,} file was" if count == 1 else f"{count:,} files were"


def write_text(text: str, path: str | os.PathLike | None) -> str:
    """Return a text, and write it atomically to ``path`` if given."""
    if path is not None:
        # Bytes of a name that are not UTF-8 are written as \udcff.
        with atomic_write(path) as temporary:
            temporary.write_bytes(text.encode("utf-8", "backslashreplace"))
    return text

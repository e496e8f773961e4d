"""Parse label files: CSV/TSV tables, list files, class folders."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from .image_io import SUFFIXES

TABLES = (".csv", ".tsv", ".tab")
SPLIT_NAMES = ("train", "training", "val", "valid", "validation", "test")


@dataclass(frozen=True)
class LabelTable:
    """Image paths and labels as text.

    Attributes:
        source: label file or folder.
        rows: origin of each of the N entries, for messages: "row 7"; "" in class folders.
        metadata: N rows of all columns, as stripped text.
        path_column, label_column: columns of paths and labels.
        path_field, label_field: their names in messages: "column 'age'".
    """

    source: str
    rows: list[str]
    metadata: pd.DataFrame
    path_column: str = "path"
    label_column: str = "label"
    path_field: str = "path"
    label_field: str = "label"

    @property
    def paths(self) -> list[str]:
        """N image paths as written."""
        return self.column(self.path_column).tolist()

    @property
    def labels(self) -> list[str]:
        """N labels as written."""
        return self.column(self.label_column).tolist()

    def column(self, name: str) -> pd.Series:
        """A column by name; the ValueError of an unknown name lists the columns."""
        if name not in self.metadata:
            columns = ", ".join(map(repr, self.metadata.columns))
            raise ValueError(f"{self.source}: no column {name!r}; it has {columns}")
        return self.metadata[name]


def read_labels(
    root: Path, labels: Path | None, image_column: str, label_column: str
) -> LabelTable:
    """Read a table, a list file (any other suffix), or class folders (None)."""
    if labels is None:
        return read_class_folders(root)
    if labels.suffix.lower() in TABLES:
        return read_table(labels, image_column, label_column)
    return read_list(labels)


def read_table(file: Path, image_column: str, label_column: str) -> LabelTable:
    """Read a table delimited by commas, semicolons or tabs; the header is row 1.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "ages.csv"
        >>> _ = file.write_text("photo;age\\na.jpg;31\\n")
        >>> table = read_table(file, "photo", "age")
        >>> table.rows, table.paths, table.labels
        (['row 2'], ['a.jpg'], ['31'])
    """
    rows, metadata = _parse_table(file)
    fields = (f"column {image_column!r}", f"column {label_column!r}")
    table = LabelTable(str(file), rows, metadata, image_column, label_column, *fields)
    for name in (image_column, label_column):
        table.column(name)
    if not rows:
        raise ValueError(f"{file}: contains no images below its header")
    return table


def read_list(file: Path) -> LabelTable:
    """Read lines of a path and a label, separated by the last blank; empty lines are skipped."""
    lines = enumerate(_read_text(file).splitlines(), start=1)
    lines = {number: line.strip() for number, line in lines if line.strip()}
    if not lines:
        raise ValueError(f"{file}: is empty; add lines of a path and a label")
    # A line without a blank is a path with a missing label.
    entries = [(*line.rsplit(maxsplit=1), "")[:2] for line in lines.values()]
    return LabelTable(str(file), [f"line {number}" for number in lines], _as_frame(entries))


def read_class_folders(root: Path) -> LabelTable:
    """List the images in subfolders named after their rank, at any depth; skips hidden files."""
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise ValueError(f"{root}: no class folders; create one per rank, or give labels=")
    splits = [folder.name for folder in folders if folder.name.lower() in SPLIT_NAMES]
    if splits:
        raise ValueError(
            f"{root}: subfolder {splits[0]!r} is a split, not a rank; load each by itself"
        )
    stray = [path.name for path in sorted(root.iterdir()) if _is_image(path)]
    if stray:
        raise ValueError(
            f"{root}: {len(stray)} images outside the class folders ({stray[0]} ...); move them"
        )
    images = {folder: [p for p in sorted(folder.rglob("*")) if _is_image(p)] for folder in folders}
    empty = [folder.name for folder, files in images.items() if not files]
    if empty:
        raise ValueError(
            f"{root}: subfolders without images ({', '.join(empty)}); fill or delete them. "
            f"Image suffixes: {', '.join(SUFFIXES)}"
        )
    pairs = [(file, folder) for folder, files in images.items() for file in files]
    entries = [(file.relative_to(root).as_posix(), folder.name) for file, folder in pairs]
    rows, fields = [""] * len(entries), {"path_field": "image", "label_field": "subfolder"}
    return LabelTable(str(root), rows, _as_frame(entries), **fields)


def _parse_table(file: Path) -> tuple[list[str], pd.DataFrame]:
    """Row names and cells, parsed with `csv` so that errors name their row."""
    text = _read_text(file)
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise ValueError(f"{file}: invalid table: {error}; check its quotes") from error
    if not lines:
        raise ValueError(f"{file}: is empty; add a header and one row per image")
    header, *lines = ([cell.strip() for cell in line] for line in lines)
    if len(set(header)) < len(header):
        raise ValueError(f"{file}: duplicate column names: {', '.join(map(repr, header))}")
    rows = {number: line for number, line in enumerate(lines, start=2) if any(line)}
    for number, line in rows.items():
        if len(line) > len(header):
            raise ValueError(
                f"{file}, row {number}: {len(line)} fields for {len(header)} columns; "
                f"quote text that contains {delimiter!r}"
            )
    cells = [line + [""] * (len(header) - len(line)) for line in rows.values()]
    return [f"row {number}" for number in rows], _as_frame(cells, header)


def _as_frame(entries: list, columns: tuple | list = ("path", "label")) -> pd.DataFrame:
    return pd.DataFrame(entries, columns=list(columns), dtype=str)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _read_text(file: Path) -> str:
    content = file.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{file}, line {line}: byte {content[error.start]:#04x} is not UTF-8; "
            "save the file as UTF-8 (in a spreadsheet: 'CSV UTF-8')"
        ) from error

"""Which pictures there are and how they are labelled: tables, lists, class-named subfolders."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from .image_io import SUFFIXES

TABLES = (".csv", ".tsv", ".tab")
USUAL_SPLITS = ("train", "training", "val", "valid", "validation", "test")


@dataclass(frozen=True)
class LabelTable:
    """Names of pictures and their labels as text, with where each was read.

    Attributes:
        source: what was read, for messages: a file or a folder.
        rows: where each entry stands, for messages: "row 7"; "" in class-named subfolders.
        metadata: N rows of all columns, as text without blanks around it.
        path_column, label_column: the two columns that matter.
        path_field, label_field: what they are called in messages: "column 'age'".
    """

    source: str
    rows: list[str]
    metadata: pd.DataFrame
    path_column: str
    label_column: str
    path_field: str
    label_field: str

    @property
    def paths(self) -> list[str]:
        """N paths as written."""
        return self.metadata[self.path_column].tolist()

    @property
    def labels(self) -> list[str]:
        """N labels as written."""
        return self.metadata[self.label_column].tolist()

    def column(self, name: str) -> pd.Series:
        """A column of the table; ``ValueError`` names those there are."""
        if name not in self.metadata:
            known = ", ".join(map(repr, self.metadata.columns))
            raise ValueError(f"{self.source} has no column {name!r}; it has {known}")
        return self.metadata[name]


def read_labels(
    root: Path, labels: Path | None, image_column: str, label_column: str
) -> LabelTable:
    """Entries of a table, of any other file (a list), or of class-named subfolders (None).

    Raises:
        ValueError: nothing listed, a missing column, text that is not UTF-8, a row too long.
    """
    if labels is None:
        return read_class_folders(root)
    if labels.suffix.lower() in TABLES:
        return read_table(labels, image_column, label_column)
    return read_list(labels)


def read_table(file: Path, image_column: str, label_column: str) -> LabelTable:
    """Entries of a table split by commas, semicolons or tabs; its first row names the columns.

    Rows are counted as a spreadsheet does, the header being row 1.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "ages.csv"
        >>> _ = file.write_text("photo;age\\na.jpg;31\\n")
        >>> listing = read_table(file, "photo", "age")
        >>> listing.rows, listing.paths, listing.labels
        (['row 2'], ['a.jpg'], ['31'])
    """
    rows, records = _parse_table(file)
    fields = (f"column {image_column!r}", f"column {label_column!r}")
    listing = LabelTable(str(file), rows, records, image_column, label_column, *fields)
    for name in (image_column, label_column):
        listing.column(name)
    if not rows:
        raise ValueError(f"{file} lists no pictures below its header")
    return listing


def read_list(file: Path) -> LabelTable:
    """Entries of a file with lines of a path and a label, which follows the last blank."""
    lines = list(enumerate(_read_text(file).splitlines(), start=1))
    lines = [(number, line.strip()) for number, line in lines if line.strip()]
    if not lines:
        raise ValueError(f"{file} is empty; it should hold lines of a path and a label")
    # A line of one word is a path whose label is missing.
    entries = [(*line.rsplit(maxsplit=1), "")[:2] for _, line in lines]
    rows = [f"line {number}" for number, _ in lines]
    return _listing(str(file), rows, entries, ("path", "label"))


def read_class_folders(root: Path) -> LabelTable:
    """Entries of subfolders named after their rank, in alphabetical order, at any depth.

    Hidden files and other kinds of files are not listed.
    """
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise ValueError(
            f"{root} has no subfolders; name one after each rank, or say with labels= "
            "which table or list holds the labels"
        )
    splits = [folder.name for folder in folders if folder.name.lower() in USUAL_SPLITS]
    if splits:
        raise ValueError(
            f"{root} has the subfolder {splits[0]!r}, a split and not a rank; "
            f"load each split by itself: load_folder({str(root / splits[0])!r}, ...)"
        )
    stray = [path.name for path in sorted(root.iterdir()) if _is_picture(path)]
    if stray:
        raise ValueError(
            f"{root} holds {len(stray)} pictures outside its subfolders ({stray[0]} ...): "
            "move each into the folder named after its rank"
        )
    found = {folder: [p for p in sorted(folder.rglob("*")) if _is_picture(p)] for folder in folders}
    empty = [folder.name for folder, pictures in found.items() if not pictures]
    if empty:
        raise ValueError(
            f"{root} has subfolders without pictures ({', '.join(empty)}); fill or delete them. "
            f"Pictures are files that end in {', '.join(SUFFIXES)}"
        )
    entries = [
        (path.relative_to(root).as_posix(), folder.name)
        for folder, pictures in found.items()
        for path in pictures
    ]
    return _listing(str(root), [""] * len(entries), entries, ("picture", "subfolder"))


def _parse_table(file: Path) -> tuple[list[str], pd.DataFrame]:
    """Names of the rows, and all cells."""
    # By hand, for faults that name their row.
    text = _read_text(file)
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise ValueError(f"{file} is no proper table: {error}; look at its quotes") from error
    if not lines:
        raise ValueError(f"{file} is empty; it should name its columns and list pictures")
    lines = [[cell.strip() for cell in line] for line in lines]
    header = lines[0]
    if len(set(header)) < len(header):
        raise ValueError(f"{file} has two columns of one name: {', '.join(map(repr, header))}")
    rows = {number: line for number, line in enumerate(lines[1:], start=2) if any(line)}
    for number, line in rows.items():
        if len(line) > len(header):
            raise ValueError(
                f"{file}, row {number} has {len(line)} fields under {len(header)} columns; "
                f"put text that holds {delimiter!r} in quotes"
            )
    cells = [line + [""] * (len(header) - len(line)) for line in rows.values()]
    return [f"row {number}" for number in rows], pd.DataFrame(cells, columns=header, dtype=str)


def _listing(source: str, rows: list[str], entries: list, fields: tuple[str, str]) -> LabelTable:
    records = pd.DataFrame(entries, columns=["path", "label"], dtype=str)
    return LabelTable(source, rows, records, "path", "label", *fields)


def _is_picture(path: Path) -> bool:
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

"""Which pictures there are and how they are labelled: tables, lists, class-named subfolders."""

import csv
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from .pictures import SUFFIXES

TABLES = (".csv", ".tsv", ".tab")
USUAL_SPLITS = ("train", "training", "val", "valid", "validation", "test")


@dataclass(frozen=True)
class Listing:
    """Names of pictures and their labels, as text, with where each was read.

    Attributes:
        source: what was read, for messages: a file or a folder.
        rows: where each entry stands, for messages: "row 7", or "" in class-named subfolders.
        paths: N paths as written.
        labels: N labels as written.
        path_field, label_field: what the two are called there: "column 'age'".
        records: N rows of all columns, as text.
    """

    source: str
    rows: list[str]
    paths: list[str]
    labels: list[str]
    path_field: str
    label_field: str
    records: pd.DataFrame

    def column(self, name: str) -> pd.Series:
        """Return a column of the table, or raise ``ValueError`` naming those there are."""
        if name not in self.records:
            known = ", ".join(map(repr, self.records.columns))
            raise ValueError(f"{self.source} has no column {name!r}; it has {known}")
        return self.records[name]


def read_listing(root: Path, labels: Path | None, image_column: str, label_column: str) -> Listing:
    """Read whatever says which pictures there are.

    Args:
        root: the folder of pictures.
        labels: a table (.csv, .tsv, .tab), any other text file (a list of ``path label``
            lines), or None for class-named subfolders.
        image_column, label_column: the table's columns.

    Returns:
        The entries, in the order of the file; subfolders in alphabetical order.

    Raises:
        ValueError: nothing listed, a missing column, text that is not UTF-8, uneven rows.
    """
    if labels is None:
        return read_classes(root)
    if labels.suffix.lower() in TABLES:
        return read_table(labels, image_column, label_column)
    return read_list(labels)


def read_table(file: Path, image_column: str, label_column: str) -> Listing:
    """Read a table whose first row names the columns, split by commas, semicolons or tabs.

    Args:
        file: UTF-8 text.
        image_column, label_column: names of two of the columns.

    Returns:
        The entries; rows are counted as a spreadsheet does, the header being row 1.

    Raises:
        ValueError: a missing column, no rows, text that is not UTF-8, uneven rows.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "ages.csv"
        >>> _ = file.write_text("photo;age\\na.jpg;31\\n")
        >>> listing = read_table(file, "photo", "age")
        >>> listing.rows, listing.paths, listing.labels
        (['row 2'], ['a.jpg'], ['31'])
    """
    text = _read_text(file)
    header = text.partition("\n")[0]
    try:
        with warnings.catch_warnings():
            # Without this a row with too many fields would be cut short.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                io.StringIO(text),
                sep=max(",;\t", key=header.count),
                dtype=str,
                keep_default_na=False,
                skip_blank_lines=False,
                index_col=False,
            )
    except pd.errors.EmptyDataError as error:
        raise ValueError(
            f"{file} is empty; it should name its columns and list pictures"
        ) from error
    except (pd.errors.ParserError, pd.errors.ParserWarning, csv.Error) as error:
        raise ValueError(f"{file} is not an even table: {error}") from error
    table = table.fillna("").apply(lambda column: column.str.strip())
    table.columns = table.columns.str.strip()
    table = table[(table != "").any(axis=1)]
    listing = Listing(
        source=str(file),
        rows=[f"row {index + 2}" for index in table.index],
        paths=[],
        labels=[],
        path_field=f"column {image_column!r}",
        label_field=f"column {label_column!r}",
        records=table.reset_index(drop=True),
    )
    paths, labels = listing.column(image_column), listing.column(label_column)
    if table.empty:
        raise ValueError(f"{file} lists no pictures below its header")
    listing.paths.extend(paths)
    listing.labels.extend(labels)
    return listing


def read_list(file: Path) -> Listing:
    """Read lines of a path and a label; the label is what follows the last blank.

    Args:
        file: UTF-8 text. Paths may hold blanks; empty lines are passed over.

    Returns:
        The entries.

    Raises:
        ValueError: no lines, or text that is not UTF-8.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "train.txt"
        >>> _ = file.write_text("my photos/a b.jpg 3\\n")
        >>> listing = read_list(file)
        >>> listing.paths, listing.labels
        (['my photos/a b.jpg'], ['3'])
    """
    lines = list(enumerate(_read_text(file).splitlines(), start=1))
    lines = [(number, line.strip()) for number, line in lines if line.strip()]
    if not lines:
        raise ValueError(f"{file} is empty; it should hold lines of a path and a label")
    # A line of one word is a path whose label is missing.
    fields = [(*line.rsplit(maxsplit=1), "")[:2] for _, line in lines]
    return _listing(
        str(file), [f"line {number}" for number, _ in lines], *zip(*fields, strict=True)
    )


def read_classes(root: Path) -> Listing:
    """List the pictures of subfolders that are named after their rank.

    Args:
        root: holds one folder for each rank; pictures may lie deeper inside those.

    Returns:
        The entries, in alphabetical order. Hidden files and other kinds of files are not listed.

    Raises:
        ValueError: no subfolders, one without pictures, pictures outside of them, or
            subfolders named after splits.
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
    return _listing(str(root), [""] * len(entries), *zip(*entries, strict=True))


def _listing(source: str, rows: list[str], paths: tuple[str], labels: tuple[str]) -> Listing:
    records = pd.DataFrame({"path": paths, "label": labels}, dtype=str)
    return Listing(source, rows, list(paths), list(labels), "path", "label", records)


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

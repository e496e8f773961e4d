"""Parse labels: CSV/TSV/Excel tables, metadata.jsonl, lists, class folders, DataFrames."""

import csv
import io
import json
import re
import warnings
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..utils.validation import listed
from .image_files import FileScan, is_hidden
from .image_io import SUFFIXES
from .text_files import read_lines, read_text

TABLES = (".csv", ".tsv", ".tab")
EXCEL = (".xlsx", ".xls", ".ods")
JSON_LINES = (".jsonl", ".ndjson")
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
        if name not in [*self.metadata.columns]:
            columns = ", ".join(map(repr, self.metadata.columns))
            raise ValueError(f"{self.source}: no column {name!r}; it has {columns}")
        return self.metadata[name]


def read_labels(
    root: Path,
    labels: Path | pd.DataFrame | Sequence | None,
    image_column: str,
    label_column: str,
    names: Collection[str] = (),
) -> LabelTable:
    """Read a table, a list file (any other suffix), rows in memory, or class folders (None).

    Args:
        root: image folder.
        labels: label file, DataFrame, or sequence of (path, label) pairs.
        image_column, label_column: columns of a table.
        names: case-folded names of ranks, which may contain blanks in a list file.
    """
    if labels is None:
        return read_class_folders(root)
    if not isinstance(labels, Path):
        return _as_table(labels, image_column, label_column)
    if labels.suffix.lower() == ".json":
        raise ValueError(f"{labels}: is JSON; write one object per line into a .jsonl file")
    if labels.suffix.lower() in (*TABLES, *EXCEL, *JSON_LINES):
        return read_table(labels, image_column, label_column)
    return read_list(labels, names)


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
    parse = {**dict.fromkeys(EXCEL, _parse_excel), **dict.fromkeys(JSON_LINES, _parse_json_lines)}
    rows, metadata = parse.get(file.suffix.lower(), parse_table)(file)
    return _checked_table(str(file), rows, metadata, image_column, label_column)


def read_list(file: Path, names: Collection[str] = ()) -> LabelTable:
    """Read lines of a path and a label, separated by a tab or the last blank.

    A label may be a name with blanks if it is one of ``names``. Empty lines are skipped.
    """
    lines = enumerate(read_lines(file), start=1)
    lines = {number: line.strip() for number, line in lines if line.strip()}
    if not lines:
        raise ValueError(f"{file}: is empty; add lines of a path and a label")
    entries = [_split_line(line, names) for line in lines.values()]
    return LabelTable(str(file), [f"line {number}" for number in lines], _as_frame(entries))


def _split_line(line: str, names: Collection[str]) -> tuple[str, str]:
    if "\t" in line:
        path, _, label = line.rpartition("\t")
        return path.strip(), label.strip()
    folded = line.casefold()
    for name in sorted(names, key=len, reverse=True):
        if folded.endswith(f" {name}"):
            return line[: -len(name)].strip(), line[-len(name) :]
    # A line without a blank is a path with a missing label.
    return (*line.rsplit(maxsplit=1), "")[:2]


def _as_table(labels: pd.DataFrame | Sequence, image_column: str, label_column: str) -> LabelTable:
    """Rows in memory, numbered from 0 as their index, cells as text, missing ones empty."""
    if isinstance(labels, pd.DataFrame):
        is_index = labels.index.name == image_column and image_column not in labels
        frame = labels.reset_index(drop=not is_index)
        if frame.columns.duplicated().any():
            names = ", ".join(map(repr, frame.columns))
            raise ValueError(f"labels: duplicate column names: {names}")
    else:
        frame = pd.DataFrame(_pairs(labels), columns=[image_column, label_column])
    frame = frame.astype(object).where(frame.notna(), "").astype(str)
    frame = frame.apply(lambda column: column.str.strip()).rename(columns=str)
    rows = [f"row {index}" for index in range(len(frame))]
    return _checked_table("labels", rows, frame, image_column, label_column)


def _pairs(labels: object) -> list:
    """(path, label) pairs of an iterable, a dict or a Series."""
    try:
        pairs = list(labels.items() if hasattr(labels, "items") else labels)
    except TypeError:
        pairs = [labels]
    for index, pair in enumerate(pairs):
        if not isinstance(pair, Sequence | np.ndarray) or isinstance(pair, str) or len(pair) != 2:
            raise ValueError(
                f"labels: entry {index}, {pair!r:.80}, is no (path, label) pair; give a label "
                "file, a DataFrame, or pairs"
            )
    return pairs


def _checked_table(
    source: str, rows: list[str], metadata: pd.DataFrame, image_column: str, label_column: str
) -> LabelTable:
    # The name that Hugging Face datasets gives the column.
    if image_column == "path" and "path" not in metadata and "file_name" in metadata:
        image_column = "file_name"
    fields = (f"column {image_column!r}", f"column {label_column!r}")
    table = LabelTable(source, rows, metadata, image_column, label_column, *fields)
    for name in (image_column, label_column):
        table.column(name)
    if not rows:
        raise ValueError(f"{source}: contains no images below its header")
    return table


def read_class_folders(root: Path) -> LabelTable:
    """List the images in subfolders named after their rank, at any depth; skips hidden files.

    Subfolders may also be named after splits, and contain the class folders of each; the table
    then has a column "split". A warning names files and folders that cannot be read and counts
    other files.
    """
    folders = _subfolders(root)
    splits = [folder for folder in folders if folder.name.lower() in SPLIT_NAMES]
    if not splits:
        return _read_classes(root, folders)
    others = [folder.name for folder in folders if folder not in splits]
    if others:
        raise ValueError(
            f"{root}: subfolder {splits[0].name!r} is a split, {others[0]!r} is not; give a folder "
            "of splits or of ranks"
        )
    tables = [_read_classes(split, _subfolders(split)) for split in splits]
    for split, table in zip(splits, tables, strict=True):
        paths = f"{split.name}/" + table.metadata["path"]
        table.metadata.insert(2, "split", split.name)
        table.metadata["path"] = paths
    metadata = pd.concat([table.metadata for table in tables], ignore_index=True)
    rows = [row for table in tables for row in table.rows]
    return replace(tables[0], source=str(root), rows=rows, metadata=metadata)


def _subfolders(root: Path) -> list[Path]:
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not is_hidden(p.name))
    if not folders:
        raise ValueError(
            f"{root}: no class folders; create one per rank, or give a table of labels: labels=, "
            "on the command line --labels (of evaluate: the second argument)"
        )
    return folders


def _read_classes(root: Path, folders: list[Path]) -> LabelTable:
    stray = [path.name for path in sorted(root.iterdir()) if _is_image(path)]
    if stray:
        raise ValueError(
            f"{root}: {len(stray)} images outside the class folders ({stray[0]} ...); move them"
        )
    scans = {folder: FileScan() for folder in folders}
    for folder, scan in scans.items():
        scan.add_folder(str(folder))
    images = {folder: sorted(map(Path, scan.files)) for folder, scan in scans.items()}
    empty = [folder for folder, files in images.items() if not files]
    if empty:
        skipped = [f"{path!r} {reason}" for f in empty for path, reason in scans[f].skipped.items()]
        raise ValueError(
            f"{root}: subfolders without images ({', '.join(f.name for f in empty)}); fill or "
            f"delete them. Image suffixes: {', '.join(SUFFIXES)}{listed(skipped)}"
        )
    _warn_skipped(root, [_scan_special_files(root), *scans.values()])
    pairs = [(file, folder) for folder, files in images.items() for file in files]
    entries = [(file.relative_to(root).as_posix(), folder.name) for file, folder in pairs]
    rows, fields = [""] * len(entries), {"path_field": "image", "label_field": "subfolder"}
    return LabelTable(str(root), rows, _as_frame(entries), **fields)


def _scan_special_files(root: Path) -> FileScan:
    """Visible links that lead nowhere, pipes and devices beside the class folders."""
    scan = FileScan()
    for path in sorted(root.iterdir()):
        if not (is_hidden(path.name) or path.is_dir() or path.is_file()):
            scan.add_file(str(path))
    return scan


def _warn_skipped(root: Path, scans: Iterable[FileScan]) -> None:
    skipped = [f"{path!r} {reason}" for scan in scans for path, reason in scan.skipped.items()]
    ignored = sum(scan.ignored for scan in scans)
    if ignored:
        skipped.append(f"{ignored} files without an image suffix")
    if skipped:
        warnings.warn(f"{root}: left out:{listed(skipped)}", stacklevel=5)


def parse_table(file: Path) -> tuple[list[str], pd.DataFrame]:
    """Row names and cells, parsed with `csv` so that errors name their row."""
    text = read_text(file)
    # Excel's own line, which says how the columns are separated.
    excel_line = re.match(r"\s*\"?sep=(.)\"?[^\S\n]*(?=\n)", text)
    body = text[excel_line.end() :] if excel_line else text
    first_line = body.lstrip().partition("\n")[0]
    delimiter = excel_line[1] if excel_line else max(",;\t", key=first_line.count)
    lines, first_number = [], 1 + text[: len(text) - len(body)].count("\n")
    try:
        for line in csv.reader(io.StringIO(body, newline=""), delimiter=delimiter, strict=True):
            lines.append(line)
    except csv.Error as error:
        row = first_number + len(lines)
        raise ValueError(f"{file}, row {row}: invalid table: {error}; check its quotes") from error
    numbered = enumerate(lines, start=first_number)
    rows = {number: [cell.strip() for cell in line] for number, line in numbered}
    rows = {number: line for number, line in rows.items() if any(line)}
    if not rows:
        raise ValueError(f"{file}: is empty; add a header and one row per image")
    header = rows.pop(min(rows))
    # Spreadsheets save columns that were once used.
    width = max(len(line) - line[::-1].index(next(filter(None, line[::-1])))
                for line in (header, *rows.values()))  # fmt: skip
    header, rows = header[:width], {number: line[:width] for number, line in rows.items()}
    if len(header) == 1:
        raise ValueError(
            f"{file}: its header has a single column, {header[0][:200]!r}; separate columns by "
            "commas, semicolons or tabs, and delete lines above the header"
        )
    if len(set(header)) < len(header):
        raise ValueError(f"{file}: duplicate column names: {', '.join(map(repr, header))}")
    for number, line in rows.items():
        if len(line) > len(header):
            raise ValueError(
                f"{file}, row {number}: {len(line)} fields for {len(header)} columns; "
                f"quote text that contains {delimiter!r}"
            )
    cells = [line + [""] * (len(header) - len(line)) for line in rows.values()]
    return [f"row {number}" for number in rows], _as_frame(cells, header)


def _parse_json_lines(file: Path) -> tuple[list[str], pd.DataFrame]:
    """Row names and fields of one JSON object per line, as Hugging Face datasets writes them."""
    records = {}
    for number, line in enumerate(read_lines(file), start=1):
        try:
            record = json.loads(line, object_pairs_hook=_unique) if line.strip() else None
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{file}, line {number}: invalid JSON: {error}") from error
        if record is not None and not isinstance(record, dict):
            raise ValueError(f"{file}, line {number}: {line[:40]!r} is no JSON object")
        if record:
            records[f"line {number}"] = record
    frame = pd.DataFrame(list(records.values()), dtype=object)
    return list(records), frame.where(frame.notna(), "").astype(str)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object, of which Python would take the last of equal keys."""
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError(f"equal keys in {', '.join(key for key, _ in pairs)}")
    return record


def _parse_excel(file: Path) -> tuple[list[str], pd.DataFrame]:
    """Row names and cells of the first sheet of a spreadsheet."""
    try:
        frame = pd.read_excel(file, dtype=str, keep_default_na=False)
    except ImportError as error:
        raise ImportError(f"{file}: {error}; or save the table as CSV") from error
    except Exception as error:  # The packages for spreadsheets raise almost anything.
        raise ValueError(
            f"{file}: is no spreadsheet or damaged ({error}); save the table as CSV"
        ) from error
    frame = frame.apply(lambda column: column.str.strip())
    frame = frame[(frame != "").any(axis=1)]
    return [f"row {index + 2}" for index in frame.index], frame.reset_index(drop=True)


def _as_frame(entries: list, columns: tuple | list = ("path", "label")) -> pd.DataFrame:
    return pd.DataFrame(entries, columns=list(columns), dtype=str)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()

"""Parse the list files of published data sets.

Every parser returns a DataFrame of text with the columns "path" and "origin" (file and line, for
error messages), and further ones.
"""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ..image_io import SUFFIXES
from ..label_files import parse_table
from ..text_files import read_lines, read_text

# A path, which may contain blanks, and one or several labels such as "3", "3.0" or "1930s".
_LABEL = r"(?:-?\d[\d.]*s?|nan)"
_LIST_LINE = re.compile(rf"(?P<path>\S.*?)[ \t]+(?P<labels>{_LABEL}(?:[ \t]+{_LABEL})*)\s*", re.I)


def read_list(file: Path) -> pd.DataFrame:
    """Read lines of a path and one or several labels, which are joined by blanks in "label".

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "list.txt"
        >>> _ = file.write_bytes(b"a/my face.jpg 3 4\\r\\n./b.jpg\\t2.0")
        >>> read_list(file)[["path", "label"]].values.tolist()
        [['a/my face.jpg', '3 4'], ['./b.jpg', '2.0']]
    """
    rows = []
    for origin, line in _lines(file):
        match = _LIST_LINE.fullmatch(line)
        if match is None:
            end = line if len(line) <= 60 else f"...{line[-60:]}"
            raise ValueError(f"{origin}: {end!r}: must be a path, a blank or tab, and a number")
        rows.append((match["path"], origin, " ".join(match["labels"].split())))
    return _frame(file, rows, ["path", "origin", "label"])


def read_id_split(file: Path) -> pd.DataFrame:
    """Read ``{"train_id": [...], "test_id": [...]}``, file names without folder and extension.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "split.json"
        >>> _ = file.write_text('{"train_id": ["a", 7], "test_id": ["b"]}')
        >>> read_id_split(file)[["path", "split"]].values.tolist()
        [['a', 'train'], ['7', 'train'], ['b', 'test']]
    """
    try:
        content = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: invalid JSON: {error}") from error
    keys = {"train_id": "train", "test_id": "test"}
    if not isinstance(content, dict) or any(not isinstance(content.get(k), list) for k in keys):
        raise ValueError(f"{file}: must be an object with the lists {', '.join(keys)}")
    rows = [
        (_without_extension(str(name)), f"{file.name}, {key} {index}", split)
        for key, split in keys.items()
        for index, name in enumerate(content[key])
    ]
    return _frame(file, rows, ["path", "origin", "split"])


def read_columns(file: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a table with a header, separated by commas, semicolons, tabs or blanks.

    Args:
        file: table; a first column without a name is an index.
        columns: columns that it must have; the first one holds the paths.
    """
    if _is_separated_by_blanks(file):
        header, *rows = [[*line.split()] for _, line in _lines(file)]
        origins = [origin for origin, _ in _lines(file)][1:]
        for origin, row in zip(origins, rows, strict=True):
            if len(row) != len(header):
                raise ValueError(f"{origin}: {len(row)} fields for {len(header)} columns")
        frame = pd.DataFrame(rows, columns=header, dtype=str)
    else:
        names, frame = parse_table(file)
        origins = [f"{_short(file)}, {name}" for name in names]
    if not origins:
        raise ValueError(f"{file}: contains no entries below its header")
    missing = [name for name in columns if name not in frame]
    if missing:
        raise ValueError(
            f"{file}: no column {missing[0]!r}; it has {', '.join(map(repr, frame.columns))}"
        )
    frame = frame.drop(columns="", errors="ignore").rename(columns={columns[0]: "path"})
    return frame.assign(origin=origins)


def read_numbers(file: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read lines of numbers, separated by blanks, without a header; columns are floats."""
    rows, origins = [], []
    for origin, line in _lines(file):
        fields = line.split()
        if len(fields) != len(columns):
            raise ValueError(f"{origin}: {len(fields)} numbers instead of {len(columns)}")
        try:
            rows.append([float(field) for field in fields])
        except ValueError:
            raise ValueError(f"{origin}: {line[:60]!r}: must be {len(columns)} numbers") from None
        origins.append(origin)
    return _frame(file, rows, columns).assign(origin=origins)


def _lines(file: Path) -> list[tuple[str, str]]:
    """Origin and text of the lines that are not empty."""
    lines = enumerate(read_lines(file), start=1)
    where = _short(file)
    return [(f"{where}, line {number}", line.strip()) for number, line in lines if line.strip()]


def _short(file: Path) -> str:
    """Name of a file with its folder: several lists are named train.txt."""
    return f"{file.parent.name}/{file.name}"


def _without_extension(name: str) -> str:
    """An id without folder and image extension; its other dots stay."""
    name = re.split(r"[\\/]+", name)[-1]
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in SUFFIXES else name


def _is_separated_by_blanks(file: Path) -> bool:
    header = next((line for _, line in _lines(file)), "")
    return not any(separator in header for separator in ",;\t") and " " in header


def _frame(file: Path, rows: list, columns: Sequence[str]) -> pd.DataFrame:
    if not rows:
        raise ValueError(f"{file}: contains no entries")
    return pd.DataFrame(rows, columns=list(columns))

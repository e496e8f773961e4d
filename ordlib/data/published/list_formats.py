"""Parse the list files of published data sets.

Every parser returns a DataFrame of text with the columns "path" and "origin" (file and line, for
error messages), and further ones.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ..label_files import parse_table, read_text

# A path, which may contain blanks, and one or several labels such as "3", "3.0" or "1930s".
_LIST_LINE = re.compile(r"(?P<path>\S.*?)[ \t]+(?P<labels>\d[\d.]*s?(?:[ \t]+\d[\d.]*s?)*)\s*")


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
            raise ValueError(f"{origin}: {line[:60]!r}: must be a path and a number")
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
    except ValueError as error:
        raise ValueError(f"{file}: invalid JSON: {error}") from error
    keys = {"train_id": "train", "test_id": "test"}
    if not isinstance(content, dict) or any(not isinstance(content.get(k), list) for k in keys):
        raise ValueError(f"{file}: must be an object with the lists {', '.join(keys)}")
    rows = [
        (str(name), f"{file.name}, {key} {index}", split)
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
        origins = [f"{file.name}, {name}" for name in names]
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
    lines = enumerate(read_text(file).splitlines(), start=1)
    return [(f"{file.name}, line {number}", line.strip()) for number, line in lines if line.strip()]


def _is_separated_by_blanks(file: Path) -> bool:
    header = next((line for _, line in _lines(file)), "")
    return not any(separator in header for separator in ",;\t") and " " in header


def _frame(file: Path, rows: list, columns: Sequence[str]) -> pd.DataFrame:
    if not rows:
        raise ValueError(f"{file}: contains no entries")
    return pd.DataFrame(rows, columns=list(columns))

"""Read text files; what is no UTF-8 text raises an error that says what it is."""

import re
from pathlib import Path

from .image_io import is_regular

SAVE_AS_UTF8 = "save the file as UTF-8 (in a spreadsheet: 'CSV UTF-8')"
FILE_TYPES = {
    b"PK\x03\x04": "a spreadsheet or another ZIP file",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "a gzip file",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


def read_text(file: Path) -> str:
    """Read a UTF-8 file, with or without a byte order mark; an error names the line."""
    if not is_regular(file):
        raise ValueError(f"{file}: is not a regular file")
    content = file.read_bytes()
    for beginning, kind in FILE_TYPES.items():
        if content.startswith(beginning):
            raise ValueError(f"{file}: is {kind}, not UTF-8 text; {SAVE_AS_UTF8}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = f"byte {content[error.start]:#04x} is not UTF-8"
        raise ValueError(f"{file}, line {line}: {problem}; {SAVE_AS_UTF8}") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(
            f"{file}, line {line}: has zero bytes, as UTF-16 and damaged files have; {SAVE_AS_UTF8}"
        )
    return text


def read_lines(file: Path) -> list[str]:
    """Lines of a UTF-8 file, which end as in files, not at every separator of Unicode."""
    return re.split(r"\r\n|\n|\r", read_text(file))

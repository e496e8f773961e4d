"""CSV that spreadsheets show as it is: no text becomes a formula, and no cell a row of its own."""

import io

import pandas as pd

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def csv_text(table: pd.DataFrame, index: bool = False) -> str:
    """A table as CSV.

    Text that begins like a formula (=, +, -, @) gets an apostrophe, and in the column "path" a
    "./", which names the same file. Numbers stay as they are, also as text.

    Example:
        >>> csv_text(pd.DataFrame({"path": ["=a.png"], "label": ["=1+1"], "value": [-2.5]}))
        "path,label,value\\n./=a.png,'=1+1,-2.5\\n"
    """
    table = table.copy(deep=False)
    for name in table:
        if not pd.api.types.is_numeric_dtype(table[name]):
            mark = "./" if name == "path" else "'"
            cells = [csv_cell(value, mark) for value in table[name]]
            table[name] = pd.Series(cells, table.index, object)
    lines = CsvLines()
    table.to_csv(lines, index=index, lineterminator="\r\n")
    return lines.getvalue()


def csv_cell(value: object, mark: str = "'") -> object:
    """Put a mark before text that a spreadsheet would evaluate; other values are unchanged."""
    if not isinstance(value, str) or not value.startswith(FORMULA_STARTS):
        return value
    try:
        float(value)
    except ValueError:
        return mark + value
    return value


class CsvLines(io.StringIO):
    """Rows of a CSV writer with its default line terminator, separated by line feeds.

    With a line feed as its terminator, Python before 3.13 leaves a carriage return unquoted, and
    the rest of the cell becomes a row of its own.
    """

    def write(self, row: str) -> int:
        """Append a row."""
        return super().write(row.removesuffix("\r\n") + "\n")

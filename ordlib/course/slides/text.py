"""Shorten text, and estimate what fits on a slide of 1280 by 720 pixels."""

import re
from collections.abc import Iterable, Iterator
from html import unescape
from math import ceil

FORMULA = 170  # a formula counts as so many characters
# At 24 pixels: characters of a line; in pixels, the height of a line of a table, the space between
# its rows, and the height of the whole table.
LINE = 84
TABLE_LINE, TABLE_SPACE, MAX_HEIGHT = 31, 7, 500
MIN_COLUMN = 14  # characters of a column that is wrapped

_SENTENCE_END = re.compile(r"(?<=[.!?])(?P<closing>[\"*)\]]*)\s+(?=[\"*(\[`$]*[A-Z0-9])")


def split_sentences(text: str) -> list[str]:
    """Split text into sentences; what is in parentheses or emphasized is kept in one piece.

    Example:
        >>> split_sentences("It has 0.5 (a half. Or so.) of them. *Why?* See 3.")
        ['It has 0.5 (a half. Or so.) of them.', '*Why?*', 'See 3.']
    """
    sentences = [""]
    for part in _SENTENCE_END.sub(r"\g<closing>\n", " ".join(text.split())).split("\n"):
        last = sentences[-1]
        if last.count("(") > last.count(")") or last.count("**") % 2 or last.count("*") % 2:
            sentences[-1] += f" {part}"
        else:
            sentences.append(part)
    return sentences[1:]


def shorten(text: str, length: int, sentences: int = 2) -> str:
    """Return the first sentence of a text, and further ones up to a length and a number.

    Example:
        >>> shorten("One is short. Two is longer. Three.", 30)
        'One is short. Two is longer.'
    """
    first, *others = split_sentences(text)
    for other in others[: sentences - 1]:
        if len(first) + len(other) >= length:
            break
        first += f" {other}"
    return first


def pack(parts: Iterable[str], count: int, length: int) -> Iterator[list[str]]:
    """Group parts in order, each group with at most so many parts and so much text.

    Example:
        >>> list(pack(["one", "two", "three"], count=2, length=100))
        [['one', 'two'], ['three']]
    """
    group, used = [], 0
    for part in parts:
        size = _length(part)
        if group and (len(group) == count or used + size > length):
            yield group
            group, used = [], 0
        group.append(part)
        used += size
    if group:
        yield group


def _length(text: str) -> int:
    formulas = re.findall(r"\$\$.*?\$\$", text, re.S)
    return len(text) - sum(map(len, formulas)) + FORMULA * len(formulas)


def is_small(rows: list[list[str]]) -> bool:
    """Whether a table of HTML or Markdown cells fits on a slide.

    Its widest column is wrapped; a browser may wrap others, too, so that each row of such a table
    counts as two lines at least.
    """
    if not any(rows):
        return False
    # Reversed, as a cell on the left may span rows.
    texts = [[_lines_of_cell(cell) for cell in reversed(row)] for row in rows]
    widths = [0] * max(map(len, texts))
    for row in texts:
        for column, lines in enumerate(row):
            widths[column] = max(widths[column], *(len(line) + 3 for line in lines))
    widest, excess = widths.index(max(widths)), sum(widths) - LINE
    if excess > 0:
        widths[widest] -= excess
        if widths[widest] < MIN_COLUMN:
            return False
    num_lines = [
        max(sum(ceil(len(line) / widths[column]) for line in lines) for column, lines in row)
        for row in map(enumerate, texts)
    ]
    least = 2 if excess > 0 else 1
    return sum(TABLE_LINE * max(n, least) + TABLE_SPACE for n in num_lines) <= MAX_HEIGHT


def _lines_of_cell(cell: str) -> list[str]:
    lines = cell.split("<br>")
    return [unescape(re.sub(r"<[^>]+>|[*`$]", "", line)).strip() for line in lines]


def cells_of(html: str) -> list[list[str]]:
    """Return the cells of each row of an HTML table, with their markup."""
    rows = re.findall(r"<tr.*?</tr>", html, re.S)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in rows]

"""One HTML page with a sortable table of images; needs no network."""

import base64
import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

import pandas as pd
from PIL import Image
from tqdm.auto import tqdm

from ..data.image_io import load_image
from ..utils.cache import atomic_write
from ..utils.validation import escape_nonprintable
from .files import FileTable, is_ood

ROWS_MARKER = "<!-- rows -->"
THUMBNAIL_SIZE = 128  # pixels of the longer edge


def write_page(
    files_table: FileTable,
    path: str | os.PathLike,
    *,
    title: str,
    columns: Mapping[str, str],
    images: str = "",
) -> Path:
    """Write a page with one row per image; a click on a column's header sorts by it.

    The only script is the sorting; the page's security policy refuses any other.

    Args:
        files_table: its table has the columns and ``path``.
        path: output file.
        title: heading.
        columns: headers of the columns to show, by name.
        images: HTML shown above the table.
    """
    template = files("ordlib.inference").joinpath("page.html").read_text(encoding="utf-8")
    script = template.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    head, tail = template.split(ROWS_MARKER)
    warnings = files_table.warnings
    context = {
        "title": escape_text(title),
        "subtitle": escape_text(files_table.title),
        "policy": f"script-src 'sha256-{digest}'",
        "headers": "".join(_header(files_table.table[n], text) for n, text in columns.items()),
        "warnings": "\n".join(f'<p class="note">{escape_text(w)}</p>' for w in warnings),
        "images": images,
        "skipped": skipped_list(files_table.skipped),
    }
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as page:
        page.write(Template(head).safe_substitute(context))
        page.writelines(_rows(files_table.table, columns, files_table.bit_depth))
        page.write(Template(tail).safe_substitute(context))
    return Path(path)


def skipped_list(skipped: Mapping[str, str]) -> str:
    """Folded HTML list of skipped files; empty if there are none."""
    if not skipped:
        return ""
    items = [f"<li><b>{escape_text(p)}</b> {escape_text(r)}</li>\n" for p, r in skipped.items()]
    heading = f"<summary>Skipped: {len(skipped):,}</summary>"
    return f"<details>{heading}<ul>\n{''.join(items)}</ul></details>"


def thumbnail(path: str, alt: str, size: int, bit_depth: int | None) -> str:
    """An ``img`` with the image as a data URI, or a message if it cannot be read."""
    try:
        image = load_image(Path(path), size, bit_depth)
    except OSError:
        return "<p>cannot be read any more</p>"
    image.thumbnail((size, size), Image.Resampling.LANCZOS)
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=88, subsampling=0)
    uri = "data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()).decode("ascii")
    return f'<img src="{uri}" alt="{escape_text(alt)}" decoding="async">'


def escape_text(text: str) -> str:
    """Escape any text for HTML, on one line."""
    return escape(escape_nonprintable(text))


def _rows(table: pd.DataFrame, columns: Mapping[str, str], bit_depth: int | None) -> Iterator[str]:
    rows = table.itertuples()
    for row in tqdm(rows, "writing the page", len(table), leave=False, delay=2, unit="image"):
        image = thumbnail(row.path, os.path.basename(row.path), THUMBNAIL_SIZE, bit_depth)
        cells = "".join(_cell(name, getattr(row, name)) for name in columns)
        ood = ' class="ood"' if is_ood(row) else ""
        yield f"<tr{ood}><td>{image}</td>{cells}</tr>\n"


def _header(column: pd.Series, text: str) -> str:
    kind = ' class="number"' if pd.api.types.is_numeric_dtype(column) else ""
    return f"<th{kind}><button>{escape_text(text)}</button></th>"


def _cell(name: str, value: object) -> str:
    if name == "path":
        short = escape_text(os.path.basename(value))
        return f'<td data-key="{escape_text(value)}" title="{escape_text(value)}">{short}</td>'
    if isinstance(value, str):
        return f'<td data-key="{escape_text(value)}">{escape_text(value)}</td>'
    if pd.isna(value):
        return '<td class="number" data-key=""></td>'
    text = f"{value:.2f}".replace("-", "\u2212")
    return f'<td class="number" data-key="{value!r}">{text}</td>'

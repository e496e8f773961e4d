"""Export a ranking as a standalone HTML gallery."""

import base64
import io
import os
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from PIL import Image
from tqdm.auto import tqdm

from ..data.image_io import load_image
from ..utils.cache import atomic_write
from .result import Ranking, escape_nonprintable, is_ood

THUMBNAIL_SIZE = 256  # pixels of the longer edge
IMAGES_MARKER = "<!-- images -->"


def write_gallery(ranking: Ranking, path: str | os.PathLike) -> Path:
    """Write a ranking as one HTML page without scripts, links or other files; return its path.

    Images are embedded as JPEG thumbnails of about 10 kB, one at a time in memory.
    """
    template = files("ordlib.inference").joinpath("gallery.html").read_text(encoding="utf-8")
    head, tail = (Template(part) for part in template.split(IMAGES_MARKER))
    context = _template_context(ranking)
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as page:
        page.write(head.substitute(context))
        page.writelines(_items(ranking))
        page.write(tail.substitute(context))
    return Path(path)


def _template_context(ranking: Ranking) -> dict[str, str]:
    """Values of the template's placeholders, escaped."""
    scores, total = ranking.table["score"], ranking.total
    # The OOD warning stands out; the others follow in one paragraph.
    ood = ranking.warnings[: bool(ranking.num_ood)]
    others = " ".join(ranking.warnings[len(ood) :])
    warnings = [f'<p class="note warn">{_escape(warning)}</p>' for warning in ood]
    warnings += [f'<p class="note">{_escape(others)}</p>'] if others else []
    images = "images" if total > 1 else "image"
    return {
        "prompt": _escape(ranking.prompt),
        "count": f"{len(ranking):,}",
        "of": images if len(ranking) == total else f"of {total:,} {images}",
        "first": _escape(ranking.first).capitalize(),
        "scores": _minus(f"{scores.min():.2f} to {scores.max():.2f}"),
        "model": _escape(ranking.model),
        "warnings": "\n".join(warnings),
        "skipped": _skipped(ranking),
    }


def _skipped(ranking: Ranking) -> str:
    if not ranking.skipped:
        return ""
    items = [f"<li><b>{_escape(p)}</b> {_escape(r)}</li>\n" for p, r in ranking.skipped.items()]
    heading = f"<summary>Skipped: {len(ranking.skipped):,}</summary>"
    return f"<details>{heading}<ul>\n{''.join(items)}</ul></details>"


def _items(ranking: Ranking) -> Iterator[str]:
    low, high = ranking.table["score"].min(), ranking.table["score"].max()
    rows = ranking.table.itertuples()
    for row in tqdm(rows, "writing the gallery", len(ranking), False, delay=2, unit="image"):
        fraction = (row.score - low) / (high - low) if high > low else 1.0
        badge = '<span class="ood">out of distribution</span>' if is_ood(row) else ""
        value = ranking.format_value(row)
        value += f" {ranking.unit}" if value and "label" not in ranking.table else ""
        score, name = _minus(f"{row.score:.2f}"), _escape(os.path.basename(row.path))
        yield (
            f'<li><div class="thumbnail">{_thumbnail(row, ranking.bit_depth)}{badge}</div>'
            f'<div class="text"><div class="top"><span class="rank">{row.rank}</span>'
            f'<span class="value">{_escape(value) or score}</span></div>'
            f'<div class="bar"><i style="width:{100 * fraction:.1f}%"></i></div>'
            f'<span class="name" title="{_escape(row.path)}">{name}'
            f"{f' &middot; {score}' if value else ''}</span></div></li>\n"
        )


def _thumbnail(row: object, bit_depth: int | None) -> str:
    """An ``img`` with the image as a data URI, or a message if it cannot be read."""
    try:
        image = load_image(Path(row.path), THUMBNAIL_SIZE, bit_depth)
    except OSError:
        return "<p>cannot be read any more</p>"
    image.thumbnail((THUMBNAIL_SIZE, THUMBNAIL_SIZE), Image.Resampling.LANCZOS)
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=88, subsampling=0)
    uri = "data:image/jpeg;base64," + base64.b64encode(jpeg.getvalue()).decode("ascii")
    name = _escape(os.path.basename(row.path))
    return f'<img src="{uri}" alt="Rank {row.rank}: {name}" decoding="async">'


def _minus(number: str) -> str:
    return number.replace("-", "\u2212")


def _escape(text: str) -> str:
    """Escape any text for HTML, on one line."""
    return escape(escape_nonprintable(text))

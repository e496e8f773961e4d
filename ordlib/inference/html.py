"""Export a ranking as a standalone HTML gallery."""

import os
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from string import Template

from tqdm.auto import tqdm

from ..utils.cache import atomic_write
from .files import is_ood
from .page import escape_text, skipped_list, thumbnail
from .result import Ranking

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
    warnings = [f'<p class="note warn">{escape_text(warning)}</p>' for warning in ood]
    warnings += [f'<p class="note">{escape_text(others)}</p>'] if others else []
    images = "images" if total > 1 else "image"
    return {
        "prompt": escape_text(ranking.prompt),
        "count": f"{len(ranking):,}",
        "of": images if len(ranking) == total else f"of {total:,} {images}",
        "first": escape_text(ranking.first).capitalize(),
        "scores": _minus(f"{scores.min():.2f} to {scores.max():.2f}"),
        "model": escape_text(ranking.model),
        "warnings": "\n".join(warnings),
        "skipped": skipped_list(ranking.skipped),
    }


def _items(ranking: Ranking) -> Iterator[str]:
    low, high = ranking.table["score"].min(), ranking.table["score"].max()
    rows = ranking.table.itertuples()
    for row in tqdm(rows, "writing the gallery", len(ranking), False, delay=2, unit="image"):
        fraction = (row.score - low) / (high - low) if high > low else 1.0
        badge = '<span class="ood">out of distribution</span>' if is_ood(row) else ""
        value = ranking.format_value(row)
        value += f" {ranking.unit}" if value and "label" not in ranking.table else ""
        alt = f"Rank {row.rank}: {os.path.basename(row.path)}"
        image = thumbnail(row.path, alt, THUMBNAIL_SIZE, ranking.bit_depth)
        score, name = _minus(f"{row.score:.2f}"), escape_text(os.path.basename(row.path))
        yield (
            f'<li><div class="thumbnail">{image}{badge}</div>'
            f'<div class="text"><div class="top"><span class="rank">{row.rank}</span>'
            f'<span class="value">{escape_text(value) or score}</span></div>'
            f'<div class="bar"><i style="width:{100 * fraction:.1f}%"></i></div>'
            f'<span class="name" title="{escape_text(row.path)}">{name}'
            f"{f' &middot; {score}' if value else ''}</span></div></li>\n"
        )


def _minus(number: str) -> str:
    return number.replace("-", "\u2212")

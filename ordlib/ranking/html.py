"""A ranking as one page to look at: the pictures themselves, in order."""

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
from .result import Ranking, escape_nonprintable, is_strange

SIDE = 256  # pixels of the longer side of a thumbnail
PICTURES = "<!-- pictures -->"


def write_gallery(ranking: Ranking, path: str | os.PathLike, side: int = SIDE) -> Path:
    """Write a ranking as a page that needs no other file, no network and no scripts.

    The pictures are shrunk, and go to the page one by one: memory holds one of them. A picture
    takes about 10 kB.

    Args:
        ranking: what to show; :meth:`~ordlib.ranking.Ranking.top` takes the first of it.
        path: of the page, which is returned; its folder is made if missing.
        side: pixels of the longer side of a thumbnail; smaller pictures stay as they are.
    """
    template = files("ordlib.ranking").joinpath("gallery.html").read_text(encoding="utf-8")
    head, tail = (Template(part) for part in template.split(PICTURES))
    words = _words(ranking)
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as page:
        page.write(head.substitute(words))
        for item in _items(ranking, side):
            page.write(item)
        page.write(tail.substitute(words))
    return Path(path)


def _words(ranking: Ranking) -> dict[str, str]:
    """What the template asks for, ready for HTML."""
    scores = ranking.table["score"]
    whole = len(ranking) == ranking.total
    # What casts doubt on the order stands by itself.
    loud = ranking.notes[: bool(ranking.num_ood)]
    quiet = " ".join(ranking.notes[len(loud) :])
    notes = [f'<p class="note warn">{_safe(note)}</p>' for note in loud]
    notes += [f'<p class="note">{_safe(quiet)}</p>'] if quiet else []
    return {
        "prompt": _safe(ranking.prompt),
        "count": f"{len(ranking):,}",
        "of": ("" if whole else f"of {ranking.total:,} ") + f"picture{'s'[: ranking.total > 1]}",
        "first": _safe(ranking.first).capitalize(),
        "scores": f"{scores.min():.2f} to {scores.max():.2f}".replace("-", "\u2212"),
        "component": _safe(ranking.model),
        "notes": "\n".join(notes),
        "skipped": _skipped(ranking),
    }


def _skipped(ranking: Ranking) -> str:
    if not ranking.skipped:
        return ""
    items = "\n".join(
        f"<li><b>{_safe(path)}</b> {_safe(reason)}</li>" for path, reason in ranking.skipped.items()
    )
    heading = f"<summary>Skipped: {len(ranking.skipped):,}</summary>"
    return f"<details>{heading}<ul>\n{items}\n</ul></details>"


def _items(ranking: Ranking, side: int) -> Iterator[str]:
    """The entry of every picture; only one is in memory."""
    low, high = ranking.table["score"].min(), ranking.table["score"].max()
    rows = ranking.table.itertuples()
    for row in tqdm(rows, "writing the gallery", len(ranking), False, delay=2, unit="picture"):
        share = (row.score - low) / (high - low) if high > low else 1.0
        odd = '<span class="odd">unlike training</span>' if is_strange(row) else ""
        said = ranking.format_value(row)
        said += f" {ranking.unit}" if said and "label" not in ranking.table else ""
        score = f"{row.score:.2f}".replace("-", "\u2212")
        yield (
            f'<li><div class="shot">{_picture(row, side)}{odd}</div><div class="text">'
            f'<div class="top"><span class="rank">{row.rank}</span>'
            f'<span class="means">{_safe(said) or score}</span></div>'
            f'<div class="bar"><i style="width:{100 * share:.1f}%"></i></div>'
            f'<span class="name" title="{_safe(row.path)}">{_safe(os.path.basename(row.path))}'
            f"{f' &middot; {score}' if said else ''}</span></div></li>\n"
        )


def _picture(row: object, side: int) -> str:
    """A picture as an ``img`` that carries it, or words if it is gone by now."""
    try:
        picture = load_image(Path(row.path))
    except OSError:
        return "<p>cannot be read any more</p>"
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    small = io.BytesIO()
    picture.save(small, "JPEG", quality=88, subsampling=0, optimize=True)
    shown = "data:image/jpeg;base64," + base64.b64encode(small.getvalue()).decode("ascii")
    name = _safe(os.path.basename(row.path))
    return f'<img src="{shown}" alt="Rank {row.rank}: {name}" decoding="async">'


def _safe(text: str) -> str:
    """Text that HTML shows as it is, on one line, whatever it holds."""
    return escape(escape_nonprintable(text))

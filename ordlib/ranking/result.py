"""Pictures in order, and all that is to be said of that order."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from html import escape

import pandas as pd

from ..utils.cache import atomic_write

# Of as many strange pictures among all the order itself is in doubt, and not just their places.
MAX_OOD_FRACTION = 0.1


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Ranking:
    """Pictures in the order of a sentence, and what is known of that order.

    Attributes:
        prompt: the sentence.
        table: a row a picture, first to last: ``rank`` from 1, ``path``, ``score`` in standard
            deviations of the training labels, ``value`` on the task's number line (only if the
            sentence is one that was trained), ``label`` (the nearest rank's name, if ranks have
            names), and ``ood_score``, above 1 for what is unlike the training pictures (only
            if the component can tell).
        is_descending: whether the highest score comes first, else the lowest.
        total: pictures that were ordered; the table may have the first of them only.
        num_ood: how many of all are unlike the training pictures; None if nobody can tell.
        skipped: what is wrong with the others, by path.
        ignored: files of the folder that are no pictures.
        task: the one that the sentence asks for, or None.
        unit: of ``value``.
        model: name of what gave the scores.
        training_data: what it has learned from, in words.
    """

    prompt: str
    table: pd.DataFrame
    is_descending: bool
    total: int
    num_ood: int | None
    skipped: Mapping[str, str]
    ignored: int
    task: str | None
    unit: str | None
    model: str
    training_data: str

    def __len__(self) -> int:
        """Number of pictures in the table."""
        return len(self.table)

    def __repr__(self) -> str:
        table = self._rounded().to_string(index=False, max_rows=20)
        return "\n".join([self.title, table, *self.notes])

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{escape(note)}</p>\n" for note in self.notes)
        table = self._rounded().to_html(index=False, max_rows=20)
        return f"<p>{escape(self.title)}</p>\n{table}\n{notes}"

    def _rounded(self) -> pd.DataFrame:
        return self.table.assign(
            path=[escape_nonprintable(path) for path in self.table["path"]]
        ).round(3)

    @property
    def title(self) -> str:
        """The sentence, how many pictures, and which end is first."""
        count = f"{len(self):,} of {self.total:,}" if len(self) < self.total else f"{self.total:,}"
        plural = "s" if self.total > 1 else ""
        return f'"{escape_nonprintable(self.prompt)}": {count} picture{plural}, {self.first} first'

    @property
    def first(self) -> str:
        """Which end is first: "highest score" or "lowest score"."""
        return "highest score" if self.is_descending else "lowest score"

    @property
    def is_unreliable(self) -> bool:
        """Whether so many pictures are strange that the order is not to be trusted."""
        return bool(self.num_ood) and self.num_ood >= MAX_OOD_FRACTION * self.total

    @property
    def notes(self) -> list[str]:
        """What a reader must know before trusting the order, a sentence or two each."""
        notes = []
        if self.num_ood:
            is_, its = ("is", "its place") if self.num_ood == 1 else ("are", "their places")
            notes.append(
                f"{self.num_ood:,} of {self.total:,} pictures {is_} unlike those that "
                f"{self.model} was trained on: do not trust "
                f"{'this order' if self.is_unreliable else its}. It learned from {self.training_data}"
            )
        if self.task is None:
            notes.append(
                f"The sentence is none of those that {self.model} has learned, so its scores "
                "have no number line."
            )
        if self.skipped:
            what = "file was" if len(self.skipped) == 1 else "files were"
            notes.append(f"{len(self.skipped):,} {what} skipped.")
        if self.ignored:
            what = "file is no picture" if self.ignored == 1 else "files are no pictures"
            notes.append(f"{self.ignored:,} other {what}, by the ending of the name.")
        return notes

    def format_value(self, row: object) -> str:
        """What a row of the table stands for on the task's number line; empty if unknown."""
        if self.task is None:
            return ""
        return getattr(row, "label", None) or f"{row.value:.1f}"

    def top(self, count: int) -> "Ranking":
        """The same ranking with the first rows of its table only."""
        return replace(self, table=self.table.head(count))

    def to_csv(self, path: str | os.PathLike | None = None) -> str:
        """The table as CSV, written to a file, too, if one is named; its folder is made.

        Bytes of a name that are no UTF-8 are written as ``\\udcff``.
        """
        return _written(self.table.to_csv(index=False, lineterminator="\n"), path)

    def to_json(self, path: str | os.PathLike | None = None) -> str:
        """The attributes as JSON, the table's rows as ``pictures``; written as by `to_csv`."""
        content = {name: value for name, value in vars(self).items() if name != "table"}
        content["skipped"] = dict(self.skipped)
        content["images"] = self.table.to_dict("records")
        return _written(json.dumps(content, indent=1) + "\n", path)


def escape_nonprintable(name: str) -> str:
    """Any name on one line, with escapes for what a terminal would obey or cannot print.

    Example:
        >>> print(escape_nonprintable("two\\nlines"), escape_nonprintable("café \\udcff"))
        two\\nlines café \\udcff
    """
    signs = (c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in name)
    return "".join(signs)


def is_strange(row: object) -> bool:
    """Whether a row of the table is unlike the training pictures, as far as is known."""
    return getattr(row, "ood_score", 0) > 1


def _written(text: str, path: str | os.PathLike | None) -> str:
    if path is not None:
        with atomic_write(path) as temporary:
            temporary.write_bytes(text.encode("utf-8", "backslashreplace"))
    return text

"""The Ranking result: table, warnings, CSV and JSON export."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from html import escape

import pandas as pd

from ..utils.cache import atomic_write

# From this fraction of OOD images on, the whole order is unreliable, not only their ranks.
MAX_OOD_FRACTION = 0.1


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Ranking:
    """Images ranked by a prompt.

    Attributes:
        prompt: the prompt.
        table: one row per image, first to last: ``rank`` from 1, ``path``, ``score`` in standard
            deviations of the training labels; if the prompt matches a task, ``value`` in its unit
            and, if its ranks have names, ``label``; with an OOD detector ``ood_score``, above 1
            for out-of-distribution images.
        is_descending: whether the highest score comes first.
        total: number of ranked images, also if the table has only the first.
        num_ood: number of out-of-distribution images, or None without an OOD detector.
        skipped: reason by path of the files that cannot be read.
        ignored: number of files without an image file extension.
        task: the task whose training prompts the prompt matches, or None.
        unit: unit of ``value``.
        model: name of the adapter.
        training_data: description of its training data.
        bit_depth: of images with more than 8 bits, or None.
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
    bit_depth: int | None = None

    def __len__(self) -> int:
        """Number of images in the table."""
        return len(self.table)

    def __repr__(self) -> str:
        table = self._rounded().to_string(index=False, max_rows=20)
        return "\n".join([self.title, table, *self.warnings])

    def _repr_html_(self) -> str:
        warnings = "".join(f"<p>{escape(warning)}</p>\n" for warning in self.warnings)
        table = self._rounded().to_html(index=False, max_rows=20)
        return f"<p>{escape(self.title)}</p>\n{table}\n{warnings}"

    def _rounded(self) -> pd.DataFrame:
        paths = [escape_nonprintable(path) for path in self.table["path"]]
        return self.table.assign(path=paths).round(3)

    @property
    def title(self) -> str:
        """Prompt, number of images, and which end is first."""
        count = f"{len(self):,} of {self.total:,}" if len(self) < self.total else f"{self.total:,}"
        images = "images" if self.total > 1 else "image"
        return f'"{escape_nonprintable(self.prompt)}": {count} {images}, {self.first} first'

    @property
    def first(self) -> str:
        """Which end is first: "highest score" or "lowest score"."""
        return "highest score" if self.is_descending else "lowest score"

    @property
    def warnings(self) -> list[str]:
        """Limits of the ranking, one or two sentences each."""
        warnings = []
        if self.num_ood:
            is_unreliable = self.num_ood >= MAX_OOD_FRACTION * self.total
            warnings.append(
                f"{self.num_ood:,} of {self.total:,} images {'is' if self.num_ood == 1 else 'are'} "
                f"unlike the training data of {self.model}: do not trust "
                f"{'this order' if is_unreliable else 'their ranks'}. "
                f"Training data: {self.training_data}."
            )
        if self.task is None:
            warnings.append(
                f"The prompt matches no training prompt of {self.model}, so there are scores but "
                "no values."
            )
        if self.ignored:
            warnings.append(f"{_files_were(self.ignored)} ignored: no image file extension.")
        if self.skipped:
            warnings.append(f"{_files_were(len(self.skipped))} skipped.")
        return warnings

    def format_value(self, row: object) -> str:
        """Label or value of a row of the table; empty without a task."""
        if self.task is None:
            return ""
        return getattr(row, "label", None) or f"{row.value:.1f}"

    def top(self, count: int) -> "Ranking":
        """Return the ranking with the first ``count`` rows of its table."""
        return replace(self, table=self.table.head(count))

    def to_csv(self, path: str | os.PathLike | None = None) -> str:
        """Return the table as CSV, and write it to ``path`` if given."""
        return _write(self.table.to_csv(index=False, lineterminator="\n"), path)

    def to_json(self, path: str | os.PathLike | None = None) -> str:
        """Return the attributes as JSON, with the table's rows as ``images``, as in `to_csv`."""
        content = {name: value for name, value in vars(self).items() if name != "table"}
        content |= {"skipped": dict(self.skipped), "images": self.table.to_dict("records")}
        return _write(json.dumps(content, indent=1) + "\n", path)


def escape_nonprintable(text: str) -> str:
    """Escape control and other non-printable characters, for terminals.

    Example:
        >>> print(escape_nonprintable("two\\nlines"), escape_nonprintable("café \\udcff"))
        two\\nlines café \\udcff
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def is_ood(row: object) -> bool:
    """Whether a row of the table is out-of-distribution; False without an OOD detector."""
    return getattr(row, "ood_score", 0) > 1


def _files_were(count: int) -> str:
    return f"{count:,} file was" if count == 1 else f"{count:,} files were"


def _write(text: str, path: str | os.PathLike | None) -> str:
    if path is not None:
        # Bytes of a name that are not UTF-8 are written as \udcff.
        with atomic_write(path) as temporary:
            temporary.write_bytes(text.encode("utf-8", "backslashreplace"))
    return text

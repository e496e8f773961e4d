"""The result of rank()."""

from dataclasses import dataclass, replace

from ..utils.validation import check_count, escape_nonprintable
from .files import FileTable

# From this fraction of OOD images on, the whole order is unreliable, not only their ranks.
MAX_OOD_FRACTION = 0.1


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Ranking(FileTable):
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
    is_descending: bool
    total: int
    num_ood: int | None
    task: str | None
    unit: str | None
    model: str
    training_data: str

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
        return warnings + super().warnings

    def format_value(self, row: object) -> str:
        """Label or value of a row of the table; empty without a task."""
        if self.task is None:
            return ""
        return getattr(row, "label", None) or f"{row.value:.1f}"

    def top(self, count: int) -> "Ranking":
        """Return the ranking with the first ``count`` rows of its table, at least one."""
        check_count("count", count)
        return replace(self, table=self.table.head(count))

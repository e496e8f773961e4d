"""OrdinalTask: ranks, rank names, prompt templates, coarse bins, decoding."""

import operator
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from ..metrics.ordinal_checks import as_floats
from ..metrics.prediction import Prediction, validate_probabilities
from ..utils.reading import errors_name
from ..utils.validation import check_path
from . import templates, validation
from .toml import read_toml, write_toml

Decode = Literal["expectation", "argmax"]


@dataclass(frozen=True, kw_only=True, repr=False)
class OrdinalTask:
    """Definition of an ordinal task; validated on construction.

    Required are ``name``, ``unit`` and ``values``. Ranks may be unevenly spaced and need not all
    occur in the training data. Labels may lie between ranks (mean opinion scores); then accuracy
    and kappa use the nearest rank, and MAE uses the real values. Introduced in notebook 00.

    Attributes:
        name: short name, as in ``load_task(name)``.
        unit: unit of the rank values, in the plural: "objects", "years".
        values: M >= 2 ranks in increasing order: numbers or names.
        positions: rank values of named ranks; default 0, 1, ..., M - 1.
        rank_names: name of each rank in prompts; default: the values as text.
        templates: prompt templates with ``{rank}`` and optional placeholders.
        placeholders: options of each further placeholder; the first is the default.
        bin_edges: lower edges of the coarse bins in rank values; the first is at most the lowest
            rank value. Default: one bin per rank with edges halfway between ranks, so that
            ``bin_index`` equals ``rank_index``.
        bin_phrases: one common-language phrase per bin, which replaces ``{rank}``.
        bin_templates: prompt templates of the bins; default: ``templates``.
        upper_edge: upper edge of the last bin; default: the highest rank value.
        decode: from probabilities to a value: "expectation" over rank values, or "argmax".
        augmentations: names of the augmentations of ``TrainingConfig`` that preserve the labels:
            "flip", "crop_scale", "random_crop", "jitter"; any other is then an error. None allows
            all.

    Raises:
        ValueError: names the field, its value, the problem and the remedy.

    Example:
        >>> task = OrdinalTask(
        ...     name="ripeness", unit="days", values=("green", "yellow", "brown"),
        ...     positions=(0, 2, 7), templates=("a photo of a {rank} {fruit}",),
        ...     placeholders={"fruit": ("banana", "pear")},
        ... )
        >>> task
        OrdinalTask('ripeness': 3 ranks from green to brown, 3 bins, unit days)
        >>> task.prompts(fruit="pear")
        ['a photo of a green pear', 'a photo of a yellow pear', 'a photo of a brown pear']
        >>> task.placeholder_combinations()
        [{'fruit': 'banana'}, {'fruit': 'pear'}]
        >>> task.parse_label("Yellow"), task.rank_index([0.9, 1, 9]), task.bin_edges
        (2.0, array([0, 1, 2]), (0, 1.0, 4.5))
        >>> prediction = task.decode_probabilities([[0.5, 0.4, 0.1]])
        >>> prediction.value, prediction.label
        (array([1.5]), array([2.]))
        >>> OrdinalTask(name="stars", unit="stars", values=(1, 3, 2))
        Traceback (most recent call last):
        ValueError: OrdinalTask 'stars': values = (1, 3, 2): 2 follows 3; list them from ...
    """

    name: str
    unit: str
    values: tuple[float, ...] | tuple[str, ...]
    positions: tuple[float, ...] | None = None
    rank_names: tuple[str, ...] | None = None
    templates: tuple[str, ...] = ("{rank}",)
    placeholders: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    bin_edges: tuple[float, ...] | None = None
    bin_phrases: tuple[str, ...] | None = None
    bin_templates: tuple[str, ...] | None = None
    upper_edge: float | None = None
    decode: Decode = "expectation"
    augmentations: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name, value in validation.validate(vars(self)).items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return (
            f"OrdinalTask({self.name!r}: {self.num_ranks} ranks from {self.rank_label(0)} to "
            f"{self.rank_label(-1)}, {self.num_bins} bins, unit {self.unit})"
        )

    @property
    def num_ranks(self) -> int:
        """Number of ranks, M."""
        return len(self.values)

    @property
    def num_bins(self) -> int:
        """Number of coarse bins, d."""
        return len(self.bin_edges)

    @property
    def rank_values(self) -> np.ndarray:
        """``(M,)`` float64 value of each rank in the task's unit."""
        return np.array(self.values if self.positions is None else self.positions, np.float64)

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest rank value, the limits of labels."""
        return float(self.rank_values[0]), float(self.rank_values[-1])

    def rank_index(self, values: ArrayLike) -> np.ndarray:
        """Index of the nearest rank, int64, for values of any shape.

        Values are clipped to the range; halfway between ranks, the higher rank is nearest.
        """
        rank_values = self.rank_values
        midpoints = (rank_values[:-1] + rank_values[1:]) / 2
        return np.searchsorted(midpoints, _as_array(values), side="right")

    def bin_index(self, values: ArrayLike) -> np.ndarray:
        """Index of the coarse bin, int64, for values of any shape.

        Values are clipped to the range; a value on an edge belongs to the upper bin.
        """
        return np.searchsorted(np.array(self.bin_edges[1:]), _as_array(values), side="right")

    def bin_midpoints(self) -> np.ndarray:
        """``(d,)`` float64 midpoint of each bin; the rank value where a bin has a single rank."""
        edges = np.array([*self.bin_edges, self.upper_edge], np.float64)
        midpoints = (edges[:-1] + edges[1:]) / 2
        bins = self.bin_index(self.rank_values)
        single = np.bincount(bins, minlength=self.num_bins) == 1
        midpoints[single] = self.rank_values[single[bins]]
        return midpoints

    @classmethod
    def from_toml(cls, path: str | os.PathLike) -> Self:
        """Read a task from a TOML file with its fields.

        Raises:
            ValueError: the file cannot be read, or a field is unknown, missing or invalid.

        Example:
            >>> import tempfile
            >>> path = tempfile.mkdtemp() + "/toast.toml"
            >>> task = OrdinalTask(name="toast", unit="minutes", values=("pale", "burnt"))
            >>> task.to_toml(path)
            >>> OrdinalTask.from_toml(path) == task
            True
        """
        check_path("path", path)
        content = read_toml(Path(path), [field.name for field in fields(cls)])
        with errors_name(Path(path)):
            return cls(**content)

    def to_toml(self, path: str | os.PathLike) -> None:
        """Write the fields that are not None to a TOML file."""
        write_toml(asdict(self), Path(path))

    def prompts(self, template: int = 0, **placeholders: str) -> list[str]:
        """One prompt per rank, in rank order.

        Args:
            template: index into ``templates``.
            **placeholders: text of placeholders, not limited to their options; default: the
                first option. Placeholders that the template lacks are ignored.

        Raises:
            ValueError: the task has no such template or placeholder.
        """
        return self._format("templates", template, self.rank_names, placeholders)

    def bin_prompts(self, template: int = 0, **placeholders: str) -> list[str]:
        """One prompt per coarse bin: as `prompts`, from ``bin_templates`` and ``bin_phrases``."""
        return self._format("bin_templates", template, self.bin_phrases, placeholders)

    def _format(self, field: str, template: int, names: tuple, chosen: Mapping) -> list[str]:
        text = templates.get_template(getattr(self, field), template, field, self.name)
        return templates.format_prompts(text, names, self.placeholders, chosen, self.name)

    def placeholder_combinations(self, template: int = 0) -> list[dict[str, str]]:
        """Keyword arguments of `prompts` for every combination of a template's placeholder options.

        ``[{}]`` if the template has no placeholders but ``{rank}``. For prompt ensembling.
        """
        text = templates.get_template(self.templates, template, "templates", self.name)
        return templates.placeholder_combinations(text, self.placeholders)

    def parse_label(
        self, label: object, where: str = "", *, first_label: int | None = None
    ) -> float:
        """Parse a label to a value in the task's unit.

        Args:
            label: number (or its text), value or rank name, case-insensitive. For named ranks, a
                number must equal a name as a number, or a position other than the default ones.
            where: file and row for error messages: ``"labels.csv, row 12"``.
            first_label: of named ranks, the number that stands for the lowest one; the labels
                count up from there.

        Raises:
            ValueError: the label is missing, unknown or out of range.

        Example:
            >>> grades = OrdinalTask(name="grades", unit="grades", values=("bad", "fair", "good"))
            >>> grades.parse_label("good"), grades.parse_label(3, first_label=1)
            (2.0, 2.0)
        """
        named = self.positions is not None
        try:
            return validation.parse_label(
                label, self._values_by_name, self.name, named, first_label
            )
        except ValueError as error:
            raise ValueError(f"{where}: {error}" if where else str(error)) from None

    @property
    def label_names(self) -> tuple[str, ...]:
        """Texts that `parse_label` accepts besides numbers, case-folded."""
        return tuple(self._values_by_name)

    def rank_label(self, rank: int) -> str:
        """Value of a rank as text, by rank index: for axes and tables."""
        try:
            return validation.as_text(self.values[operator.index(rank)])
        except IndexError:
            problem = f"task {self.name!r} has ranks 0 to {self.num_ranks - 1}"
            raise IndexError(f"rank = {rank}: {problem}") from None

    def decode_probabilities(
        self, probabilities: ArrayLike, decode: Decode | None = None
    ) -> Prediction:
        """Decode probabilities over ranks to predictions. Derived in notebook 01.

        Args:
            probabilities: ``(N, M)``; row sums of 1 within 0.01 (half precision) are normalized.
            decode: "expectation" or "argmax"; None uses the task's own.

        Returns:
            Predictions with N values, the nearest rank value of each as label, and probabilities.

        Raises:
            ValueError: wrong shape, negative or non-finite probabilities, row sums other than 1,
                or unknown ``decode``.
        """
        decode = validation.validate_decode(self.decode if decode is None else decode)
        probabilities = validate_probabilities(probabilities, self.num_ranks)  # (N, M)
        rank_values = self.rank_values  # (M,)
        if decode == "argmax":
            value = rank_values[probabilities.argmax(axis=1)]
        else:
            value = probabilities @ rank_values  # (N,)
        return Prediction(value, rank_values[self.rank_index(value)], probabilities)

    def decode_values(self, values: ArrayLike) -> Prediction:
        """Predictions from ``(N,)`` regression values; labels are the nearest rank values.

        Values are not clipped to the range; ``probabilities`` is None.

        Raises:
            ValueError: a value is not finite.
        """
        values = as_floats("values", values)
        return Prediction(values, self.rank_values[self.rank_index(values)])

    @cached_property
    def _values_by_name(self) -> dict[str, float]:
        return validation.rank_values_by_name(self.values, self.rank_names, self.rank_values)


def _as_array(values: ArrayLike) -> np.ndarray:
    values = as_floats("values", values)
    if np.isnan(values).any():
        row = np.argwhere(np.isnan(values))[0].tolist()
        raise ValueError(f"value {row} is NaN and has no nearest rank")
    return values

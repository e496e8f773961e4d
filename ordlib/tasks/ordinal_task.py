"""What an ordinal task is: its ranks, the words for them, its coarse bins, how answers are read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ..metrics.prediction import Prediction, validate_probabilities
from . import templates, validation

Decode = Literal["expectation", "argmax"]


@dataclass(frozen=True, kw_only=True, repr=False)
class OrdinalTask:
    """An ordinal task: all that is stated once about it. A wrong definition fails right here.

    Only ``name``, ``unit`` and ``values`` are needed: words default to the values, bins to one
    for each rank. Ranks may be unevenly spaced and need not all occur in the training data.
    Labels may lie between ranks (opinion scores): then the ranks are a grid, accuracy, kappa and
    "same label" use the nearest rank, and the mean absolute error uses the real values.

    Attributes:
        name: short name, as in ``load_task(name)``.
        unit: what one step on the number line is, in the plural: "objects", "years".
        values: the ranks in order, M >= 2 of them: numbers, or names.
        positions: where named ranks stand on the number line; by default 0, 1, ..., M - 1.
            Numbers stand where they are.
        rank_names: the word or phrase of each rank, for prompts; by default the values as text.
        templates: prompts, each with ``{rank}`` and perhaps placeholders.
        placeholders: for each further placeholder the words it may take, the first being its default.
        bin_edges: lower edges of the coarse bins on the number line. The first may lie below
            the lowest rank, not above. By default each rank is a bin, with its edges halfway
            to its neighbours, so that ``bin_index`` and ``rank_index`` agree.
        bin_phrases: one phrase in common language for each bin.
        bin_templates: prompts with ``{rank}`` for the phrase; by default the templates.
        upper_edge: upper edge of the last bin; by default the highest rank.
        decode: how probabilities become a value: "expectation" over ranks, or "argmax".

    Raises:
        ValueError: names the field, its value, what is wrong and what to do.

    Example:
        >>> task = OrdinalTask(
        ...     name="ripeness", unit="steps", values=("green", "yellow", "brown"),
        ...     templates=("a photo of a {rank} {fruit}",), placeholders={"fruit": ("banana", "pear")},
        ... )
        >>> task
        OrdinalTask('ripeness': 3 ranks from green to brown, 3 bins, unit steps)
        >>> task.prompts(fruit="pear")
        ['a photo of a green pear', 'a photo of a yellow pear', 'a photo of a brown pear']
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
        """``(M,)`` float64: where the ranks stand on the number line."""
        return np.array(self.values if self.positions is None else self.positions, np.float64)

    @property
    def range(self) -> tuple[float, float]:
        """Levels of the lowest and the highest rank; labels lie between them."""
        return float(self.rank_values[0]), float(self.rank_values[-1])

    def rank_index(self, values: ArrayLike) -> np.ndarray:
        """Indices of the nearest ranks, int64, of values of any shape on the number line.

        Beyond the ends counts as the end; halfway goes to the higher rank.

        Raises:
            ValueError: a value is NaN.

        Example:
            >>> from ordlib.tasks import load_task
            >>> load_task("quality").rank_index([1.2, 2.5, 4.9, 7.0])
            array([0, 2, 4, 4])
        """
        rank_values = self.rank_values
        return np.searchsorted(
            (rank_values[:-1] + rank_values[1:]) / 2, _numbers(values), side="right"
        )

    def bin_index(self, values: ArrayLike) -> np.ndarray:
        """Indices of the coarse bins, int64, of values of any shape on the number line.

        Beyond the ends counts as the end; a value on an edge belongs to the bin above it.

        Raises:
            ValueError: a value is NaN.

        Example:
            >>> from ordlib.tasks import load_task
            >>> load_task("ageing").bin_index([4, 13, 34.9, 65, 90])
            array([0, 1, 2, 4, 4])
        """
        return np.searchsorted(np.array(self.bin_edges[1:]), _numbers(values), side="right")

    def bin_midpoints(self) -> np.ndarray:
        """``(d,)`` float64, one point on the number line for each bin.

        The middle between its lower edge and the next, ``upper_edge`` closing the last; a bin that
        holds a single rank stands on that rank.

        Example:
            >>> from ordlib.tasks import load_task
            >>> load_task("ageing").bin_midpoints()
            array([ 6.5, 16. , 27. , 50. , 77.5])
        """
        edges = np.array([*self.bin_edges, self.upper_edge], np.float64)
        middles = (edges[:-1] + edges[1:]) / 2
        bins = self.bin_index(self.rank_values)
        single = np.bincount(bins, minlength=self.num_bins) == 1
        middles[single] = self.rank_values[single[bins]]
        return middles

    def prompts(self, template: int = 0, **placeholders: str) -> list[str]:
        """One prompt for each rank, in their order.

        Args:
            template: index into ``templates``.
            placeholders: word for a placeholder, any word at all; those left out take the first of
                their words, and those that this template does not use change nothing.

        Raises:
            ValueError: the task has no such template or placeholder.

        Example:
            >>> from ordlib.tasks import load_task
            >>> load_task("counting").prompts(object="cats")[:3]
            ['a photo of one cats', 'a photo of two cats', 'a photo of three cats']
        """
        text = templates.get_template(self.templates, template, "templates", self.name)
        return templates.format_prompts(
            text, self.rank_names, self.placeholders, placeholders, self.name
        )

    def bin_prompts(self, template: int = 0, **placeholders: str) -> list[str]:
        """One prompt for each coarse bin, in their order: as `prompts`, of ``bin_templates``.

        Example:
            >>> from ordlib.tasks import load_task
            >>> load_task("counting").bin_prompts(object="cats")[1:3]
            ['a photo of a few cats', 'a photo of several cats']
        """
        text = templates.get_template(self.bin_templates, template, "bin_templates", self.name)
        return templates.format_prompts(
            text, self.bin_phrases, self.placeholders, placeholders, self.name
        )

    def placeholder_combinations(self, template: int = 0) -> list[dict[str, str]]:
        """Every way to fill a template, to average over names or to measure their spread.

        Keyword arguments for `prompts` and `bin_prompts`, one dict for each combination of the
        words of those placeholders that the template uses; ``[{}]`` if it uses none.

        Example:
            >>> from ordlib.tasks import load_task
            >>> task = load_task("counting")
            >>> prompts = [task.prompts(**filling) for filling in task.placeholder_combinations()]
            >>> len(prompts) == len(task.placeholders["object"])
            True
        """
        text = templates.get_template(self.templates, template, "templates", self.name)
        return templates.placeholder_combinations(text, self.placeholders)

    def parse_label(self, label: object, where: str = "") -> float:
        """Level on the number line of a label from a file.

        Args:
            label: a number or its text, a rank's name or a rank's word; case does not matter.
                For named ranks a number is a position and must belong to a rank.
            where: file and row, for the message: ``"labels.csv, row 12"``.

        Raises:
            ValueError: missing, unknown or out of range.

        Example:
            >>> from ordlib.tasks import load_task
            >>> task = load_task("counting")
            >>> task.parse_label("7"), task.parse_label(7.0), task.parse_label("Seven")
            (7.0, 7.0, 7.0)
            >>> task.parse_label(21, where="labels.csv, row 12")
            Traceback (most recent call last):
            ValueError: labels.csv, row 12: label 21 is outside the ranks; task 'counting' ...
        """
        try:
            return validation.parse_label(label, self._known, self.name, self.positions is not None)
        except ValueError as error:
            raise ValueError(f"{where}: {error}" if where else str(error)) from None

    def rank_label(self, rank: int) -> str:
        """A rank's name, or its number as text, by its index: for axes and tables."""
        return validation.as_text(self.values[rank])

    def decode_probabilities(
        self, probabilities: ArrayLike, decode: Decode | None = None
    ) -> Prediction:
        """Predictions from probabilities over ranks; labels are the ranks nearest to the values.

        Args:
            probabilities: ``(N, M)``, rows summing to 1 to within 0.01 (half precision will
                do); they are made to sum to 1 exactly.
            decode: "expectation" or "argmax"; None takes the task's own.

        Raises:
            ValueError: another shape, a negative or undefined number, a row that does not sum
                to 1, or an unknown decode.

        Example:
            >>> from ordlib.tasks import load_task
            >>> task = load_task("dating")
            >>> prediction = task.decode_probabilities([[0.0, 0.5, 0.2, 0.2, 0.1]])
            >>> prediction.value, prediction.label
            (array([1.9]), array([2.]))
            >>> task.decode_probabilities([[0.0, 0.5, 0.2, 0.2, 0.1]], decode="argmax").value
            array([1.])
        """
        decode = validation.validate_decode(self.decode if decode is None else decode)
        probabilities = validate_probabilities(probabilities, self.num_ranks)
        rank_values = self.rank_values
        if decode == "argmax":
            value = rank_values[probabilities.argmax(axis=1)]
        else:
            value = probabilities @ rank_values
        return Prediction(value, rank_values[self.rank_index(value)], probabilities)

    def decode_values(self, values: ArrayLike) -> Prediction:
        """Predictions from values ``(N,)``, say of a regressor; labels are the nearest ranks.

        Values may lie beyond the ends and stay so; there are no probabilities.

        Raises:
            ValueError: a value is not finite.

        Example:
            >>> from ordlib.tasks import load_task
            >>> load_task("counting").decode_values([2.6, 31.0]).label
            array([ 3., 20.])
        """
        return Prediction(values, self.rank_values[self.rank_index(values)])

    @cached_property
    def _known(self) -> dict[str, float]:
        return validation.levels_by_text(self.values, self.rank_names, self.rank_values)


def _numbers(values: ArrayLike) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if np.isnan(values).any():
        row = np.argwhere(np.isnan(values))[0].tolist()
        raise ValueError(f"value {row} is NaN, which is nearest to no rank")
    return values

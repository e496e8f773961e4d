"""Captions in the style of alt text, to pretrain pico-clip.

Templates and their probabilities are in ``captions.toml``. Captions name objects, colours, scenes
and people, and half of those of counting have a vague quantity ("a few"), sometimes the wrong one.
No true count, age, decade or score occurs, except for the fraction ``count_caption_fraction`` of
the counting captions. In dating and quality each bin phrase (eras, bad to excellent) names one
rank, so it is off by one in a third of its captions.
"""

import tomllib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path

import numpy as np
import pandas as pd

from .grammar import Grammar, mend_articles

# Random numbers for each of a caption's three parts (body, true count, aside): more than any
# template needs. Always drawn in full, so that parts and captions are independent.
DRAWS = 16
CHUNK = 4096


def caption(
    task: str,
    record: dict[str, str | float],
    value: float,
    rng: np.random.Generator,
    count_caption_fraction: float = 0.0,
    distractor_number_fraction: float | None = None,
) -> str:
    """Generate the caption of one sample.

    Args:
        task: "counting", "dating", "ageing" or "quality".
        record: what was drawn; the words in it are used.
        value: the sample's label.
        rng: draws the same amount whatever the caption.
        count_caption_fraction: share, 0 to 1, of counting captions that state the true count.
        distractor_number_fraction: share, 0 to 1, of captions with a numeral about something else;
            None takes that of the table.

    Returns:
        One line of text.

    Raises:
        ValueError: unknown task, label out of range, share outside 0 to 1, or a template that
            needs a field which the record lacks.

    Example:
        >>> record = {"scene": "a cat", "distortion": "blurry"}
        >>> caption("quality", record, 1.7, np.random.default_rng(3))
        '...'
    """
    _check(
        [task], np.array([value], dtype=float), count_caption_fraction, distractor_number_fraction
    )
    return _task_captions(task).generate(
        record,
        value,
        rng.random((3, DRAWS)).tolist(),
        count_caption_fraction,
        distractor_number_fraction,
    )


def captions(
    records: pd.DataFrame,
    values: Sequence[float],
    tasks: str | Sequence[str],
    count_caption_fraction: float = 0.0,
    seed: int = 0,
    distractor_number_fraction: float | None = None,
) -> list[str]:
    """Generate the captions of many samples, tens of thousands per second.

    The captions of two values of ``count_caption_fraction`` are equal except where the larger one
    replaces a caption by a true count; what the smaller one replaces, the larger one replaces
    equally. Likewise ``distractor_number_fraction`` only adds or removes asides.

    Args:
        records: one row per sample.
        values: ``(N,)`` labels on the tasks' number lines.
        tasks: the task of all rows, or one for each row.
        count_caption_fraction, distractor_number_fraction: as in :func:`caption`.
        seed: random seed; another seed gives the same samples other captions.

    Returns:
        ``N`` captions. The first ones do not depend on how many follow.

    Raises:
        ValueError: as in :func:`caption`, naming the row; or lengths that differ.

    Example:
        >>> records = pd.DataFrame({"scene": ["a cat", "a cat"], "distortion": ["blurry", "sharp"]})
        >>> len(captions(records, [1.5, 4.8], "quality"))
        2
    """
    count = len(records)
    tasks = [tasks] * count if isinstance(tasks, str) else list(tasks)
    values = np.asarray(values, dtype=float)
    if not count == len(values) == len(tasks):
        raise ValueError(
            f"records, values, tasks: lengths {count}, {len(values)} and {len(tasks)} differ"
        )
    _check(tasks, values, count_caption_fraction, distractor_number_fraction)
    generators = {task: _task_captions(task) for task in set(tasks)}
    fields = sorted(set().union(*(generator.fields for generator in generators.values())))
    rows = records.reindex(columns=fields).itertuples(index=False, name=None)
    texts = []
    for task, words, value, draws in zip(
        tasks, rows, values.tolist(), _draws(seed, count), strict=True
    ):
        record = dict(zip(fields, words, strict=True))
        try:
            texts.append(
                generators[task].generate(
                    record, value, draws, count_caption_fraction, distractor_number_fraction
                )
            )
        except ValueError as error:
            raise ValueError(f"row {len(texts)} of records: {error}") from None
    return texts


@cache
def table() -> dict:
    """Return the parsed ``captions.toml``: templates, words and probabilities.

    Returns:
        The parsed table, shared by all callers: do not modify.

    Example:
        >>> table()["counting"]["shares"]
        {'plain': 0.5, 'loose': 0.5}
    """
    return tomllib.loads(Path(__file__).with_name("captions.toml").read_text("utf-8"))


class _TaskCaptions:
    """Caption templates of one task."""

    def __init__(self, task: str) -> None:
        entries, common = table()[task], table()["all"]
        grammar = Grammar(common["slots"] | entries["slots"])
        templates = {kind: grammar.one_of(t) for kind, t in entries["templates"].items()}
        self._kinds = [templates[kind] for kind in entries["shares"]]
        self._limits = list(accumulate(entries["shares"].values()))[:-1]
        self._true = templates.get("true")
        self._aside = grammar.one_of(common["asides"])
        self._distractor_number_fraction = common["distractor_number_fraction"]
        self.fields = grammar.fields - {"caption"}

    def generate(
        self,
        record: dict,
        value: float,
        draws: list,
        count_caption_fraction: float,
        distractor_number_fraction: float | None,
    ) -> str:
        body, truth, aside = (iter(numbers).__next__ for numbers in draws)
        if truth() < count_caption_fraction and self._true:
            text = self._true(record, value, truth)
        else:
            text = self._kinds[bisect_right(self._limits, body())](record, value, body)
        if distractor_number_fraction is None:
            distractor_number_fraction = self._distractor_number_fraction
        if aside() < distractor_number_fraction:
            text = self._aside({"caption": text}, value, aside)
        return mend_articles(text)


@cache
def _task_captions(task: str) -> _TaskCaptions:
    return _TaskCaptions(task)


def _draws(seed: int, count: int) -> Iterator[list]:
    rng = np.random.default_rng(seed)
    for start in range(0, count, CHUNK):
        yield from rng.random((min(CHUNK, count - start), 3, DRAWS)).tolist()


def _check(
    tasks: list[str],
    values: np.ndarray,
    count_caption_fraction: float,
    distractor_number_fraction: float | None,
) -> None:
    """Raise ``ValueError`` for an unknown task, or a fraction or label out of range."""
    known = [name for name in table() if name != "all"]
    if unknown := sorted(set(tasks) - set(known)):
        raise ValueError(f"task = {unknown[0]!r}: has no captions; choose from {', '.join(known)}")
    for name, fraction in (
        ("count_caption_fraction", count_caption_fraction),
        ("distractor_number_fraction", distractor_number_fraction),
    ):
        if fraction is not None and not 0 <= fraction <= 1:
            raise ValueError(f"{name} = {fraction}: must be between 0 and 1")
    low, high = np.array([table()[task]["range"] for task in tasks], dtype=float).reshape(-1, 2).T
    wrong = ~((low <= values) & (values <= high))
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"values[{row}] = {values[row]}: must be between {low[row]:g} and {high[row]:g}, "
            f"the labels of {tasks[row]}"
        )

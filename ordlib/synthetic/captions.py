"""Captions in the manner of alt text, for the pictures that pico-clip is pretrained on.

What they say stands in ``captions.toml``; this module picks the kind of caption and asks the
table's grammar to say it. The captions are loose on purpose: they name objects, colours, scenes
and people, and half of those of counted objects hold a vague quantity ("a few"), sometimes the
wrong one. No true count, age, decade or score is stated, unless the *count_caption_fraction* asks for true counts.
In dating and quality the loose words (eras, bad to excellent) stand for one rank each, so they
are off by one a third of the time.
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
# template needs. Always drawn in full, so that no part and no caption disturbs another.
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
    """Write the caption of one picture.

    Args:
        task: "counting", "dating", "ageing" or "quality".
        record: what was drawn; the words in it are used.
        value: the picture's label on the task's number line.
        rng: draws the same amount whatever the caption.
        count_caption_fraction: share, 0 to 1, of counting captions that state the true count.
        distractor_number_fraction: share of captions with a numeral about something else; None takes the table's.

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
    return _family(task).say(
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
    """Write the captions of many pictures, tens of thousands a second.

    The captions of two doses agree except where the larger one replaces a caption by a true
    count; what a smaller count_caption_fraction replaces, a larger one replaces by the same words. Likewise another
    rate of ``distractor_number_fraction`` numerals adds or takes away asides and changes nothing else.

    Args:
        records: a row for each picture.
        values: ``(N,)`` labels on the tasks' number lines.
        tasks: the task of all rows, or one for each row.
        count_caption_fraction, distractor_number_fraction: as in :func:`caption`.
        seed: another seed says the same pictures in other words.

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
            f"{count} records, {len(values)} values and {len(tasks)} tasks: not one each"
        )
    _check(tasks, values, count_caption_fraction, distractor_number_fraction)
    families = {task: _family(task) for task in set(tasks)}
    fields = sorted(set().union(*(family.fields for family in families.values())))
    rows = records.reindex(columns=fields).itertuples(index=False, name=None)
    said = []
    for task, words, value, draws in zip(
        tasks, rows, values.tolist(), _draws(seed, count), strict=True
    ):
        record = dict(zip(fields, words, strict=True))
        try:
            said.append(
                families[task].say(
                    record, value, draws, count_caption_fraction, distractor_number_fraction
                )
            )
        except ValueError as error:
            raise ValueError(f"row {len(said)} of records: {error}") from None
    return said


@cache
def table() -> dict:
    """Return the table of templates, words and rates, as it stands in ``captions.toml``.

    Returns:
        The parsed table, shared by all callers: look, do not change.

    Example:
        >>> table()["counting"]["shares"]
        {'plain': 0.5, 'loose': 0.5}
    """
    return tomllib.loads(Path(__file__).with_name("captions.toml").read_text("utf-8"))


class _Family:
    """What can be said of one task's pictures."""

    def __init__(self, task: str) -> None:
        family, common = table()[task], table()["all"]
        grammar = Grammar(common["slots"] | family["slots"])
        templates = {kind: grammar.one_of(t) for kind, t in family["templates"].items()}
        self._kinds = [templates[kind] for kind in family["shares"]]
        self._limits = list(accumulate(family["shares"].values()))[:-1]
        self._true = templates.get("true")
        self._aside = grammar.one_of(common["asides"])
        self._spurious = common["distractor_number_fraction"]
        self.fields = grammar.fields - {"caption"}

    def say(
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
        if aside() < (
            self._spurious if distractor_number_fraction is None else distractor_number_fraction
        ):
            text = self._aside({"caption": text}, value, aside)
        return mend_articles(text)


@cache
def _family(task: str) -> _Family:
    return _Family(task)


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
    """Raise ``ValueError`` for what no caption can be written for, before any is."""
    known = [name for name in table() if name != "all"]
    if unknown := sorted(set(tasks) - set(known)):
        raise ValueError(f"no captions for the task {unknown[0]!r}; there are {', '.join(known)}")
    for name, share in (
        ("count_caption_fraction", count_caption_fraction),
        ("distractor_number_fraction", distractor_number_fraction),
    ):
        if share is not None and not 0 <= share <= 1:
            raise ValueError(f"{name} {share} is a share of captions: 0 to 1")
    low, high = np.array([table()[task]["range"] for task in tasks], dtype=float).reshape(-1, 2).T
    wrong = ~((low <= values) & (values <= high))
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"value {values[row]} in row {row} is outside {low[row]:g} to {high[row]:g}, "
            f"the labels of {tasks[row]}"
        )

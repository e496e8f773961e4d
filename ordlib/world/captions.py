"""Captions in the manner of alt text, for the pictures that pico-clip is pretrained on.

What they say stands in ``captions.toml``; this module only fills the templates in. Such captions
are loose on purpose: they name objects, colours, scenes and people, and half of those of counted
objects hold a vague quantity ("a few"), sometimes the wrong one. No true count, age, decade or
score is stated, unless the *dose* asks for true counts. In dating and quality the loose words
(eras, bad to excellent) stand for one rank each, so they are off by one a third of the time.
"""

import re
import tomllib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path

import numpy as np
import pandas as pd

from .vocabulary import number_words, with_article

# How a piece of caption is said: from a record, the label, and a source of numbers in [0, 1).
Draw = Callable[[], float]
Say = Callable[[dict, float, Draw], str]

# Numbers drawn for each of a caption's three parts; no template needs as many.
DRAWS = 16
CHUNK = 4096
SLOT = re.compile(r"\{(\w+)\}")
A_BEFORE_VOWEL = re.compile(r"\ba (?=[aeiou])(\w+)")


def caption(
    task: str,
    record: dict[str, str | float],
    value: float,
    rng: np.random.Generator,
    dose: float = 0.0,
    spurious: float | None = None,
) -> str:
    """Write the caption of one picture.

    Args:
        task: "counting", "dating", "ageing" or "quality".
        record: what was drawn; the words in it are used.
        value: the picture's label on the task's number line.
        rng: always draws the same amount, so that the next caption is the same at every dose.
        dose: share, 0 to 1, of counting captions that state the true count.
        spurious: share of captions with a numeral about something else; None takes the table's.

    Returns:
        One line of text.

    Raises:
        ValueError: unknown task, label out of range, share outside 0 to 1, or a field that a
            template needs and the record lacks.

    Example:
        >>> record = {"scene": "a cat", "distortion": "blurry"}
        >>> caption("quality", record, 1.7, np.random.default_rng(1))
        '...'
    """
    _check([task], np.array([value], dtype=float), dose, spurious)
    draws = rng.random((3, DRAWS)).tolist()
    return _grammar(task).say(dict(record), value, draws, dose, spurious)


def captions(
    records: pd.DataFrame,
    values: Sequence[float],
    tasks: str | Sequence[str],
    dose: float = 0.0,
    seed: int = 0,
    spurious: float | None = None,
) -> list[str]:
    """Write the captions of many pictures.

    Captions of two doses agree except where the larger dose replaces one by a true count, and
    what a smaller dose replaces, a larger one replaces by the same words.

    Args:
        records: a row for each picture.
        values: ``(N,)`` labels on the tasks' number lines.
        tasks: the task of all rows, or one for each row.
        dose, spurious: as in :func:`caption`.
        seed: other seeds, other captions of the same pictures.

    Returns:
        ``N`` captions. The first ones do not depend on how many follow.

    Raises:
        ValueError: as in :func:`caption`, naming the row; or lengths that differ.

    Example:
        >>> records = pd.DataFrame({"scene": ["a cat", "a cat"], "distortion": ["blurry", "sharp"]})
        >>> len(captions(records, [1.5, 4.8], "quality"))
        2
    """
    tasks = [tasks] * len(records) if isinstance(tasks, str) else list(tasks)
    values = np.asarray(values, dtype=float)
    if not len(records) == len(values) == len(tasks):
        raise ValueError(f"{len(records)} records, {len(values)} values, {len(tasks)} tasks")
    _check(tasks, values, dose, spurious)
    grammars = {task: _grammar(task) for task in set(tasks)}
    used = sorted(set().union(*(grammar.fields for grammar in grammars.values())) & set(records))
    rows = zip(*(records[name].tolist() for name in used), strict=True)
    rng, labels, said = np.random.default_rng(seed), values.tolist(), []
    for row, (task, words) in enumerate(zip(tasks, rows, strict=True)):
        if row % CHUNK == 0:
            draws = rng.random((CHUNK, 3, DRAWS)).tolist()
        record = dict(zip(used, words, strict=True))
        try:
            said.append(grammars[task].say(record, labels[row], draws[row % CHUNK], dose, spurious))
        except ValueError as error:
            raise ValueError(f"row {row} of records: {error}") from None
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


class _Grammar:
    """The templates of one task, compiled to functions that fill them in."""

    def __init__(self, task: str) -> None:
        words = table()
        family = words[task]
        self.task = task
        self.fields: set[str] = set()
        self._slots = words["slots"] | family["slots"]
        self._rate = words["spurious"]
        self._kinds = [self._any(family["templates"][kind]) for kind in family["shares"]]
        self._limits = list(accumulate(family["shares"].values()))[:-1]
        self._true = self._any(family["templates"].get("true"))
        self._aside = self._any(self._slots["spurious"])

    def say(
        self, record: dict, value: float, draws: list, dose: float, spurious: float | None
    ) -> str:
        """Fill in one caption; body, replacement and aside each draw from numbers of their own."""
        body, truth, aside = (iter(numbers).__next__ for numbers in draws)
        if self._true and truth() < dose:
            text = self._true(record, value, truth)
        else:
            text = self._kinds[bisect_right(self._limits, body())](record, value, body)
        if aside() < (self._rate if spurious is None else spurious):
            text = self._aside(record | {"caption": text}, value, aside)
        return A_BEFORE_VOWEL.sub(lambda match: with_article(match[1]), text)

    def _any(self, texts: list[str] | None) -> Say | None:
        """Say one of the texts."""
        if not texts:
            return None
        says, count = [self._text(text) for text in texts], len(texts)
        return lambda record, value, draw: says[int(draw() * count)](record, value, draw)

    def _text(self, template: str) -> Say:
        """Say a template with its slots filled in."""
        pieces = SLOT.split(template)
        if len(pieces) == 1:
            return lambda record, value, draw: template
        parts = [self._slot(p, template) if i % 2 else p for i, p in enumerate(pieces)]

        def say(record: dict, value: float, draw: Draw) -> str:
            return "".join(
                [part if type(part) is str else part(record, value, draw) for part in parts]
            )

        return say

    def _slot(self, name: str, template: str) -> Say:
        """Say what a name in braces stands for; each form of slot is told by a key of its own."""
        match self._slots.get(name):
            case None:
                return self._field(name, template)
            case list(texts):
                return self._any(texts)
            case {"edges": edges, "words": words, **rest}:
                return self._bin(edges, [self._any(texts) for texts in words], rest.get("noise", 0))
            case {"by": field, "words": words}:
                cases = {key: self._any(texts) for key, texts in words.items()}
                return self._case(self._field(field, template), cases)
            case {"from": low, "to": high, "digits": digits}:
                span = high - low + 1
                return lambda record, value, draw: _number(low + int(draw() * span), digits, draw)
            case {"count": True, "digits": digits}:
                return lambda record, value, draw: _number(round(value), digits, draw)
            case slot:
                raise ValueError(f"captions.toml: slot {name!r} of {self.task} is no form: {slot}")

    def _field(self, name: str, template: str) -> Say:
        """Say a word of the record."""
        self.fields.add(name)

        def say(record: dict, value: float, draw: Draw) -> str:
            word = record.get(name)
            if type(word) is not str:
                raise ValueError(
                    f"the {self.task} template {template!r} needs the text field {name!r}; "
                    f"the record has {word!r} there and the fields {', '.join(record)}"
                )
            return word

        return say

    @staticmethod
    def _bin(edges: list[float], says: list[Say], noise: float) -> Say:
        """Say the words of the label's bin, or by mistake those of a neighbour."""
        last = len(edges) - 1

        def say(record: dict, value: float, draw: Draw) -> str:
            at = bisect_right(edges, value) - 1
            if draw() < noise:
                at += 1 if at == 0 or (at < last and draw() < 0.5) else -1
            return says[at](record, value, draw)

        return say

    @staticmethod
    def _case(field: Say, cases: dict[str, Say]) -> Say:
        """Say what stands under a field's word, or under "*"."""

        def say(record: dict, value: float, draw: Draw) -> str:
            word = field(record, value, draw)
            return cases.get(word, cases["*"])(record, value, draw)

        return say


@cache
def _grammar(task: str) -> _Grammar:
    return _Grammar(task)


def _number(number: int, digits: float, draw: Draw) -> str:
    return str(number) if draw() < digits else number_words(number)


def _check(tasks: list[str], values: np.ndarray, dose: float, spurious: float | None) -> None:
    """Raise ``ValueError`` before any work is done for what the captions could not say."""
    known = [
        name for name, entry in table().items() if isinstance(entry, dict) and "shares" in entry
    ]
    if unknown := sorted(set(tasks) - set(known)):
        raise ValueError(f"no captions for the task {unknown[0]!r}; there are {', '.join(known)}")
    for name, share in (("dose", dose), ("spurious", spurious)):
        if share is not None and not 0 <= share <= 1:
            raise ValueError(f"{name} {share} is a share of captions: 0 to 1")
    low, high = np.array([table()[task]["range"] for task in tasks], dtype=float).reshape(-1, 2).T
    wrong = ~((low <= values) & (values <= high))
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"value {values[row]} in row {row} is outside {low[row]:g} to {high[row]:g}, "
            f"the range of {tasks[row]}"
        )

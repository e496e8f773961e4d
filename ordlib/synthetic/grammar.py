"""Caption grammar: templates with slots, compiled to functions.

A slot's name stands in braces, and its entry in the table says what it can be; the forms of
entries are listed at the top of ``captions.toml``. Compiled once, a caption takes microseconds.
"""

import re
from bisect import bisect_right
from collections.abc import Callable

from ..tasks.builtin import number_words
from .vocabulary import with_article

# A piece of text is said of a record and its label, with the help of numbers drawn from [0, 1).
Draw = Callable[[], float]
Say = Callable[[dict[str, str], float, Draw], str]

SLOT = re.compile(r"\{(\w+)\}")
A_BEFORE_VOWEL = re.compile(r"\ba (?=[aeiou])(\w+)")


def mend_articles(text: str) -> str:
    """Replace "a" by "an" before a vowel sound.

    Args:
        text: any text in lower case.

    Returns:
        The text with its articles right.

    Example:
        >>> mend_articles("a photo of a orange umbrella on a euro sign")
        'a photo of an orange umbrella on a euro sign'
    """
    return A_BEFORE_VOWEL.sub(lambda match: with_article(match[1]), text)


class Grammar:
    """Slots of the caption templates.

    Args:
        slots: name to entry; a name without an entry is a field of the record.

    Attributes:
        fields: the record's fields that the texts compiled so far may need.

    Example:
        >>> grammar = Grammar({"size": {"edges": [0, 10], "words": [["small"], ["large"]]}})
        >>> say = grammar.one_of(["a {size} {animal}"])
        >>> say({"animal": "cat"}, 12.0, lambda: 0.0)
        'a large cat'
    """

    def __init__(self, slots: dict) -> None:
        self.slots = slots
        self.fields: set[str] = set()

    def one_of(self, texts: list[str]) -> Say:
        """Compile templates to a function that fills one of them at random."""
        says, count = [self._text(text) for text in texts], len(texts)
        return lambda record, value, draw: says[int(draw() * count)](record, value, draw)

    def _text(self, template: str) -> Say:
        pieces = SLOT.split(template)
        if len(pieces) == 1:
            return lambda record, value, draw: template
        parts = [self._slot(p, template) if i % 2 else p for i, p in enumerate(pieces)]

        def say(record: dict[str, str], value: float, draw: Draw) -> str:
            return "".join([p if type(p) is str else p(record, value, draw) for p in parts])

        return say

    def _slot(self, name: str, template: str) -> Say:
        match self.slots.get(name):
            case None:
                return self._field(name, template)
            case list(texts):
                return self.one_of(texts)
            case {"edges": edges, "words": bins, **rest}:
                return _by_label(
                    edges, [self.one_of(texts) for texts in bins], rest.get("noise", 0)
                )
            case {"by": field, "words": cases}:
                cases = {word: self.one_of(texts) for word, texts in cases.items()}
                return _by_field(self._field(field, template), cases)
            case {"from": low, "to": high, "digits": digits}:
                span = high - low + 1
                return lambda record, value, draw: _number(low + int(draw() * span), digits, draw)
            case {"count": True, "digits": digits}:
                return lambda record, value, draw: _number(round(value), digits, draw)
            case entry:
                raise ValueError(
                    f"slot {name!r} of template {template!r} has no known form: {entry}"
                )

    def _field(self, name: str, template: str) -> Say:
        self.fields.add(name)

        def say(record: dict[str, str], value: float, draw: Draw) -> str:
            word = record.get(name)
            if type(word) is not str:
                raise ValueError(
                    f"template {template!r} needs the text field {name!r}; the record has {word!r}"
                )
            return word

        return say


def _by_label(edges: list[float], bins: list[Say], noise: float) -> Say:
    """Words of the label's bin, or with some probability those of a neighbouring bin."""
    last = len(bins) - 1

    def say(record: dict[str, str], value: float, draw: Draw) -> str:
        at = bisect_right(edges, value) - 1
        if draw() < noise:
            at += 1 if at == 0 or (at < last and draw() < 0.5) else -1
        return bins[at](record, value, draw)

    return say


def _by_field(field: Say, cases: dict[str, Say]) -> Say:
    """Words under the value of a record field, or under "*"."""
    other = cases["*"]
    return lambda record, value, draw: cases.get(field(record, value, draw), other)(
        record, value, draw
    )


def _number(number: int, digits: float, draw: Draw) -> str:
    return str(number) if draw() < digits else number_words(number)

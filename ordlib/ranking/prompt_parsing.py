"""What a sentence asks for: which end comes first, and whether its task is known."""

import re
import string
from collections.abc import Mapping, Sequence

FROM_TO = re.compile(r"\bfrom\s+(?:the\s+)?(\w+)\b.*?\bto\s+(?:the\s+)?(\w+)", re.I | re.S)
# First words of "from A to B" that name the high end of a number line.
HIGH = frozenset(
    {"best", "greatest", "high", "highest", "largest", "last", "latest", "many", "most", "newest"}
)
# What is old is the low end among photographs, and the high end among people.
FALLING = frozenset({("oldest", "youngest"), ("old", "young"), ("new", "old"), ("good", "bad")})


def highest_first(prompt: str) -> bool:
    """Say which end of an order a sentence wants first.

    Scores grow with the number line of the task: more things, newer photographs, older people,
    better quality. So the highest comes first, unless the sentence says "from A to B" and A is
    not a word for the high end.

    Args:
        prompt: the sentence.

    Returns:
        Whether the highest score comes first.

    Example:
        >>> highest_first("the number of stars"), highest_first("Rank from oldest to newest.")
        (True, False)
        >>> highest_first("Sort the photos from best to worst.")
        True
    """
    found = FROM_TO.search(prompt)
    if not found:
        return True
    first, last = (word.lower() for word in found.groups())
    return first in HIGH or (first, last) in FALLING


def asked_task(prompt: str, wordings: Mapping[str, Sequence[str]]) -> str | None:
    """Name the task that a sentence asks for, if it is one of the sentences that were trained.

    Args:
        prompt: the sentence; capitals, spaces and the full stop do not matter.
        wordings: by task, sentences; a placeholder in one stands for any words.

    Returns:
        The one task that knows the sentence, else None.

    Example:
        >>> wordings = {"counting": ["the number of {plural}"], "dating": ["the year"]}
        >>> asked_task("The number of red umbrellas.", wordings), asked_task("rust", wordings)
        ('counting', None)
    """
    plain = _plain(prompt)
    found = [
        task
        for task, sentences in wordings.items()
        if any(re.fullmatch(_pattern(sentence), plain, re.I) for sentence in sentences)
    ]
    return found[0] if len(found) == 1 else None


def _plain(sentence: str) -> str:
    return " ".join(sentence.split()).rstrip(".?! ")


def _pattern(sentence: str) -> str:
    parts = string.Formatter().parse(_plain(sentence))
    return "".join(re.escape(text) + (".+" if name is not None else "") for text, name, *_ in parts)

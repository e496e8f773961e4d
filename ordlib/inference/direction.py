"""Which end of the order a ranking prompt asks for first."""

import re
from collections.abc import Iterable, Sequence

from ..tasks import OrdinalTask

FROM_TO = re.compile(r"\bfrom\s+(?P<first>[^,;:.?!]+?)\s+to\s+(?P<last>[^,;:.?!]+)", re.I)
FIRST = re.compile(r"\b(?P<end>[\w-]+)(?:\s+\w+)?\s+first\b", re.I)
SUPERLATIVE = re.compile(r"\b(?:the\s+)?(?P<word>most\s+[\w-]+|[\w-]+est)\b", re.I)
# "rank the photos from ...": the numbers that follow are an order, and not the range of a property.
ORDER_VERB = re.compile(
    r"\b(?:rank|sort|order|arrange|list)\w*\s+(?:(?:the|all|these|my|them|images?|photo\w*)\s+)*$",
    re.I,
)
# Words for the high end of a task's values.
HIGH_END = re.compile(
    "best|better|biggest|bigger|greatest|greater|high|higher|highest|large|larger|largest|last|"
    "late|later|latest|longest|many|maximum|more|most|newer|newest|tallest|top"
)
LOW_END = re.compile("earliest|fewest|lowest|smallest|worst|youngest")
# "old" is the low end of photographs (year) and the high end of people (age).
DESCENDING_PAIRS = ("oldest", "youngest"), ("old", "young"), ("new", "old"), ("good", "bad")


def is_descending(prompt: str, tasks: Iterable[OrdinalTask] = ()) -> bool:
    """Whether a prompt asks for the highest score first.

    Scores increase with the values of a task: more objects, newer photographs, older people,
    better quality. In this order: "ascending" and "descending"; "fewest first"; "from A to B",
    which starts at A; the superlative of a low rank ("which is the freshest?"). Rank names of the
    tasks decide by their order, other words by whether they usually name a high end. Any other
    prompt is descending.

    Example:
        >>> is_descending("the number of stars"), is_descending("Rank from oldest to newest.")
        (True, False)
        >>> fruit = OrdinalTask(name="decay", unit="days", values=("fresh", "ripe", "rotten"))
        >>> is_descending("Rank from rotten to fresh.", [fruit])
        True
    """
    names = [_rank_names(task) for task in tasks]
    if direction := re.search(r"\b(ascending|descending)\b", prompt, re.I):
        return direction[1].lower() == "descending"
    if match := FIRST.search(prompt):
        end = match["end"].lower()
        ranks = _lookup(names, end)
        if ranks:
            return ranks[0] > ranks[1] / 2
        if HIGH_END.fullmatch(end) or LOW_END.fullmatch(end) or end == "oldest":
            return not LOW_END.fullmatch(end)
    if match := FROM_TO.search(prompt):
        decision = _from_to(prompt[: match.start()], match["first"], match["last"], names)
        if decision is not None:
            return decision
    for match in SUPERLATIVE.finditer(prompt):
        word = match["word"].lower()
        if LOW_END.fullmatch(word):
            return False
        if rank := _superlative_rank(names, word):
            return rank[0] >= rank[1] / 2
    return True


def _from_to(before: str, first: str, last: str, names: list[dict[str, int]]) -> bool | None:
    """Whether "from first to last" starts at the high end; None if it states no order."""
    first, last = (re.sub(r"^the\s+", "", text.strip().lower()) for text in (first, last))
    for ranks in names:
        a, b = _find(ranks, first), _find(ranks, last)
        has_words = re.search(r"[^\W\d]", first) and re.search(r"[^\W\d]", last)
        if a is not None and b is not None and a != b and (has_words or ORDER_VERB.search(before)):
            return a > b
    if first[0].isdigit() and last[0].isdigit():
        return None  # The range of a property: "taken from 1930 to 1970".
    first, last = (re.match(r"[\w-]*", text)[0] for text in (first, last))
    return bool(HIGH_END.fullmatch(first)) or (first, last) in DESCENDING_PAIRS


def _rank_names(task: OrdinalTask) -> dict[str, int]:
    """Index of each rank by name and by value, in lower case."""
    by_name = {name.lower(): i for i, name in enumerate(task.rank_names)}
    return by_name | {task.rank_label(i).lower(): i for i in range(task.num_ranks)}


def _find(ranks: dict[str, int], text: str) -> int | None:
    """Index of the longest rank name that starts a text; None if there is none."""
    found = [name for name in ranks if re.match(rf"{re.escape(name)}\b", text)]
    return ranks[max(found, key=len)] if found else None


def _lookup(names: Sequence[dict[str, int]], word: str) -> tuple[int, int] | None:
    """Index of a rank and of the highest rank, from the first task with that name."""
    return next(((r[word], max(r.values())) for r in names if word in r), None)


def _superlative_rank(names: Sequence[dict[str, int]], word: str) -> tuple[int, int] | None:
    """:func:`_lookup` of the adjective of a superlative: "freshest", "ripest", "most burnt"."""
    if word.startswith("most"):
        stems = [word.removeprefix("most").strip()]
    else:
        stem = word[:-3]
        stems = [stem, stem + "e", stem[:-1], re.sub("i$", "y", stem)]
    return next((rank for stem in stems if (rank := _lookup(names, stem))), None)

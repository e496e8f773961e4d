"""Tasks of public data sets, as data, and `load_task`, which makes any built-in task by name.

Marks in the comments: [code] read in a release, [data] fixed by the data set itself, [ours] our
choice, because the papers or releases do not say.
"""

from importlib import import_module
from types import MappingProxyType

from .ordinal_task import OrdinalTask

# Tasks whose images ordlib renders, and the module that defines them: imported when asked for.
RENDERED = dict.fromkeys(("counting", "dating", "ageing", "quality"), "ordlib.synthetic.tasks")

# NumCLIP's release: bins 0-12, 13-18, 19-34, 35-64, 65+, and their words [code].
AGE_BINS = {
    "bin_edges": (0, 13, 19, 35, 65),
    "bin_phrases": ("child", "teenager", "young adult", "middle adult", "older adult"),
    "bin_templates": ("age estimation: the person is a {rank}",),
}
# OrdinalCLIP's release starts from the first template [code]; the others are ours.
AGE_TEMPLATES = (
    "age estimation: the age of the person is {rank}",
    "a photo of a person, {rank} years old",
    "the person is {rank} years old",
)
DECADES = ("1930s", "1940s", "1950s", "1960s", "1970s")
# One bin for each label [code]; NumCLIP never released its words for them: these are ours, with
# no numeral in them.
ERAS = ("talkies era", "wartime years", "postwar years", "space age", "disco era")
QUANTITIES = ("hardly any", "a few", "several", "many", "a crowd of")
OPINIONS = ("bad", "poor", "fair", "good", "excellent")
OPINION_TEMPLATES = (
    "a photo of {rank} quality",
    "the quality of the photo is {rank}",
    "a {rank} photo",
)

_SMALL = [
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen"),
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def number_words(n: int) -> str:
    """A whole number from 0 to 999 in words, British style, without hyphens.

    Raises:
        ValueError: ``n`` is outside that range.

    Example:
        >>> number_words(7), number_words(21), number_words(120)
        ('seven', 'twenty one', 'one hundred and twenty')
    """
    if not 0 <= n <= 999:
        raise ValueError(f"number_words knows 0 to 999, not {n}")
    if n < 20:
        return _SMALL[n]
    if n < 100:
        tens, ones = divmod(n, 10)
        return _TENS[tens - 2] + (f" {_SMALL[ones]}" if ones else "")
    hundreds, rest = divmod(n, 100)
    return f"{_SMALL[hundreds]} hundred" + (f" and {number_words(rest)}" if rest else "")


def in_words(numbers: range) -> tuple[str, ...]:
    """Whole numbers in words."""
    return tuple(map(number_words, numbers))


# MORPH II: ages 16 to 77 are written into L2RCLIP's release [code] (OrdinalCLIP's has 101 ranks
# for the same pictures); the closing maximum is ours.
_MORPH = {
    "unit": "years",
    "values": tuple(range(16, 78)),
    "rank_names": in_words(range(16, 78)),
    "templates": AGE_TEMPLATES,
    "upper_edge": 77,
    **AGE_BINS,
}
# UTKFace: ages 0 to 116 occur [data]; a rank for each, and NumCLIP's age bins, are ours.
_UTKFACE = {
    "unit": "years",
    "values": tuple(range(117)),
    "rank_names": in_words(range(117)),
    "templates": AGE_TEMPLATES,
    "upper_edge": 116,
    **AGE_BINS,
}
# Adience: eight age groups [data], a step apart, as its published MAE counts them. The words,
# the bins (one for each group) and their phrases are ours.
_ADIENCE = {
    "unit": "age groups",
    "values": ("0-2", "4-6", "8-13", "15-20", "25-32", "38-43", "48-53", "60+"),
    "rank_names": (
        *("zero to two", "four to six", "eight to thirteen", "fifteen to twenty"),
        *("twenty five to thirty two", "thirty eight to forty three"),
        *("forty eight to fifty three", "over sixty"),
    ),
    "templates": ("a photo of a person, {rank} years old",),
    "bin_phrases": (
        *("baby", "small child", "child", "teenager"),
        *("young adult", "middle adult", "mature adult", "older adult"),
    ),
    "bin_templates": ("age estimation from facial image: the person is a {rank}",),  # [code]
}
# Historical Color Images: five decades [data]; the context is NumCLIP's [code].
_HCI = {
    "unit": "decades",
    "values": DECADES,
    "templates": ("a photo taken in the {rank}",),
    "bin_phrases": ERAS,
}
# Image aesthetics (Flickr): the five grades are the data set's own [data]; the context and one
# bin for each label are NumCLIP's [code]. Its concept words were never released.
_AESTHETICS = {
    "unit": "grades",
    "values": ("unacceptable", "flawed", "ordinary", "professional", "exceptional"),
    "templates": ("aesthetics assessment: the quality of the photo is {rank}",),
}
# KonIQ-10k: mean opinion scores on the five-grade scale bad to excellent [data]; ours: prompts.
_KONIQ = {
    "unit": "points",
    "values": (1, 2, 3, 4, 5),
    "rank_names": OPINIONS,
    "templates": OPINION_TEMPLATES,
}
# AVA: mean of votes from 1 to 10 [data]; words and prompts are ours.
_AVA = {
    "unit": "points",
    "values": tuple(range(1, 11)),
    "rank_names": in_words(range(1, 11)),
    "templates": ("a photo with an aesthetic score of {rank} out of ten",),
}
# Object counts, as the ranking-aware adapter sorts them ("Rank the numbers of horse.") [code]. A
# picture without the object holds none of it [code]; the highest count, words and bins are ours.
_OBJECT_COUNT = {
    "unit": "objects",
    "values": tuple(range(21)),
    "rank_names": in_words(range(21)),
    "templates": ("a photo of {rank} {object}",),
    "placeholders": {"object": ("objects", "people", "cars", "chairs", "books", "horses")},
    "bin_edges": (0, 1, 3, 6, 10, 14),
    "bin_phrases": ("no", *QUANTITIES),
    "upper_edge": 20,
}

DEFINITIONS = MappingProxyType(
    dict(morph=_MORPH, utkface=_UTKFACE, adience=_ADIENCE, hci=_HCI, aesthetics=_AESTHETICS)
    | dict(koniq=_KONIQ, ava=_AVA, object_count=_OBJECT_COUNT)
)


def load_task(name: str) -> OrdinalTask:
    """A built-in ordinal task by name: one of ordlib's own, or one of the papers'.

    Args:
        name: "counting", "dating", "ageing", "quality" (the rendered world), or "morph",
            "utkface", "adience", "hci", "aesthetics", "koniq", "ava", "object_count". What is
            published of the latter, and what is our choice, stands beside their definitions.

    Raises:
        ValueError: no task of that name; the message lists them.

    Example:
        >>> load_task("ageing")
        OrdinalTask('ageing': 90 ranks from 1 to 90, 5 bins, unit years)
    """
    if name in RENDERED:
        definitions = import_module(RENDERED[name]).DEFINITIONS
    elif name in DEFINITIONS:
        definitions = DEFINITIONS
    else:
        raise ValueError(
            f"no task named {name!r}; there are {', '.join([*RENDERED, *DEFINITIONS])}. "
            f"For ranks of your own, make an OrdinalTask(name=..., unit=..., values=...)"
        )
    return OrdinalTask(name=name, **definitions[name])

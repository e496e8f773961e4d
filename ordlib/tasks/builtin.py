"""The tasks that come with ordlib, as data, and `load_task`, which makes them by name.

The first four are the rendered world's, and all their words are ours, except where they repeat a
paper's. The others describe public data sets for those who have them. Marks in the comments:
[code] read in a release, [data] fixed by the data set itself, [ours] our choice, because the
papers or releases do not say.
"""

from types import MappingProxyType

from ..world.vocabulary import COLOURS, OBJECTS, number_words
from .ordinal_task import OrdinalTask

# NumCLIP's release: bins 0-12, 13-18, 19-34, 35-64, 65+, and their words [code].
_AGE_BINS = {
    "bin_edges": (0, 13, 19, 35, 65),
    "bin_phrases": ("child", "teenager", "young adult", "middle adult", "older adult"),
    "bin_templates": ("age estimation: the person is a {rank}",),
}
# OrdinalCLIP's release starts from the first template [code]; the others are ours.
_AGE_TEMPLATES = (
    "age estimation: the age of the person is {rank}",
    "a photo of a person, {rank} years old",
    "the person is {rank} years old",
)
_DECADES = ("1930s", "1940s", "1950s", "1960s", "1970s")
# One bin for each label [code]; NumCLIP never released its words for them: these are ours, with
# no numeral in them.
_ERAS = ("talkies era", "wartime years", "postwar years", "space age", "disco era")
_OPINIONS = ("bad", "poor", "fair", "good", "excellent")
_OPINION_TEMPLATES = (
    "a photo of {rank} quality",
    "the quality of the photo is {rank}",
    "a {rank} photo",
)


def _in_words(numbers: range) -> tuple[str, ...]:
    return tuple(map(number_words, numbers))


_COUNTING = {
    "unit": "objects",
    "values": tuple(range(1, 21)),
    "words": _in_words(range(1, 21)),
    # One noun form, the plural, for all counts: with "one star" against "stars", grammar alone
    # would get n = 1 right.
    "templates": (
        "a photo of {rank} {object}",
        "{rank} {object}",
        "a picture of {rank} {object}",
        "a photo of {rank} {colour} {object}",
    ),
    "fillers": {
        "object": tuple(noun.plural for noun in OBJECTS),
        "colour": tuple(COLOURS),
    },
    "bin_edges": (1, 3, 6, 10, 14),
    "bin_phrases": ("hardly any", "a few", "several", "many", "a crowd of"),
    "maximum": 20,
}
_DATING = {
    "unit": "decades",
    "values": _DECADES,
    "templates": ("a photo taken in the {rank}", "a photo from the {rank}", "the {rank}"),
    "bin_phrases": _ERAS,
}
_AGEING = {
    "unit": "years",
    "values": tuple(range(1, 91)),
    "words": _in_words(range(1, 91)),
    "templates": _AGE_TEMPLATES,
    "maximum": 90,
    **_AGE_BINS,
}
_QUALITY = {
    "unit": "points",
    "values": (1, 2, 3, 4, 5),
    "words": _OPINIONS,
    "templates": _OPINION_TEMPLATES,
}

# MORPH II: ages 16 to 77 are written into L2RCLIP's release [code] (OrdinalCLIP's has 101 ranks
# for the same pictures); the closing maximum is ours.
_MORPH = {
    "unit": "years",
    "values": tuple(range(16, 78)),
    "words": _in_words(range(16, 78)),
    "templates": _AGE_TEMPLATES,
    "maximum": 77,
    **_AGE_BINS,
}
# UTKFace: ages 0 to 116 occur [data]; a rank for each, and NumCLIP's age bins, are ours.
_UTKFACE = {
    "unit": "years",
    "values": tuple(range(117)),
    "words": _in_words(range(117)),
    "templates": _AGE_TEMPLATES,
    "maximum": 116,
    **_AGE_BINS,
}
# Adience: eight age groups [data], a step apart, as its published MAE counts them. The words,
# the bins (one for each group) and their phrases are ours.
_ADIENCE = {
    "unit": "age groups",
    "values": ("0-2", "4-6", "8-13", "15-20", "25-32", "38-43", "48-53", "60+"),
    "words": (
        "zero to two",
        "four to six",
        "eight to thirteen",
        "fifteen to twenty",
        "twenty five to thirty two",
        "thirty eight to forty three",
        "forty eight to fifty three",
        "over sixty",
    ),
    "templates": ("a photo of a person, {rank} years old",),
    "bin_phrases": (
        "baby",
        "small child",
        "child",
        "teenager",
        "young adult",
        "middle adult",
        "mature adult",
        "older adult",
    ),
    "bin_templates": ("age estimation from facial image: the person is a {rank}",),  # [code]
}
# Historical Color Images: five decades [data]; the context is NumCLIP's [code].
_HCI = {
    "unit": "decades",
    "values": _DECADES,
    "templates": ("a photo taken in the {rank}",),
    "bin_phrases": _ERAS,
}
# Image aesthetics (Flickr): the five grades are the data set's own [data]; the context and one
# bin for each label are NumCLIP's [code]. Its concept words were never released.
_AESTHETICS = {
    "unit": "grades",
    "values": ("unacceptable", "flawed", "ordinary", "professional", "exceptional"),
    "templates": ("aesthetics assessment: the quality of the photo is {rank}",),
}
# KonIQ-10k: mean opinion scores on the five-grade scale bad to excellent [data]; ours: prompts.
_KONIQ = dict(_QUALITY)
# AVA: mean of votes from 1 to 10 [data]; words and prompts are ours.
_AVA = {
    "unit": "points",
    "values": tuple(range(1, 11)),
    "words": _in_words(range(1, 11)),
    "templates": ("a photo with an aesthetic score of {rank} out of ten",),
}
# Object counts, as the ranking-aware adapter sorts them ("Rank the numbers of horse.") [code]. A
# picture without the object holds none of it [code]; the highest count, words and bins are ours.
_OBJECT_COUNT = {
    "unit": "objects",
    "values": tuple(range(21)),
    "words": _in_words(range(21)),
    "templates": ("a photo of {rank} {object}",),
    "fillers": {"object": ("objects", "people", "cars", "chairs", "books", "horses")},
    "bin_edges": (0, 1, 3, 6, 10, 14),
    "bin_phrases": ("no", *_COUNTING["bin_phrases"]),
    "maximum": 20,
}

DEFINITIONS = MappingProxyType(
    {
        "counting": _COUNTING,
        "dating": _DATING,
        "ageing": _AGEING,
        "quality": _QUALITY,
        "morph": _MORPH,
        "utkface": _UTKFACE,
        "adience": _ADIENCE,
        "hci": _HCI,
        "aesthetics": _AESTHETICS,
        "koniq": _KONIQ,
        "ava": _AVA,
        "object_count": _OBJECT_COUNT,
    }
)


def load_task(name: str) -> OrdinalTask:
    """Give a task by name: one of ordlib's own, or one of the papers'.

    Args:
        name: "counting", "dating", "ageing", "quality" (the rendered world), or "morph",
            "utkface", "adience", "hci", "aesthetics", "koniq", "ava", "object_count". What is
            published of the latter, and what is our choice, stands beside their definitions.

    Returns:
        The task.

    Raises:
        ValueError: no task of that name; the message lists them.

    Example:
        >>> load_task("ageing")
        OrdinalTask('ageing': 90 ranks from 1 to 90, 5 bins, unit years)
    """
    if name not in DEFINITIONS:
        raise ValueError(
            f"no task named {name!r}; there are {', '.join(DEFINITIONS)}. "
            f"For ranks of your own, make an OrdinalTask(name=..., unit=..., values=...)"
        )
    return OrdinalTask(name=name, **DEFINITIONS[name])

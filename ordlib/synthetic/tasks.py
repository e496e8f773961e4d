"""Definitions of the four synthetic tasks: ranks, prompt templates, bins, ranking prompts.

All templates are ours, except where they repeat those of a paper.
"""

from collections.abc import Mapping
from types import MappingProxyType

from ..tasks.builtin import (
    AGE_BINS,
    AGE_TEMPLATES,
    DECADES,
    ERAS,
    OPINION_TEMPLATES,
    OPINIONS,
    QUANTITIES,
    in_words,
)
from ..tasks.ranking_prompts import PromptTemplates
from .vocabulary import COLOURS, OBJECTS

_COUNTING = {
    "unit": "objects",
    "values": tuple(range(1, 21)),
    "rank_names": in_words(range(1, 21)),
    # One noun form, the plural, for all counts: with "one star" against "stars", grammar alone
    # would get n = 1 right.
    "templates": (
        "a photo of {rank} {object}",
        "{rank} {object}",
        "a picture of {rank} {object}",
        "a photo of {rank} {colour} {object}",
    ),
    "placeholders": {
        "object": tuple(noun.plural for noun in OBJECTS),
        "colour": tuple(COLOURS),
    },
    "bin_edges": (1, 3, 6, 10, 14),
    "bin_phrases": QUANTITIES,
    "upper_edge": 20,
    "augmentations": ("flip", "jitter"),
}
_DATING = {
    "unit": "decades",
    "values": DECADES,
    "templates": ("a photo taken in the {rank}", "a photo from the {rank}", "the {rank}"),
    "bin_phrases": ERAS,
    "augmentations": ("flip", "crop_scale"),
}
_AGEING = {
    "unit": "years",
    "values": tuple(range(1, 91)),
    "rank_names": in_words(range(1, 91)),
    "templates": AGE_TEMPLATES,
    "upper_edge": 90,
    "augmentations": ("flip", "jitter"),
    **AGE_BINS,
}
_QUALITY = {
    "unit": "points",
    "values": (1, 2, 3, 4, 5),
    "rank_names": OPINIONS,
    "templates": OPINION_TEMPLATES,
    "augmentations": ("flip",),
}

DEFINITIONS = MappingProxyType(
    {"counting": _COUNTING, "dating": _DATING, "ageing": _AGEING, "quality": _QUALITY}
)

RANKING_PROMPTS: Mapping[str, PromptTemplates] = MappingProxyType(
    {
        "counting": PromptTemplates(
            (
                "Rank by the number of {plural}.",
                "Order the pictures by how many {plural} they show.",
                "Which picture has the most {plural}?",
                "the number of {plural}",
                "Sort by the count of {plural}.",
                "Rank by the number of objects.",
                "Which picture shows the most things?",
            ),
            ("Sort the photos by how many {plural} there are.", "How many {plural} can be seen?"),
        ),
        "dating": PromptTemplates(
            (
                "Rank from oldest to newest photograph.",
                "Order the photos by the decade they were taken in.",
                "Which photograph is the newest?",
                "the year of the photograph",
                "Sort by when the picture was taken.",
            ),
            ("Sort the prints from the earliest to the latest.", "How modern is this photo?"),
        ),
        "ageing": PromptTemplates(
            (
                "Rank from youngest to oldest person.",
                "Order the portraits by age.",
                "Who is the oldest?",
                "the age of the person",
                "Sort people by how old they are.",
            ),
            ("Arrange the faces from young to old.", "How many years has this person lived?"),
        ),
        "quality": PromptTemplates(
            (
                "Rank from worst to best quality.",
                "Order the photos by image quality.",
                "Which photo has the best quality?",
                "the quality of the photo",
                "Sort by how good the picture looks.",
            ),
            ("Sort the pictures from bad to excellent.", "How sharp and clear is this photo?"),
        ),
    }
)

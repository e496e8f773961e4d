"""Built-in task definitions and `load_task`.

Origin of each setting: [code] a released implementation, [data] the data set, [ours] our choice,
where papers and releases give none. The augmentations that preserve labels are ours.
"""

from importlib import import_module
from types import MappingProxyType

from .ordinal_task import OrdinalTask

# Synthetic tasks, and the module that defines them (imported on demand).
SYNTHETIC = dict.fromkeys(("counting", "dating", "ageing", "quality"), "ordlib.synthetic.tasks")

# NumCLIP's release: bins 0-12, 13-18, 19-34, 35-64, 65+ and their phrases [code].
AGE_BINS = {
    "bin_edges": (0, 13, 19, 35, 65),
    "bin_phrases": ("child", "teenager", "young adult", "middle adult", "older adult"),
    "bin_templates": ("age estimation: the person is a {rank}",),
}
# The first template is from OrdinalCLIP's release [code], the others [ours].
AGE_TEMPLATES = (
    "age estimation: the age of the person is {rank}",
    "a photo of a person, {rank} years old",
    "the person is {rank} years old",
)
DECADES = ("1930s", "1940s", "1950s", "1960s", "1970s")
# One bin per label [code]; NumCLIP did not release its phrases: these, without numerals, [ours].
ERAS = ("talkies era", "wartime years", "postwar years", "space age", "disco era")
QUANTITIES = ("hardly any", "a few", "several", "many", "a crowd of")
OPINIONS = ("bad", "poor", "fair", "good", "excellent")
OPINION_TEMPLATES = (
    "a photo of {rank} quality",
    "the quality of the photo is {rank}",
    "a {rank} photo",
)

_ONES = [
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen"),
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def number_words(n: int) -> str:
    """English number words of 0 to 999, British style, without hyphens.

    Raises:
        ValueError: ``n`` is outside that range.

    Example:
        >>> number_words(7), number_words(21), number_words(120)
        ('seven', 'twenty one', 'one hundred and twenty')
    """
    if not 0 <= n <= 999:
        raise ValueError(f"n = {n}: number_words supports 0 to 999")
    if n < 20:
        return _ONES[n]
    if n < 100:
        tens, ones = divmod(n, 10)
        return _TENS[tens - 2] + (f" {_ONES[ones]}" if ones else "")
    hundreds, rest = divmod(n, 100)
    return f"{_ONES[hundreds]} hundred" + (f" and {number_words(rest)}" if rest else "")


def in_words(numbers: range) -> tuple[str, ...]:
    """Number words of a range."""
    return tuple(map(number_words, numbers))


def _age_task(ages: range) -> dict:
    ranks = {"values": tuple(ages), "rank_names": in_words(ages), "upper_edge": ages[-1]}
    text = {"unit": "years", "templates": AGE_TEMPLATES}
    return {**text, **ranks, **AGE_BINS, "augmentations": ("flip", "random_crop", "jitter")}


_DEFINITIONS = {
    # MORPH II: ages 16 to 77 as in L2RCLIP's release [code] (OrdinalCLIP's has 101 ranks for the
    # same images); upper_edge [ours].
    "morph": _age_task(range(16, 78)),
    # The 101 ranks of OrdinalCLIP's release for the same images [code].
    "morph_101": _age_task(range(101)),
    # Ages that occur [data]; one rank per year and NumCLIP's age bins [ours].
    "utkface": _age_task(range(117)),
    "clap2015": _age_task(range(3, 86)),
    "clap2016": _age_task(range(101)),
    "fgnet": _age_task(range(70)),
    # Nobody is above 62: no bin of older adults.
    "cacd": _age_task(range(14, 63))
    | {name: AGE_BINS[name][:-1] for name in ("bin_edges", "bin_phrases")},
    # Adience: eight age groups [data], one step apart as in its published MAE; bin template [code];
    # rank names, bins (one per group) and bin phrases [ours].
    "adience": {
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
        "bin_templates": ("age estimation from facial image: the person is a {rank}",),
        "augmentations": ("flip", "random_crop", "jitter"),
    },
    # Historical Color Images: five decades [data]; template from NumCLIP [code].
    "hci": {
        "unit": "decades",
        "values": DECADES,
        "templates": ("a photo taken in the {rank}",),
        "bin_phrases": ERAS,
        "augmentations": ("flip", "crop_scale", "random_crop"),
    },
    # Image aesthetics (Flickr): five grades [data]; template and one bin per label from NumCLIP
    # [code], whose concept words were not released.
    "aesthetics": {
        "unit": "grades",
        "values": ("unacceptable", "flawed", "ordinary", "professional", "exceptional"),
        "templates": ("aesthetics assessment: the quality of the photo is {rank}",),
        "augmentations": ("flip", "random_crop"),
    },
    # KonIQ-10k: mean opinion scores on the scale bad to excellent [data]; prompts [ours].
    "koniq": {
        "unit": "points",
        "values": (1, 2, 3, 4, 5),
        "rank_names": OPINIONS,
        "templates": OPINION_TEMPLATES,
        "augmentations": ("flip",),
    },
    # The same images on a scale to 100 [data]: five grades, evenly spaced; prompts [ours].
    "koniq_100": {
        "unit": "points",
        "values": (1, 25.75, 50.5, 75.25, 100),
        "rank_names": OPINIONS,
        "templates": OPINION_TEMPLATES,
        "augmentations": ("flip",),
    },
    # AADB: mean scores from 0 to 1 [data]; five grades, evenly spaced; prompts [ours].
    "aadb": {
        "unit": "points",
        "values": (0, 0.25, 0.5, 0.75, 1),
        "rank_names": OPINIONS,
        "templates": ("a photo with {rank} aesthetics",),
        "augmentations": ("flip",),
    },
    # AVA: mean of votes from 1 to 10 [data]; rank names and prompts [ours].
    "ava": {
        "unit": "points",
        "values": tuple(range(1, 11)),
        "rank_names": in_words(range(1, 11)),
        "templates": ("a photo with an aesthetic score of {rank} out of ten",),
        "augmentations": ("flip",),
    },
    # Object counts, as in the ranking-aware adapter ("Rank the numbers of horse."); images without
    # the object count as 0 [code]. Highest count, rank names and bins [ours].
    "object_count": {
        "unit": "objects",
        "values": tuple(range(21)),
        "rank_names": in_words(range(21)),
        "templates": ("a photo of {rank} {object}",),
        "placeholders": {"object": ("objects", "people", "cars", "chairs", "books", "horses")},
        "bin_edges": (0, 1, 3, 6, 10, 14),
        "bin_phrases": ("no", *QUANTITIES),
        "upper_edge": 20,
        "augmentations": ("flip", "jitter"),
    },
}
DEFINITIONS = MappingProxyType(_DEFINITIONS)


def load_task(name: str) -> OrdinalTask:
    """Load a built-in ordinal task by name.

    Args:
        name: a synthetic task ("counting", "dating", "ageing", "quality") or a task of a public
            data set ("morph", "morph_101", "utkface", "clap2015", "clap2016", "fgnet", "cacd",
            "adience", "hci", "aesthetics", "koniq", "koniq_100", "ava", "aadb",
            "object_count"). Comments in the source give the origin of each setting.

    Raises:
        ValueError: unknown name; the message lists the available tasks.

    Example:
        >>> load_task("ageing")
        OrdinalTask('ageing': 90 ranks from 1 to 90, 5 bins, unit years)
    """
    if name in [*SYNTHETIC]:
        definitions = import_module(SYNTHETIC[name]).DEFINITIONS
    elif name in [*DEFINITIONS]:
        definitions = DEFINITIONS
    else:
        names = ", ".join([*SYNTHETIC, *DEFINITIONS])
        raise ValueError(
            f"task = {name!r}: unknown task; choose one of {names}, or define your own with "
            "OrdinalTask(name=..., unit=..., values=...), for the command line in a file TASK.toml"
        )
    return OrdinalTask(name=name, **definitions[name])

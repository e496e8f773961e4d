"""People of portraits: traits of a person, and the appearance at an age."""

import math
from dataclasses import dataclass

import numpy as np

from . import palettes
from .cues import CUES, cues_at, stage
from .pen import Colour, mix


@dataclass(frozen=True)
class Choice:
    """An option whose probability depends on the life stage.

    Attributes:
        name: what the painters know it by, and what the record says.
        sex: 0 for women only, 1 for men only, 0.5 for anybody.
        peak, width: where in life it is commonest and how far that reaches (see ``stage``).
        weight: how common it is at its peak.
        start, end: stages of life between which it occurs at all.
    """

    name: str
    sex: float = 0.5
    peak: float = 0.5
    width: float = 9.0
    weight: float = 1.0
    start: float = -1.0
    end: float = 2.0


HAIRSTYLES = (
    Choice("a tuft of hair", 0.5, 0.0, 0.10, 9.0, end=0.24),
    Choice("fine baby hair", 0.5, 0.02, 0.11, 6.0, end=0.27),
    Choice("a bowl cut", 0.5, 0.27, 0.14, 1.2),
    Choice("pigtails", 0.0, 0.25, 0.10, 3.0),
    Choice("plaits", 0.0, 0.32, 0.16, 1.2),
    Choice("a ponytail", 0.0, 0.42, 0.2, 1.2),
    Choice("a bob", 0.0, 0.62, 0.4, 1.4),
    Choice("long hair", 0.0, 0.5, 0.2, 1.6),
    Choice("wavy hair", 0.0, 0.58, 0.24, 1.4),
    Choice("a bun", 0.0, 0.72, 0.3, 1.2),
    Choice("short hair", 0.5, 0.7, 0.5, 1.2),
    Choice("a side parting", 1.0, 0.6, 0.4, 1.5),
    Choice("a quiff", 1.0, 0.52, 0.18, 1.4),
    Choice("messy hair", 1.0, 0.36, 0.18, 1.4),
    Choice("a buzz cut", 1.0, 0.55, 0.3, 0.8),
    Choice("an afro", 0.5, 0.48, 0.3, 0.7),
    Choice("curly hair", 0.5, 0.55, 0.45, 1.0),
    Choice("a perm", 0.0, 0.92, 0.14, 2.0, start=0.6),
)
ACCESSORIES = (
    Choice("", weight=9.0),
    Choice("a dummy", 0.5, 0.04, 0.07, 9.0, end=0.22),
    Choice("a bib", 0.5, 0.06, 0.07, 5.0, end=0.24),
    Choice("a bow", 0.0, 0.2, 0.14, 3.0),
    Choice("a balloon", 0.5, 0.2, 0.12, 2.0),
    Choice("a party hat", 0.5, 0.3, 0.2, 0.9),
    Choice("a cap", 0.5, 0.42, 0.16, 1.6),
    Choice("headphones", 0.5, 0.5, 0.12, 2.0),
    Choice("a woolly hat", 0.5, 0.4, 0.3, 0.9),
    Choice("a headscarf", 0.0, 0.6, 0.35, 1.0),
    Choice("earrings", 0.0, 0.66, 0.2, 2.0),
    Choice("a beret", 0.5, 0.72, 0.2, 0.8),
    Choice("a flat cap", 1.0, 0.84, 0.14, 1.4),
    Choice("a straw hat", 0.5, 0.7, 0.3, 0.7),
    Choice("a scarf", 0.5, 0.68, 0.3, 1.0),
    Choice("a pearl necklace", 0.0, 0.84, 0.14, 2.6),
    Choice("a bow tie", 1.0, 0.66, 0.3, 0.8),
    Choice("a tie", 1.0, 0.68, 0.14, 1.6),
    Choice("a flower", 0.0, 0.5, 0.4, 0.7),
    Choice("a walking stick", 0.5, 0.97, 0.1, 2.4, start=0.74),
)
GARMENTS = (
    Choice("a T-shirt", 0.5, 0.4, 0.3, 1.4),
    Choice("a striped top", 0.5, 0.3, 0.3, 1.2),
    Choice("dungarees", 0.5, 0.2, 0.14, 1.6),
    Choice("a hoodie", 0.5, 0.42, 0.14, 1.5),
    Choice("a jumper", 0.5, 0.6, 0.4, 1.1),
    Choice("a polo neck", 0.5, 0.7, 0.3, 0.9),
    Choice("a shirt", 0.5, 0.68, 0.3, 1.5),
    Choice("a jacket", 0.5, 0.66, 0.16, 1.6),
    Choice("a cardigan", 0.5, 0.86, 0.16, 2.0),
)
GLASSES = (
    Choice("", weight=5.0),
    Choice("round glasses", 0.5, 0.7, 0.5, 0.8),
    Choice("glasses", 0.5, 0.76, 0.4, 1.4),
    Choice("reading glasses", 0.5, 0.92, 0.12, 2.0),
    Choice("sunglasses", 0.5, 0.5, 0.14, 0.35),
)
BEARDS = (
    Choice("", 0.5, weight=4.0),
    Choice("stubble", 1.0, 0.6, 0.1, 1.4, 0.5),
    Choice("a moustache", 1.0, 0.8, 0.2, 1.2, 0.51),
    Choice("a beard", 1.0, 0.72, 0.2, 2.0, 0.51),
    Choice("a goatee", 1.0, 0.62, 0.14, 0.7, 0.51),
)
PERSONS = (
    Choice("person", 0.5, weight=0.8),
    Choice("woman", 0.0, 0.7, 0.4, 6.0),
    Choice("man", 1.0, 0.7, 0.4, 6.0),
    Choice("baby", 0.5, 0.04, 0.08, 6.0),
    Choice("child", 0.5, 0.26, 0.14, 2.0),
    Choice("girl", 0.0, 0.32, 0.16, 4.0),
    Choice("boy", 1.0, 0.32, 0.16, 4.0),
    Choice("teenager", 0.5, 0.44, 0.07, 2.0),
    Choice("young woman", 0.0, 0.54, 0.08, 2.0),
    Choice("young man", 1.0, 0.54, 0.08, 2.0),
    Choice("lady", 0.0, 0.85, 0.14, 1.5),
    Choice("gentleman", 1.0, 0.85, 0.14, 1.5),
    Choice("older woman", 0.0, 0.93, 0.1, 2.0),
    Choice("older man", 1.0, 0.93, 0.1, 2.0),
)
MOODS = (
    Choice("smiling", weight=4.0),
    Choice("laughing", weight=2.0),
    Choice("calm", weight=1.5),
    Choice("grinning", weight=1.5),
)
TABLES = {
    "hairstyle": HAIRSTYLES,
    "accessory": ACCESSORIES,
    "garment": GARMENTS,
    "glasses": GLASSES,
    "beard": BEARDS,
    "person": PERSONS,
    "mood": MOODS,
}


@dataclass(frozen=True)
class Individual:
    """Traits of a person that do not depend on age, and the framing of the portrait.

    Attributes:
        sex: 0 feminine, 1 masculine, 0.5 neither.
        deviations: ``(cues, 3)`` departures from the common course.
        tastes: for every table of choices, a random preference for each entry.
        drift: one early-or-late number for every table.
        skin: index of the tone.
        hair, clothes, background: colour words.
        eyes: index of the eye colour.
        seeds: ``(16,)`` uniform numbers for everything small: partings, patterns, shapes.
        tilt, zoom, x, y: turn of the head in radians, size and place in the frame.
    """

    sex: float
    deviations: np.ndarray
    tastes: dict[str, np.ndarray]
    drift: dict[str, float]
    skin: int
    hair: str
    clothes: str
    background: str
    eyes: int
    seeds: np.ndarray
    tilt: float
    zoom: float
    x: float
    y: float


@dataclass(frozen=True)
class Look:
    """Appearance of a person at an age.

    Attributes:
        who: the individual.
        cues: every cue's value.
        words: the chosen entry of every table.
        hair_word: colour of the hair as one would say it.
        skin, shade, line, blush, lip, hair, brow, eye, cloth, accent: RGB colours.
    """

    who: Individual
    cues: dict[str, float]
    words: dict[str, str]
    hair_word: str
    skin: Colour
    shade: Colour
    line: Colour
    blush: Colour
    lip: Colour
    hair: Colour
    brow: Colour
    eye: Colour
    cloth: Colour
    accent: Colour


def draw_individual(rng: np.random.Generator) -> Individual:
    """Sample a person, independently of age.

    Args:
        rng: the picture's generator.

    Returns:
        The person.

    Example:
        >>> who = draw_individual(np.random.default_rng(0))
        >>> who.clothes in palettes.CLOTHES
        True
    """
    skin = int(rng.integers(len(palettes.SKINS)))
    fair = skin < 4
    hair_weights = np.array([3, 3, 3, 1.5, 2.5 * fair, 1.2 * fair]) + 0.05
    clothes = list(palettes.CLOTHES)
    backgrounds = list(palettes.BACKGROUNDS)
    return Individual(
        sex=float(rng.choice([0.0, 1.0, 0.5], p=[0.46, 0.46, 0.08])),
        deviations=np.clip(rng.standard_normal((len(CUES), 3)), -2.2, 2.2),
        tastes={name: rng.gumbel(size=len(table)) for name, table in TABLES.items()},
        drift={name: 0.05 * float(np.clip(rng.standard_normal(), -1.8, 1.8)) for name in TABLES},
        skin=skin,
        hair=list(palettes.HAIRS)[
            int(rng.choice(len(palettes.HAIRS), p=hair_weights / hair_weights.sum()))
        ],
        clothes=clothes[int(rng.integers(len(clothes)))],
        background=backgrounds[int(rng.integers(len(backgrounds)))],
        eyes=int(rng.integers(len(palettes.EYES) if fair else 3)),
        seeds=rng.uniform(size=16),
        tilt=float(rng.uniform(-0.09, 0.09)),
        zoom=float(rng.uniform(0.86, 1.12)),
        x=float(rng.uniform(-0.05, 0.05)),
        y=float(rng.uniform(-0.03, 0.03)),
    )


def choose(table: tuple[Choice, ...], tastes: np.ndarray, now: float, sex: float) -> str:
    """Return the option that a person prefers at a life stage.

    Tastes are Gumbel numbers, so over many people each entry comes as often as it weighs,
    while one person changes only now and then over the years.
    """
    weights = np.array([_weight(choice, now, sex) for choice in table])
    return table[int(np.argmax(np.log(weights + 1e-9) + tastes))].name


def _weight(choice: Choice, now: float, sex: float) -> float:
    if choice.sex not in (0.5, sex) or not choice.start <= now <= choice.end:
        return 0.0
    return choice.weight * math.exp(-0.5 * ((now - choice.peak) / choice.width) ** 2)


def look_at(who: Individual, age: float) -> Look:
    """Return the appearance of a person at an age.

    Args:
        who: the person.
        age: years, 1 to 90.

    Returns:
        Everything the painters need.

    Example:
        >>> who = draw_individual(np.random.default_rng(0))
        >>> child, adult = look_at(who, 4), look_at(who, 40)
        >>> child.skin == adult.skin, child.cues["shoulders"] < adult.cues["shoulders"]
        (True, True)
    """
    cues = cues_at(age, who.deviations, who.sex)
    # Hairlines draw far back for men only.
    cues["recession"] *= 1.0 if who.sex > 0.75 else 0.3
    now = float(stage(age))
    words = {
        name: choose(table, who.tastes[name], now + who.drift[name], who.sex)
        for name, table in TABLES.items()
    }
    if words["accessory"] == "a headscarf":
        words["hairstyle"] = "covered hair"
    elif cues["recession"] > 0.72:
        words["hairstyle"] = "a bald head"
    if words["accessory"] in ("a tie", "a bow tie") and words["garment"] != "a jacket":
        words["garment"] = "a shirt"
    natural, grey = palettes.HAIRS[who.hair], min(cues["grey"], 1.0)
    towards = mix(palettes.GREY, palettes.WHITE, who.seeds[0] * 0.5 + 0.5 * grey)
    hair = mix(natural, towards, grey)
    skin = palettes.SKINS[who.skin]
    shade = mix(skin, (122, 40, 42), 0.17)
    return Look(
        who=who,
        cues=cues,
        words=words,
        hair_word=_hair_word(who, words["hairstyle"], grey),
        skin=skin,
        shade=shade,
        line=mix(skin, (70, 18, 28), 0.42 + 0.025 * who.skin),
        blush=mix(skin, (226, 84, 88), 0.55),
        lip=mix(skin, (184, 58, 72), 0.55),
        hair=hair,
        brow=mix(mix(natural, (60, 44, 40), 0.4), towards, 0.75 * grey),
        eye=palettes.EYES[who.eyes],
        cloth=palettes.CLOTHES[who.clothes],
        accent=_accent(who),
    )


def _accent(who: Individual) -> Colour:
    """Return the colour of what is worn with the clothes: never their own."""
    others = [colour for word, colour in palettes.CLOTHES.items() if word != who.clothes]
    return others[int(who.seeds[1] * len(others))]


def _hair_word(who: Individual, hairstyle: str, grey: float) -> str:
    if hairstyle in ("a bald head", "covered hair"):
        return "bald" if hairstyle == "a bald head" else "covered"
    if grey < 0.45:
        return who.hair
    return "white" if grey > 0.8 and who.seeds[0] > 0.4 else "grey"

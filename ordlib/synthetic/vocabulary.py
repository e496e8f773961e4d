"""Vocabulary of the counting task: object nouns and colours.

Pure data, so that tasks and captions can use it without drawing anything.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Noun:
    """An object noun with its glyph in DejaVu Sans.

    Attributes:
        singular, plural: the noun, without article.
        character: the glyph.
        holes: what fills the glyph's holes: "paper", "open" (the background shows through),
            or "solid" (the object's own colour).
    """

    singular: str
    plural: str
    character: str
    holes: str = "paper"


OBJECTS = (
    Noun("star", "stars", "★"),
    Noun("heart", "hearts", "♥"),
    Noun("umbrella", "umbrellas", "☂"),
    Noun("anchor", "anchors", "⚓", holes="open"),
    Noun("pair of scissors", "scissors", "✂", holes="open"),
    Noun("aeroplane", "aeroplanes", "✈"),
    Noun("telephone", "telephones", "☎"),
    Noun("sun", "suns", "☀"),
    Noun("cloud", "clouds", "☁"),
    Noun("snowman", "snowmen", "☃"),
    Noun("cup", "cups", "☕"),
    Noun("crown", "crowns", "♛"),
    Noun("chess king", "chess kings", "♚"),
    Noun("castle tower", "castle towers", "♜"),
    Noun("chess pawn", "chess pawns", "♟"),
    Noun("horse", "horses", "♞"),
    Noun("music note", "music notes", "♪"),
    Noun("flower", "flowers", "✿"),
    Noun("tulip", "tulips", "⚘"),
    Noun("snowflake", "snowflakes", "❄", holes="open"),
    Noun("skull", "skulls", "☠"),
    Noun("keyboard", "keyboards", "⌨"),
    Noun("pointing hand", "pointing hands", "☛"),
    Noun("arrow", "arrows", "➜"),
    Noun("smiley", "smileys", "☻"),
    Noun("cat", "cats", "🐱"),
    Noun("mouse", "mice", "🐭"),
    Noun("cow", "cows", "🐮"),
    Noun("monkey", "monkeys", "🐵"),
    Noun("envelope", "envelopes", "✉"),
    Noun("pencil", "pencils", "✏"),
    Noun("fountain pen", "fountain pens", "✒"),
    Noun("check mark", "check marks", "✔"),
    Noun("plus sign", "plus signs", "✚"),
    Noun("gear", "gears", "⚙", holes="open"),
    Noun("atom", "atoms", "⚛"),
    Noun("lightning bolt", "lightning bolts", "⚡"),
    Noun("radiation sign", "radiation signs", "☢"),
    Noun("biohazard sign", "biohazard signs", "☣", holes="open"),
    Noun("recycling sign", "recycling signs", "♻", holes="open"),
    Noun("wheelchair", "wheelchairs", "♿", holes="open"),
    Noun("pair of scales", "scales", "⚖", holes="open"),
    Noun("flag", "flags", "⚑"),
    Noun("shamrock", "shamrocks", "☘"),
    Noun("spade", "spades", "♠"),
    Noun("peace sign", "peace signs", "☮"),
    Noun("yin yang", "yin yangs", "☯"),
    Noun("wheel", "wheels", "☸"),
    Noun("moon", "moons", "☾", holes="solid"),
    Noun("house", "houses", "⌂"),
    Noun("vase", "vases", "⚱"),
    Noun("warning sign", "warning signs", "⚠"),
    Noun("key", "keys", "⚷", holes="open"),
    Noun("magnifying glass", "magnifying glasses", "⚲"),
    Noun("leaf", "leaves", "❧", holes="open"),
    Noun("sparkle", "sparkles", "✦"),
    Noun("starburst", "starbursts", "✹"),
    Noun("question mark", "question marks", "?", holes="open"),
    Noun("ampersand", "ampersands", "&", holes="open"),
    Noun("at sign", "at signs", "@", holes="open"),
    Noun("dollar sign", "dollar signs", "$", holes="open"),
    Noun("euro sign", "euro signs", "€", holes="open"),
    Noun("asterisk", "asterisks", "✱"),
    Noun("ring", "rings", "◯", holes="open"),
    Noun("target", "targets", "◎"),
    Noun("trident", "tridents", "♆", holes="open"),
    Noun("diamond", "diamonds", "◆"),
    Noun("circle", "circles", "●"),
    Noun("square", "squares", "■"),
    Noun("triangle", "triangles", "▲"),
    Noun("hexagon", "hexagons", "⬢"),
    Noun("semicircle", "semicircles", "◗"),
    Noun("arrowhead", "arrowheads", "➤"),
    Noun("window", "windows", "⊞"),
    Noun("writing hand", "writing hands", "✍"),
    Noun("Maltese cross", "Maltese crosses", "✠"),
)

COLOURS = {
    "red": (214, 40, 44),
    "orange": (240, 120, 22),
    "yellow": (250, 209, 50),
    "green": (34, 142, 66),
    "blue": (36, 98, 208),
    "purple": (126, 58, 176),
    "pink": (238, 92, 154),
    "brown": (124, 76, 42),
    "black": (28, 28, 32),
    "white": (250, 250, 247),
}


def with_article(noun: str) -> str:
    """Put "a" or "an" before a noun.

    Args:
        noun: a singular noun or noun phrase.

    Returns:
        The phrase with its indefinite article.

    Example:
        >>> with_article("cat"), with_article("umbrella"), with_article("euro sign")
        ('a cat', 'an umbrella', 'a euro sign')
    """
    an = noun[0].lower() in "aeiou" and not noun.startswith(("euro", "uni", "one"))
    return f"{'an' if an else 'a'} {noun}"

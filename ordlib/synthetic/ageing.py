"""The ageing task: drawn portraits of people from 1 to 90 years."""

import numpy as np

from .people import draw_individual, look_at
from .portrait import paint
from .sample import Sample


def draw(rng: np.random.Generator, split: str, side: int) -> Sample:
    """Draw a portrait of a person of some age.

    Args:
        rng: the picture's own generator.
        split: name of the split; portraits do not depend on it.
        side: pixels, 64 to 336.

    Returns:
        The picture; its value is the age in years, 1 to 90.

    Example:
        >>> picture = draw(np.random.default_rng(0), "train", 64)
        >>> picture.image.shape, 1 <= picture.value <= 90
        ((64, 64, 3), True)
    """
    age = int(rng.integers(1, 91))
    look = look_at(draw_individual(rng), age)
    image, ink = paint(look, side)
    who, words = look.who, look.words
    worn = words["accessory"] or words["glasses"]
    record: dict[str, str | float] = {
        "person": words["person"],
        "hair": look.hair_word,
        "hairstyle": words["hairstyle"],
        "accessory": worn,
        "glasses": words["glasses"],
        "beard": words["beard"],
        "garment": words["garment"],
        "clothes": who.clothes,
        "background_colour": who.background,
        "mood": words["mood"],
    }
    record |= {name: round(value, 4) for name, value in look.cues.items()}
    record |= {"skin": who.skin, "zoom": who.zoom, "tilt": who.tilt, "x": who.x, "y": who.y}
    record |= {"brightness": float(image.mean()) / 255, "ink": ink}
    return Sample(image, float(age), record)

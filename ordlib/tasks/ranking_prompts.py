"""Sentences that ask for an order of pictures, in several wordings each."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from .ordinal_task import OrdinalTask


@dataclass(frozen=True)
class Wordings:
    """Sentences that all ask for the order of one task.

    Attributes:
        trained: to learn from. A placeholder such as ``{plural}`` stands for a column of the
            pictures' records that names the thing that is counted.
        unseen: kept for tests.
    """

    trained: tuple[str, ...]
    unseen: tuple[str, ...] = ()


WORDINGS: Mapping[str, Wordings] = MappingProxyType(
    {
        "counting": Wordings(
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
        "dating": Wordings(
            (
                "Rank from oldest to newest photograph.",
                "Order the photos by the decade they were taken in.",
                "Which photograph is the newest?",
                "the year of the photograph",
                "Sort by when the picture was taken.",
            ),
            ("Sort the prints from the earliest to the latest.", "How modern is this photo?"),
        ),
        "ageing": Wordings(
            (
                "Rank from youngest to oldest person.",
                "Order the portraits by age.",
                "Who is the oldest?",
                "the age of the person",
                "Sort people by how old they are.",
            ),
            ("Arrange the faces from young to old.", "How many years has this person lived?"),
        ),
        "quality": Wordings(
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


def wordings_of(task: OrdinalTask) -> Wordings:
    """Return the sentences for a task: ordlib's for its own four, else plain ones with its name.

    Args:
        task: any.

    Returns:
        At least three to learn from, and one that is unseen.

    Example:
        >>> ripeness = OrdinalTask(name="ripeness", unit="steps", values=("green", "yellow"))
        >>> wordings_of(ripeness).trained[0]
        'Rank by ripeness.'
    """
    if task.name in WORDINGS:
        return WORDINGS[task.name]
    name = task.name.replace("_", " ")
    trained = (f"Rank by {name}.", f"Order the pictures by {name}.", name)
    return Wordings(trained, (f"Sort by {name}.",))

"""Sentences that ask for an order of pictures, in several wordings each."""

from dataclasses import dataclass
from importlib import import_module

from .builtin import RENDERED
from .ordinal_task import OrdinalTask


@dataclass(frozen=True)
class PromptTemplates:
    """Sentences that all ask for the order of one task.

    Attributes:
        train: to learn from. A placeholder such as ``{plural}`` stands for a column of the
            pictures' records that names the thing that is counted.
        held_out: kept for tests.
    """

    train: tuple[str, ...]
    held_out: tuple[str, ...] = ()


def prompt_templates_for(task: OrdinalTask) -> PromptTemplates:
    """The sentences of a task: ordlib's for its own four, else plain ones with its name.

    At least three to learn from, and one that is unseen.

    Example:
        >>> ripeness = OrdinalTask(name="ripeness", unit="steps", values=("green", "yellow"))
        >>> prompt_templates_for(ripeness).train[0]
        'Rank by ripeness.'
    """
    if task.name in RENDERED:
        return import_module(RENDERED[task.name]).WORDINGS[task.name]
    name = task.name.replace("_", " ")
    trained = (f"Rank by {name}.", f"Order the pictures by {name}.", name)
    return PromptTemplates(trained, (f"Sort by {name}.",))

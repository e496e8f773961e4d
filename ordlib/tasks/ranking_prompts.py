"""Ranking prompts per task: training and held-out templates."""

from dataclasses import dataclass
from importlib import import_module

from .builtin import SYNTHETIC
from .ordinal_task import OrdinalTask


@dataclass(frozen=True)
class PromptTemplates:
    """Ranking prompt templates of one task, which all ask for the same order.

    Attributes:
        train: templates for training. A placeholder such as ``{plural}`` takes its value from
            the column of that name in the metadata of the images.
        held_out: templates for evaluation only.
    """

    train: tuple[str, ...]
    held_out: tuple[str, ...] = ()


def prompt_templates_for(task: OrdinalTask) -> PromptTemplates:
    """Ranking prompt templates of a task: curated ones of a synthetic task, else generic ones.

    Example:
        >>> ripeness = OrdinalTask(name="ripeness", unit="steps", values=("green", "yellow"))
        >>> prompt_templates_for(ripeness).train[0]
        'Rank by ripeness.'
    """
    if task.name in SYNTHETIC:
        return import_module(SYNTHETIC[task.name]).RANKING_PROMPTS[task.name]
    name = task.name.replace("_", " ")
    train = (f"Rank by {name}.", f"Order the pictures by {name}.", name)
    return PromptTemplates(train, (f"Sort by {name}.",))

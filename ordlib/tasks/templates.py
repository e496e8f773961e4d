"""Prompt templates: which placeholders they have, and filling them."""

import string
from collections.abc import Mapping, Sequence
from itertools import product


def placeholders(template: str) -> set[str]:
    """Name the placeholders of a template.

    Args:
        template: text with names in braces.

    Returns:
        The names.

    Raises:
        ValueError: braces that do not match, or a placeholder with a format or conversion.

    Example:
        >>> sorted(placeholders("a photo of {rank} {object}"))
        ['object', 'rank']
    """
    names = set()
    for _, name, form, conversion in string.Formatter().parse(template):
        if form or conversion:
            raise ValueError(f"{{{name}}} has a ':' or '!'")
        if name is not None:
            names.add(name)
    return names


def pick(templates: Sequence[str], index: int, field: str, task: str) -> str:
    """Return one template; a wrong index is a ValueError that names the field and the task."""
    try:
        return templates[index]
    except IndexError:
        raise ValueError(
            f"task {task!r} has no {field}[{index}]; it has {len(templates)}, counted from 0"
        ) from None


def fill(
    template: str,
    words: Sequence[str],
    fillers: Mapping[str, Sequence[str]],
    chosen: Mapping[str, str],
    task: str,
) -> list[str]:
    """Write one prompt for each word.

    Args:
        template: text with ``{rank}`` and perhaps other placeholders.
        words: what ``{rank}`` stands for, in turn.
        fillers: words of each other placeholder; the first is the default.
        chosen: words for some of them, which need not be among those.
        task: the task's name, for messages.

    Returns:
        The prompts, in the order of the words.

    Raises:
        ValueError: a word is chosen for a placeholder that the task does not have.

    Example:
        >>> fill("{rank} {object}", ["one", "two"], {"object": ["stars"]}, {}, "counting")
        ['one stars', 'two stars']
    """
    for name in chosen:
        if name not in fillers:
            raise ValueError(
                f"task {task!r} has no placeholder {name!r} to fill; "
                f"it has {', '.join(map(repr, fillers)) or 'none'}"
            )
    others = {name: choices[0] for name, choices in fillers.items()} | dict(chosen)
    return [template.format(rank=word, **others) for word in words]


def fillings(template: str, fillers: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """List every combination of words for the placeholders that a template uses.

    Args:
        template: text with placeholders.
        fillers: words of each placeholder.

    Returns:
        One dict a combination, the first placeholder varying slowest.

    Example:
        >>> fillings("{rank} {object}", {"object": ["stars", "cats"], "colour": ["red", "blue"]})
        [{'object': 'stars'}, {'object': 'cats'}]
    """
    names = placeholders(template)
    used = [name for name in fillers if name in names]
    return [
        dict(zip(used, words, strict=True)) for words in product(*(fillers[name] for name in used))
    ]

"""Prompt templates: which placeholders they have, and filling them."""

import string
from collections.abc import Mapping, Sequence
from itertools import product


def placeholders(template: str) -> set[str]:
    """Names of the placeholders of a prompt template.

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
    """One template; a wrong index is a ValueError that names the field and the task."""
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
    """Prompts with each word in turn as ``{rank}``; the task's name is for messages.

    Other placeholders take the word ``chosen``, any at all, or the first of their ``fillers``.
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
    """Every combination of words for the placeholders that a template uses.

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

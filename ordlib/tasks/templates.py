"""Prompt templates: which placeholders they have, and filling them."""

import string
from collections.abc import Mapping, Sequence
from itertools import product


def placeholder_names(template: str) -> set[str]:
    """Names of the placeholders of a prompt template.

    Raises:
        ValueError: braces that do not match, or a placeholder with a format or conversion.

    Example:
        >>> sorted(placeholder_names("a photo of {rank} {object}"))
        ['object', 'rank']
    """
    names = set()
    for _, name, form, conversion in string.Formatter().parse(template):
        if form or conversion:
            raise ValueError(f"{{{name}}} has a ':' or '!'")
        if name is not None:
            names.add(name)
    return names


def get_template(templates: Sequence[str], index: int, field: str, task: str) -> str:
    """One template; a wrong index is a ValueError that names the field and the task."""
    try:
        return templates[index]
    except IndexError:
        raise ValueError(
            f"task {task!r} has no {field}[{index}]; it has {len(templates)}, counted from 0"
        ) from None


def format_prompts(
    template: str,
    words: Sequence[str],
    placeholders: Mapping[str, Sequence[str]],
    chosen: Mapping[str, str],
    task: str,
) -> list[str]:
    """Prompts with each word in turn as ``{rank}``; the task's name is for messages.

    Other placeholders take the word ``chosen``, any at all, or the first of their ``placeholders``.
    """
    for name in chosen:
        if name not in placeholders:
            raise ValueError(
                f"task {task!r} has no placeholder {name!r} to fill; "
                f"it has {', '.join(map(repr, placeholders)) or 'none'}"
            )
    others = {name: choices[0] for name, choices in placeholders.items()} | dict(chosen)
    return [template.format(rank=word, **others) for word in words]


def placeholder_combinations(
    template: str, placeholders: Mapping[str, Sequence[str]]
) -> list[dict[str, str]]:
    """Every combination of words for the placeholders that a template uses.

    One dict a combination, the first placeholder varying slowest.

    Example:
        >>> placeholder_combinations("{rank} {object}", {"object": ["stars", "cats"], "colour": ["red", "blue"]})
        [{'object': 'stars'}, {'object': 'cats'}]
    """
    names = placeholder_names(template)
    used = [name for name in placeholders if name in names]
    return [
        dict(zip(used, words, strict=True))
        for words in product(*(placeholders[name] for name in used))
    ]

"""Prompt templates: placeholders and formatting."""

import math
import string
from collections.abc import Mapping, Sequence
from itertools import product

# Of the options of a template's placeholders, each of which becomes a prompt per rank.
MAX_COMBINATIONS = 10_000
MAX_LENGTH = 4000  # characters of a text in a task; CLIP's context holds 77 tokens


def placeholder_names(template: str) -> set[str]:
    """Names of the placeholders of a prompt template.

    Raises:
        TypeError: no string.
        ValueError: unbalanced braces, or a placeholder without a plain name.

    Example:
        >>> sorted(placeholder_names("a photo of {rank} {object}"))
        ['object', 'rank']
    """
    names = set()
    for _, name, spec, conversion in string.Formatter().parse(template):
        if spec or conversion:
            raise ValueError(f"{{{name}}} has a ':' or '!'")
        if name is not None and (not name or set(name) & set(".[]")):
            raise ValueError(f"{{{name}}} is not the name of a placeholder")
        if name is not None:
            names.add(name)
    return names


def check_template(template: str) -> None:
    """Raise ValueError unless a ranking prompt is of limited length, with plain placeholders.

    Example:
        >>> check_template("Rank by {0.x}.")
        Traceback (most recent call last):
        ValueError: {0.x} is not the name of a placeholder
    """
    names = placeholder_names(template)
    if not 0 < len(template) <= MAX_LENGTH:
        raise ValueError(f"has {len(template):,} characters; the limits are 1 and {MAX_LENGTH:,}")
    if numbers := [name for name in names if not name.isidentifier()]:
        raise ValueError(f"{{{numbers[0]}}} is not the name of a placeholder")


def fillable_templates(templates: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Templates whose placeholders are all names of columns.

    Example:
        >>> fillable_templates(["count {plural}", "count things"], columns=["label"])
        ['count things']
    """
    return [t for t in templates if placeholder_names(t).issubset(columns)]


def get_template(templates: Sequence[str], index: int, field: str, task: str) -> str:
    """Template by index; ``field`` and ``task`` are for the ValueError of a wrong index."""
    try:
        return templates[index]
    except (IndexError, TypeError):
        raise ValueError(
            f"task {task!r} has no {field}[{index!r}]; it has {len(templates)}, counted from 0"
        ) from None


def format_prompts(
    template: str,
    rank_names: Sequence[str],
    options: Mapping[str, Sequence[str]],
    chosen: Mapping[str, str],
    task: str,
) -> list[str]:
    """Format a template once per rank name.

    Args:
        template: prompt template with ``{rank}``.
        rank_names: values of ``{rank}``.
        options: placeholders of the task and their options; the first option is the default.
        chosen: values of placeholders, arbitrary text.
        task: name for error messages.
    """
    for name in chosen:
        if name not in options:
            raise ValueError(
                f"task {task!r} has no placeholder {name!r}; "
                f"it has {', '.join(map(repr, options)) or 'none'}"
            )
        if not isinstance(chosen[name], str):
            raise ValueError(f"task {task!r}: placeholder {name} = {chosen[name]!r}: must be text")
    values = {name: texts[0] for name, texts in options.items()} | dict(chosen)
    return [template.format(rank=rank_name, **values) for rank_name in rank_names]


def placeholder_combinations(
    template: str, options: Mapping[str, Sequence[str]]
) -> list[dict[str, str]]:
    """Cartesian product of the options of the placeholders in a template.

    Raises:
        ValueError: more than 10,000 combinations.

    Example:
        >>> options = {"object": ["stars", "cats"], "colour": ["red", "blue"]}
        >>> placeholder_combinations("{rank} {object}", options)
        [{'object': 'stars'}, {'object': 'cats'}]
    """
    used = placeholder_names(template)
    names = [name for name in options if name in used]
    count = math.prod(len(options[name]) for name in names)
    if count > MAX_COMBINATIONS:
        raise ValueError(
            f"template {template!r:.80}: its placeholders have {count:,} combinations of options, "
            f"more than {MAX_COMBINATIONS:,}; give some of them a value, or fewer options"
        )
    return [
        dict(zip(names, texts, strict=True))
        for texts in product(*(options[name] for name in names))
    ]

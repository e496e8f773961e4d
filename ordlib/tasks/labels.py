"""Reading labels as people write them: numbers, names or words, in any case."""

import math
from collections.abc import Mapping

import numpy as np

from .rules import as_text

_MISSING = {"", "nan", "none", "<na>", "nat"}


def levels_by_text(values: tuple, words: tuple, levels: np.ndarray) -> dict[str, float]:
    """Map the text of every rank, its word and its name in lower case, to its level.

    Where one rank's word is another's name, the name counts.
    """
    texts = [*words, *map(as_text, values)]
    levels = [*levels.tolist(), *levels.tolist()]
    return {fold(text): level for text, level in zip(texts, levels, strict=True)}


def fold(label: object) -> str:
    """Return a label as text without regard to case and outer spaces."""
    return str(label).strip().casefold()


def parse(label: object, known: Mapping[str, float], task: str, named: bool) -> float:
    """Turn a label into its level on the number line.

    Args:
        label: whatever stood in the file.
        known: levels of the ranks by text, see `levels_by_text`.
        task: the task's name, for messages.
        named: whether ranks are names, so that nothing lies between them.

    Returns:
        The level.

    Raises:
        ValueError: missing, unknown or out of range.
    """
    text = fold(label)
    if label is not None and text in known:
        return known[text]
    if text in _MISSING:
        raise ValueError(f"label {label!r} is missing; fill it in or leave the picture out")
    try:
        number = math.nan if isinstance(label, bool | np.bool_) else float(text)
    except ValueError:
        number = math.nan
    low, high = min(known.values()), max(known.values())
    if named and number not in known.values():
        offer = ", ".join(repr(name) for name in known)
        raise ValueError(f"label {label!r} is no rank of task {task!r}; choose one of {offer}")
    if not low <= number <= high:
        fault = "is no number" if math.isnan(number) else "is outside the ranks"
        raise ValueError(
            f"label {label!r} {fault}; task {task!r} takes {low:g} to {high:g}. If the label is "
            f"right, give the task more values"
        )
    return number

"""Shared error messages: invalid options, long lists of errors, text for terminals."""

import operator
from collections.abc import Iterable, Sequence
from dataclasses import fields

MAX_ERRORS_SHOWN = 10


def check_choice(name: str, value: object, choices: Iterable) -> None:
    """Validate an option that takes one of a few values (None only if ``choices`` has it).

    Raises:
        ValueError: names the option, its value and the choices.

    Example:
        >>> check_choice("ties", "skip", ("keep", "skip"))
        >>> check_choice("positions", "odd", ("learned", "fixed", None))
        Traceback (most recent call last):
        ValueError: positions = 'odd': must be one of learned, fixed, or None
    """
    choices = tuple(choices)
    if value not in choices:
        names = ", ".join(str(choice) for choice in choices if choice is not None)
        end = ", or None" if None in choices else ""
        raise ValueError(f"{name} = {value!r}: must be one of {names}{end}")


def check_integers(config: object) -> None:
    """Convert the fields of a dataclass annotated as integers to int, such as NumPy's integers.

    Raises:
        ValueError: names the field and a value that is no integer, such as 20.0 or True.

    Example:
        >>> from ordlib import TrainingConfig
        >>> TrainingConfig(epochs=2.5)
        Traceback (most recent call last):
        ValueError: epochs = 2.5: must be an integer, or None
    """
    for field in fields(config):
        value = getattr(config, field.name)
        optional = field.type == int | None
        if field.type is not int and not (optional and value is not None):
            continue
        if isinstance(value, bool) or not hasattr(type(value), "__index__"):
            rule = "must be an integer" + ", or None" * optional
            raise ValueError(f"{field.name} = {value!r}: {rule}")
        object.__setattr__(config, field.name, operator.index(value))


def check_batch_size(batch_size: object) -> None:
    """Validate a batch size.

    Raises:
        ValueError: not an integer of 1 or more.

    Example:
        >>> check_batch_size(0)
        Traceback (most recent call last):
        ValueError: batch_size = 0: must be an integer, 1 or more
    """
    if not hasattr(type(batch_size), "__index__") or batch_size < 1:
        raise ValueError(f"batch_size = {batch_size!r}: must be an integer, 1 or more")


def listed(errors: Sequence[str]) -> str:
    """The first ten errors, one per line, and the number of the others.

    Example:
        >>> print(listed(["a.png is missing"]))
        <BLANKLINE>
          a.png is missing
    """
    more = len(errors) - MAX_ERRORS_SHOWN
    lines = [*errors[:MAX_ERRORS_SHOWN], *([f"and {more} more"] if more > 0 else [])]
    return "".join(f"\n  {line}" for line in lines)


def escape_nonprintable(text: str) -> str:
    """Escape control and other non-printable characters, for terminals.

    Example:
        >>> print(escape_nonprintable("two\\nlines"), escape_nonprintable("café \\udcff"))
        two\\nlines café \\udcff
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )

"""Shared error messages: invalid options, long lists of errors, text for terminals."""

import operator
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import fields
from math import isfinite
from numbers import Real
from types import NoneType, UnionType
from typing import Literal, Union, get_args, get_origin

MAX_INTEGER, MAX_TEXT = 2**63 - 1, 4000
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
        raise ValueError(f"{name} = {value!r:.80}: must be one of {names}{end}")


def check_types(config: object) -> None:
    """Validate the fields of a dataclass by their annotations; convert NumPy's numbers to Python's.

    These are bool, int, float, str, a Literal, or one of them or None. The class checks others.

    Raises:
        ValueError: names the field and a value of another type, such as 20.0 or "3".

    Example:
        >>> from ordlib import TrainingConfig
        >>> TrainingConfig(epochs=2.5)
        Traceback (most recent call last):
        ValueError: epochs = 2.5: must be an integer, or None
    """
    for field in fields(config):
        name, value, kind = field.name, getattr(config, field.name), field.type
        parts = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
        choices = [choice for part in parts for choice in _choices(part)]
        if NoneType in parts and (value is None or choices):
            choices.append(None)
        if choices:
            check_choice(name, value, choices)
        elif parts[0] in _TYPES:
            end = ", or None" if NoneType in parts else ""
            object.__setattr__(config, name, _converted(name, value, parts[0], end))


def _choices(kind: object) -> tuple:
    return get_args(kind) if get_origin(kind) is Literal else ()


def _converted(name: str, value: object, kind: type, end: str) -> object:
    is_valid, convert, rule = _TYPES[kind]
    if not is_valid(value):
        raise ValueError(f"{name} = {value!r:.80}: must be {rule}{end}")
    return convert(value)


def _is_bool(value: object) -> bool:
    return type(value).__name__ in ("bool", "bool_")  # NumPy is slow to import


def _is_integer(value: object) -> bool:
    # torch's random numbers take 64 bits.
    return not _is_bool(value) and hasattr(type(value), "__index__") and abs(value) <= MAX_INTEGER


def is_number(value: object) -> bool:
    """Whether a value is a finite real number, and no bool.

    Example:
        >>> is_number(3), is_number("3"), is_number(float("nan"))
        (True, False, False)
    """
    with suppress(OverflowError):  # of an integer that is too large
        return isinstance(value, Real) and not _is_bool(value) and isfinite(value)
    return False


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT


_TYPES = {
    int: (_is_integer, operator.index, "an integer"),
    float: (is_number, float, "a finite number"),
    bool: (_is_bool, bool, "True or False"),
    str: (_is_text, str, f"a text of at most {MAX_TEXT} characters"),
}


def check_batch_size(batch_size: object) -> None:
    """Validate a batch size.

    Raises:
        ValueError: not an integer of 1 or more.

    Example:
        >>> check_batch_size(0)
        Traceback (most recent call last):
        ValueError: batch_size = 0: must be an integer, 1 or more
    """
    check_count("batch_size", batch_size)


def check_count(name: str, value: object, minimum: int | None = 1) -> None:
    """Validate an integer, such as a number of things or a seed; ValueError if it is another."""
    is_integer = hasattr(type(value), "__index__") and not _is_bool(value)
    if not is_integer or (minimum is not None and value < minimum):
        end = "" if minimum is None else f", {minimum} or more"
        raise ValueError(f"{name} = {value!r:.80}: must be an integer{end}")


def check_path(name: str, path: object) -> None:
    """Validate the type of a path, and that it is not empty.

    Raises:
        TypeError: neither text nor a Path.
        ValueError: empty, which would be the current folder.

    Example:
        >>> check_path("root", None)
        Traceback (most recent call last):
        TypeError: root = None: must be the path of a file or folder
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"{name} = {path!r:.80}: must be the path of a file or folder")
    if not os.fspath(path):
        raise ValueError(f"{name} = '': is empty; give '.' for the current folder")


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

"""Shared error messages: invalid options and long lists of errors."""

from collections.abc import Iterable, Sequence

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

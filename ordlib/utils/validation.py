"""Errors that every layer words alike: an unknown choice, and a long list of faults."""

from collections.abc import Iterable, Sequence

MOST_TOLD = 10


def check_choice(name: str, value: object, known: Iterable) -> None:
    """Check an option that takes one of a few values; None is one where ``known`` holds it.

    Raises:
        ValueError: names the option, its value, and those it may have.

    Example:
        >>> check_choice("ties", "skip", ("keep", "skip"))
        >>> check_choice("positions", "odd", ("learned", "fixed", None))
        Traceback (most recent call last):
        ValueError: positions = 'odd': must be one of learned, fixed, or None
    """
    known = tuple(known)
    if value not in known:
        names = ", ".join(str(choice) for choice in known if choice is not None)
        end = ", or None" if None in known else ""
        raise ValueError(f"{name} = {value!r}: must be one of {names}{end}")


def listed(faults: Sequence[str]) -> str:
    """List the first ten faults, a line each, and count the rest.

    Example:
        >>> print(listed(["a.png is missing"]))
        <BLANKLINE>
          a.png is missing
    """
    more = len(faults) - MOST_TOLD
    lines = [*faults[:MOST_TOLD], *([f"and {more} more"] if more > 0 else [])]
    return "".join(f"\n  {line}" for line in lines)

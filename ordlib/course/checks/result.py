"""What a check answers: passed, not yet, or not started, and always why."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from html import escape
from typing import Literal

MARKS = {"passed": "✓", "not yet": "✗", "not started": "…"}
COLOURS = {"passed": "#009E73", "not yet": "#D55E00", "not started": "#7A7A7A"}


@dataclass(frozen=True)
class CheckResult:
    """The answer to an exercise's answer.

    Attributes:
        state: "passed", "not yet" or "not started".
        message: one or two sentences: what is right, or what is wrong and where to look.

    Example:
        >>> CheckResult("not yet", "your loss ignores the last rank")
        ✗ not yet: your loss ignores the last rank
    """

    state: Literal["passed", "not yet", "not started"]
    message: str

    def __repr__(self) -> str:
        return f"{MARKS[self.state]} {self.state}: {self.message}"

    def _repr_html_(self) -> str:
        return (
            f'<div style="border-left: 4px solid {COLOURS[self.state]}; padding: .3em .8em">'
            f"<b>{MARKS[self.state]} {self.state}</b> &nbsp; {escape(self.message)}</div>"
        )


def exercise_check(check: Callable[..., str | CheckResult | None]) -> Callable[..., CheckResult]:
    """A check, made of a function that says what is wrong with answers, or None if all is well.

    The check never raises: an unfinished answer (None or ``...``) is "not started", and an
    error inside the learner's code is quoted. The first line of the function's docstring is what
    a passed exercise is told, unless the function returns a whole verdict.

    Example:
        >>> @exercise_check
        ... def positive(x):
        ...     "A positive number."
        ...     return None if x > 0 else f"{x} is not above 0"
        >>> positive(3), positive(-1), positive(...)
        (✓ passed: A positive number., ✗ not yet: -1 is not above 0, … not started: replace the \
three dots by your answer and run the cell again)
    """

    @wraps(check)
    def run(*answers: object) -> CheckResult:
        if any(answer is None or answer is ... for answer in answers):
            hint = "replace the three dots by your answer and run the cell again"
            return CheckResult("not started", hint)
        try:
            complaint = check(*answers)
        except Unfinished:
            return CheckResult("not started", "your function returns nothing: is a return missing?")
        except Exception as error:
            return CheckResult("not yet", f"your answer raised {type(error).__name__}: {error}")
        if isinstance(complaint, CheckResult):
            return complaint
        if complaint:
            return CheckResult("not yet", complaint)
        return CheckResult("passed", (check.__doc__ or "").strip().splitlines()[0])

    return run


class Unfinished(Exception):
    """The learner's function returned nothing: the stub is still there."""


def called(function: Callable, *arguments: object) -> object:
    """What the learner's function returns for copies, which it may change, of arguments.

    Raises:
        Unfinished: it returned None or ``...``.

    Example:
        >>> called(sum, [1, 2])
        3
    """
    result = function(*map(_copied, arguments))
    if result is None or result is ...:
        raise Unfinished
    return result


def _copied(argument: object) -> object:
    for method in ("clone", "copy"):  # torch's name and numpy's
        if hasattr(argument, method):
            return getattr(argument, method)()
    return argument

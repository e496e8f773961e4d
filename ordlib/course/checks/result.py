"""Result of an exercise check."""

import inspect
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import wraps
from html import escape
from typing import Literal

from ...utils.device import torch_defaults

SYMBOLS = {"passed": "✓", "not yet": "✗", "not tried yet": "…"}
COLORS = {"passed": "#009E73", "not yet": "#D55E00", "not tried yet": "#7A7A7A"}


@dataclass(frozen=True)
class CheckResult:
    """Result of an exercise check, rendered as text or HTML in a notebook.

    Example:
        >>> CheckResult("not yet", "your loss ignores the last rank")
        ✗ not yet: your loss ignores the last rank
    """

    state: Literal["passed", "not yet", "not tried yet"]
    message: str  # what is right, or what is wrong and how to correct it

    def __repr__(self) -> str:
        return f"{SYMBOLS[self.state]} {self.state}: {self.message}"

    def require(self) -> "CheckResult":
        """Return the result if the answer is right, else raise AssertionError; for grading.

        Example:
            >>> CheckResult("passed", "A positive number.").require()
            ✓ passed: A positive number.
            >>> CheckResult("not yet", "it is negative").require()
            Traceback (most recent call last):
            AssertionError: not yet: it is negative
        """
        if self.state != "passed":
            raise AssertionError(f"{self.state}: {self.message}")
        return self

    def _repr_html_(self) -> str:
        return (
            f'<div style="border-left: 4px solid {COLORS[self.state]}; padding: .3em .8em">'
            f"<b>{SYMBOLS[self.state]} {self.state}</b> &nbsp; {escape(self.message)}</div>"
        )


def exercise_check(check: Callable[..., str | CheckResult | None]) -> Callable[..., CheckResult]:
    """Decorator that turns a diagnosing function into an exercise check that never raises.

    The function receives the learner's answers and returns None if they are right, a diagnosis if
    they are wrong, or a whole :class:`CheckResult`. If it returns None, the first line of its
    docstring becomes the message. An answer of None or ``...`` is "not tried yet"; an exception in
    the learner's code becomes part of the message. Checks run in torch's default modes: a
    ``torch.no_grad()`` around them would look like a missing gradient.

    Example:
        >>> @exercise_check
        ... def positive(x):
        ...     "A positive number."
        ...     return None if x > 0 else f"{x} is not above 0"
        >>> positive(3), positive(-1), positive(...)
        (✓ passed: A positive number., ✗ not yet: -1 is not above 0, … not tried yet: replace the \
three dots by your answer and run the cell again)
    """

    functions = [p.annotation is Callable for p in inspect.signature(check).parameters.values()]

    @wraps(check)
    def run(*answers: object) -> CheckResult:
        hint = "replace the three dots by your answer and run the cell again"
        if any(answer is None or answer is ... for answer in answers):
            return CheckResult("not tried yet", hint)
        for answer, is_function in zip(answers, functions, strict=False):
            if is_function and not callable(answer):
                message = (
                    f"you pass a {type(answer).__name__}, not a function: write its name alone"
                )
                return CheckResult("not yet", message)
        try:
            with torch_defaults():
                message = check(*answers)
        except NotImplementedYet:
            message = "your function returns nothing: is a return missing?"
            return CheckResult("not tried yet", message)
        except (Exception, SystemExit, GeneratorExit) as error:
            return CheckResult("not yet", f"your answer raised {describe(error)}")
        if isinstance(message, str):
            return CheckResult("not yet", message)
        return message or CheckResult("passed", (check.__doc__ or "").strip().splitlines()[0])

    return run


def describe(error: BaseException) -> str:
    """Type and message of an exception of the learner's, whose message may be code that fails.

    Example:
        >>> describe(KeyError("mine"))
        "KeyError: 'mine'"
    """
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__


class NotImplementedYet(Exception):
    """Raised where the learner's function still is the stub and returns None or ``...``."""


def call_solution(function: Callable, *arguments: object) -> object:
    """Call the learner's function with copies of the arguments, so that it may change them.

    Raises:
        NotImplementedYet: the function returned None or ``...``.
        TypeError: it is a generator or a coroutine.

    Example:
        >>> call_solution(sum, [1, 2])
        3
    """
    result = function(*map(deepcopy, arguments))
    if result is None or result is ...:
        raise NotImplementedYet
    if inspect.isgenerator(result) or inspect.iscoroutine(result):
        result.close()
        raise TypeError("the function does not run: write def and return, not async or yield")
    return result

"""Exercises whose answer is yes or no: ask about many cases, and look at all answers."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from ..result import called


def asked(function: Callable, cases: Sequence[Sequence]) -> list[bool] | str:
    """Return the learner's answers to all cases, or why one of them is no answer.

    Args:
        function: returns True or False.
        cases: what to call it with.

    Returns:
        A bool for each case, or a complaint.

    Example:
        >>> asked(lambda number: number > 0, [(1,), (-1,)])
        [True, False]
    """
    answers = []
    for case in cases:
        answer = called(function, *case)
        if not _says_yes_or_no(answer):
            return (
                f"you return a {type(answer).__name__}: answer True or False, for instance with "
                "bool(...)"
            )
        answers.append(bool(answer))
    return answers


def _says_yes_or_no(answer: object) -> bool:
    """Tell whether an answer is a bool, of Python's, numpy's or torch's kind."""
    if isinstance(answer, torch.Tensor):
        return answer.dtype == torch.bool and answer.numel() == 1
    return isinstance(answer, bool | np.bool_)


def one_sided(answers: Sequence[bool], right: Sequence[bool]) -> str | None:
    """Say whether answers are all the same, or all turned round."""
    if len(set(answers)) == 1:
        return f"you answer {answers[0]} whatever comes"
    if all(answer != truth for answer, truth in zip(answers, right, strict=True)):
        return "every answer is turned round: exchange True and False"
    return None

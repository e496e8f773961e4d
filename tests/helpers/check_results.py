"""What tests say about verdicts, and tables of answers as their cases."""

import pytest


def wrong(verdict, diagnosis):
    assert verdict.state == "not yet", verdict
    assert diagnosis in verdict.message


def passed(verdict):
    assert verdict.state == "passed", verdict


def right_answers(table):
    """Cases (check, answer) of ``{check: answers}``."""
    cases = [(judge, answer) for judge, answers in table.items() for answer in answers]
    return pytest.mark.parametrize(("judge", "answer"), cases)


def wrong_answers(table):
    """Cases (check, diagnosis, answer) of ``{check: {diagnosis: answer}}``."""
    cases = [
        pytest.param(judge, told, answer, id=f"{judge.__name__}: {told}")
        for judge, answers in table.items()
        for told, answer in answers.items()
    ]
    return pytest.mark.parametrize(("judge", "diagnosis", "answer"), cases)

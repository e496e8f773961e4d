"""Assertions on check results, and the two tests of a table of answers."""

import pytest
import torch


def assert_wrong(result, diagnosis):
    assert result.state == "not yet", result
    assert diagnosis in result.message


def assert_passed(result, *parts):
    assert result.state == "passed", result
    assert all(part in result.message for part in parts), result


def table_tests(right, wrong):
    """Return tests of ``{check: right answers}`` and of ``{check: {diagnosis: wrong answer}}``."""
    accepted = [(check, answer) for check, answers in right.items() for answer in answers]
    diagnosed = [
        pytest.param(check, diagnosis, answer, id=f"{check.__name__}: {diagnosis}")
        for check, answers in wrong.items()
        for diagnosis, answer in answers.items()
    ]

    @pytest.mark.parametrize(("check", "answer"), accepted)
    def test_right_answers(check, answer):
        assert_passed(check(answer))

    @pytest.mark.parametrize(("check", "diagnosis", "answer"), diagnosed)
    def test_wrong_answers(check, diagnosis, answer):
        torch.manual_seed(0)  # for answers that draw at random
        assert_wrong(check(answer), diagnosis)

    return test_right_answers, test_wrong_answers

"""Behavior that all checks share: stubs, errors, and answers that change their input."""

from unittest.mock import Mock

import numpy as np
import pytest
import torch
from check_results import assert_wrong

from ordlib.course.checks import numclip, rankformer, ranking_adapter, start_here, vanilla_clip
from ordlib.course.checks.result import CheckResult, call_solution

CHECKS = [
    start_here.off_by_one, vanilla_clip.median_reading, numclip.ranking_weights,
    numclip.broken_regressor, numclip.negative_logits, rankformer.blend, rankformer.sign,
    rankformer.shuffled, rankformer.lora_parameters, ranking_adapter.shortcut,
    ranking_adapter.antisymmetry, ranking_adapter.ties, ranking_adapter.rank_batch,
    lambda answer: rankformer.pull_and_push(answer, answer),
]  # fmt: skip


@pytest.mark.parametrize("exercise", CHECKS)
def test_exercise_check_reports_stubs_and_exceptions(exercise):
    for stub in (lambda *inputs: None, lambda *inputs: ..., ...):
        assert exercise(stub).state == "not tried yet"

    assert_wrong(exercise(Mock(side_effect=KeyError("mine"))), "raised KeyError: 'mine'")


@pytest.mark.parametrize(
    ("exercise", "answers"),
    [
        (start_here.two_predictors, (np.arange(3), ..., ...)),
        (start_here.own_task, (...,)),
        (vanilla_clip.own_prompts, (..., None, None)),
        (vanilla_clip.own_words, (..., "clip")),
        (numclip.skewed_bins, (..., [1])),
    ],
)
def test_exercise_check_reports_missing_values(exercise, answers):
    assert exercise(*answers).state == "not tried yet"


def test_check_result_escapes_html():
    assert "<b>✗ not yet</b> &nbsp; &lt;b&gt;" in CheckResult("not yet", "<b>")._repr_html_()


def test_call_solution_copies_its_arguments():
    arguments = (np.ones(2), torch.ones(2))
    call_solution(lambda array, tensor: (array.fill(0), tensor.zero_()), *arguments)
    assert all(argument.all() for argument in arguments)

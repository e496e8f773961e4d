"""What all checks have in common: stubs, errors, and answers that change what they are given."""

import numpy as np
import pytest
import torch
from check_results import wrong

from ordlib.course.checks import numclip, rankformer, ranking_adapter, start_here, vanilla_clip
from ordlib.course.checks.result import CheckResult, called

CHECKS = [
    start_here.off_by_one, vanilla_clip.median_reading, numclip.ranking_weights,
    numclip.broken_regressor, numclip.negative_logits, rankformer.blend, rankformer.sign,
    rankformer.shuffled, rankformer.lora_parameters, ranking_adapter.shortcut,
    ranking_adapter.antisymmetry, ranking_adapter.ties, ranking_adapter.rank_batch,
    lambda answer: rankformer.pull_and_push(answer, answer),
]  # fmt: skip


@pytest.mark.parametrize("judge", CHECKS)
def test_stubs_are_not_started_and_errors_are_quoted(judge):
    for stub in (lambda *given: None, lambda *given: ..., ...):
        assert judge(stub).state == "not started"

    def fails(*given):
        raise KeyError("mine")

    wrong(judge(fails), "raised KeyError: 'mine'")


def test_stubs_of_other_kinds_are_not_started():
    assert start_here.two_predictors(np.arange(3), ..., ...).state == "not started"
    assert start_here.own_task(...).state == "not started"
    assert vanilla_clip.own_prompts(..., None, None).state == "not started"
    assert vanilla_clip.own_words(..., "clip").state == "not started"
    assert numclip.skewed_bins(..., [1]).state == "not started"


def test_verdict_is_escaped_in_html():
    assert "<b>✗ not yet</b> &nbsp; &lt;b&gt;" in CheckResult("not yet", "<b>")._repr_html_()


def test_answers_cannot_change_what_they_are_given():
    given = (np.ones(2), torch.ones(2))
    called(lambda array, tensor: (array.fill(0), tensor.zero_()), *given)
    assert all(each.all() for each in given)

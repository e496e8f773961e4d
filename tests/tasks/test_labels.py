import re

import numpy as np
import pandas as pd
import pytest

from ordlib.tasks import OrdinalTask, load_task

COUNTING, DATING, QUALITY = map(load_task, ("counting", "dating", "quality"))
MONTHS = OrdinalTask(
    name="months", unit="months", values=("none", "6", "12"), positions=(0, 6, 12),
    rank_names=("nothing", "half a year", "a year"),
)  # fmt: skip


@pytest.mark.parametrize(
    "label", ["7", 7, 7.0, "7.0", " 7 ", "seven", "SEVEN", np.int64(7), np.float32(7), np.str_("7")]
)
def test_a_count_in_any_form(label):
    level = COUNTING.parse_label(label)
    assert level == 7.0
    assert type(level) is float


@pytest.mark.parametrize(
    ("task", "labels", "level"),
    [
        (DATING, ["1950s", "1950S", " 1950s", 2, "2", 2.0], 2.0),
        (QUALITY, ["3.27"], 3.27),
        (QUALITY, ["Good"], 4.0),
        (MONTHS, ["none"], 0.0),
        (MONTHS, ["6"], 6.0),
        (MONTHS, ["a year"], 12.0),
    ],
)
def test_names_in_any_form_and_labels_between_ranks(task, labels, level):
    assert {task.parse_label(label) for label in labels} == {level}


@pytest.mark.parametrize(
    "task", [load_task(name) for name in ("counting", "dating", "ageing", "adience")]
)
def test_every_rank_is_read_back(task):
    for rank, level in enumerate(task.rank_values):
        assert (
            task.parse_label(task.rank_label(rank))
            == task.parse_label(task.rank_names[rank])
            == level
        )


def test_a_name_wins_over_the_word_of_another_rank():
    task = OrdinalTask(name="odd", unit="steps", values=("low", "high"), rank_names=("high", "low"))
    assert (task.parse_label("low"), task.parse_label("high")) == (0.0, 1.0)


MISSING = [None, float("nan"), np.nan, "", "  ", "NaN", "nan", pd.NA, pd.NaT, np.float32("nan")]


@pytest.mark.parametrize("label", MISSING, ids=repr)
@pytest.mark.parametrize("task", [COUNTING, DATING], ids=["numbers", "names"])
def test_missing_labels_are_refused_with_their_row(task, label):
    with pytest.raises(ValueError, match=r"^labels.csv, row 3: label .* is missing"):
        task.parse_label(label, where="labels.csv, row 3")


OUTSIDE = [0, 21, "21", -1, 20.001, float("inf")]
NO_NUMBERS = ["dozen", "7 cats", True, "1,5", [7], np.True_]
NO_NAMES = ["1980s", 5, 1.5, "x", False, "inf"]


@pytest.mark.parametrize(
    ("task", "label", "says"),
    [
        *((COUNTING, label, "is outside .*'counting' takes 1 to 20") for label in OUTSIDE),
        *((COUNTING, label, "is no number.*'counting' takes 1 to 20") for label in NO_NUMBERS),
        *((DATING, label, "is no rank .*'dating'.* '1930s', '1") for label in NO_NAMES),
        # Missing even where a rank is called none.
        (MONTHS, None, "is missing"),
    ],
)
def test_labels_that_are_no_rank_are_refused_with_what_there_is(task, label, says):
    with pytest.raises(ValueError, match=rf"^label {re.escape(repr(label))} {says}"):
        task.parse_label(label)

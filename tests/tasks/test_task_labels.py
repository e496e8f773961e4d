import numpy as np
import pandas as pd
import pytest

from ordlib.tasks import OrdinalTask, load_task

COUNTING, DATING, QUALITY = map(load_task, ("counting", "dating", "quality"))
MONTHS = OrdinalTask(
    name="months", unit="months", values=("none", "6", "12"), positions=(0, 6, 12),
    words=("nothing", "half a year", "a year"),
)  # fmt: skip


@pytest.mark.parametrize(
    "label", ["7", 7, 7.0, "7.0", " 7 ", "seven", "SEVEN", np.int64(7), np.float32(7), np.str_("7")]
)
def test_a_count_in_any_form(label):
    level = COUNTING.parse(label)
    assert level == 7.0
    assert type(level) is float


@pytest.mark.parametrize("label", ["1950s", "1950S", " 1950s", 2, "2", 2.0])
def test_a_name_in_any_form(label):
    assert DATING.parse(label) == 2.0


def test_labels_between_ranks():
    assert QUALITY.parse("3.27") == 3.27
    assert QUALITY.parse("Good") == 4.0


def test_names_that_look_like_numbers_or_nothing():
    assert [MONTHS.parse(label) for label in ("none", "6", "a year")] == [0.0, 6.0, 12.0]


@pytest.mark.parametrize(
    "task", [load_task(name) for name in ("counting", "dating", "ageing", "adience")]
)
def test_every_rank_is_read_back(task):
    for rank, level in enumerate(task.levels):
        assert task.parse(task.label_of(rank)) == task.parse(task.words[rank]) == level


def test_a_name_wins_over_the_word_of_another_rank():
    task = OrdinalTask(name="odd", unit="steps", values=("low", "high"), words=("high", "low"))
    assert (task.parse("low"), task.parse("high")) == (0.0, 1.0)


MISSING = [None, float("nan"), np.nan, "", "  ", "NaN", "nan", pd.NA, pd.NaT, np.float32("nan")]


@pytest.mark.parametrize("label", MISSING, ids=repr)
@pytest.mark.parametrize("task", [COUNTING, DATING], ids=["numbers", "names"])
def test_missing_labels_are_refused_with_their_row(task, label):
    with pytest.raises(ValueError, match=r"^labels.csv, row 3: label .* is missing"):
        task.parse(label, where="labels.csv, row 3")


def test_none_is_missing_even_where_a_rank_is_called_none():
    with pytest.raises(ValueError, match="missing"):
        MONTHS.parse(None)


@pytest.mark.parametrize("label", [0, 21, "21", -1, 20.001, float("inf")], ids=repr)
def test_labels_out_of_range_are_refused(label):
    with pytest.raises(ValueError, match=r"^f.csv, row 9: label .* is outside .* 1 to 20.*values"):
        COUNTING.parse(label, where="f.csv, row 9")


@pytest.mark.parametrize("label", ["dozen", "7 cats", True, "1,5", [7], np.True_], ids=repr)
def test_labels_that_are_no_number_are_refused(label):
    with pytest.raises(ValueError, match="is no number; task 'counting' takes 1 to 20"):
        COUNTING.parse(label)


@pytest.mark.parametrize("label", ["1980s", 5, 1.5, "x", False, "inf"], ids=repr)
def test_unknown_names_are_refused_with_those_there_are(label):
    with pytest.raises(ValueError, match="no rank of task 'dating'; choose one of '1930s', '1"):
        DATING.parse(label)


def test_without_a_place_the_message_stands_alone():
    with pytest.raises(ValueError, match=r"^label 99 is outside"):
        COUNTING.parse(99)

import re

import numpy as np
import pandas as pd
import pytest

from ordlib.tasks import OrdinalTask, load_task

NAMES = {
    "name": "ripeness",
    "unit": "steps",
    "values": ("green", "yellow", "brown"),
    "templates": ("a {rank} {fruit}",),
    "placeholders": {"fruit": ("banana", "pear")},
}
NUMBERS = {"name": "stars", "unit": "stars", "values": (1, 2, 3, 4, 5)}
COARSE = {**NUMBERS, "bin_edges": (1, 3), "bin_phrases": ("few", "many")}
NAN = float("nan")
# A valid definition, the field to replace, its invalid value, and part of the message.
INVALID = [
    (NAMES, "name", " ", "non-empty"),
    (NAMES, "unit", "", "non-empty"),
    (NUMBERS, "values", (3,), "1 rank(s)"),
    (NAMES, "values", "green", "tuple or list"),
    (NUMBERS, "values", {1, 2}, "in order"),
    (NUMBERS, "values", (1, 3, 2), "2 follows 3"),
    (NUMBERS, "values", (1, 2, 2), "2 twice"),
    (NUMBERS, "values", (1, NAN, 2), "values[1] = nan"),
    (NUMBERS, "values", (1, None), "values[1] = None"),
    (NUMBERS, "values", (False, True), "values[0] = False"),
    (NAMES, "values", ("low", 2, 3), "mixes"),
    (NAMES, "values", ("green", "Green", "brown"), "'Green' twice"),
    (NUMBERS, "positions", (1, 2, 3, 4, 5), "only for named ranks"),
    (NAMES, "positions", (0, 1), "2 given for 3"),
    (NAMES, "positions", (0, 2, 1), "1 follows 2"),
    (NUMBERS, "rank_names", ("a", "b"), "2 given for 5 ranks"),
    (NAMES, "rank_names", ("a", "b", 3), "rank_names[2] = 3"),
    (NUMBERS, "templates", (), "at least one"),
    (NUMBERS, "templates", "a {rank}", "(entry,)"),
    (NUMBERS, "templates", ("{rank}", "a photo"), "templates[1] = 'a photo'"),
    (NUMBERS, "templates", ("{rank} {colour}",), "templates[0] = '{rank} {colour}'"),
    (NUMBERS, "templates", ("a {rank",), "templates[0] = 'a {rank'"),
    (NUMBERS, "templates", ("{} {rank}",), "templates[0] = '{} {rank}'"),
    (NUMBERS, "templates", ("{rank:>3}",), "templates[0] = '{rank:>3}'"),
    (NUMBERS, "templates", (3,), "templates[0] = 3"),
    (NAMES, "bin_templates", ("a {fruit}",), "bin_templates[0] = 'a {fruit}'"),
    (NAMES, "placeholders", {"colour": ("red",), "fruit": ("pear",)}, "no template has {colour}"),
    (NAMES, "placeholders", {"fruit": ()}, "placeholders['fruit'] = ()"),
    (NAMES, "placeholders", {"fruit": ("pear", "pear")}, "placeholders['fruit'] = ('pear', "),
    (NAMES, "placeholders", {"template": ("pear",)}, "rename"),
    (NAMES, "placeholders", ("pear",), "mapping"),
    (COARSE, "bin_edges", (3, 1), "1 follows 3"),
    (COARSE, "bin_edges", (2, 3), "lower the first edge"),
    (COARSE, "bin_edges", (1, 6), "above the highest rank, 5"),
    (COARSE, "bin_edges", (1,), "2 or more"),
    (COARSE, "bin_edges", (0, 1, 2, 3, 4, 5), "6 bins for 5 ranks"),
    (COARSE, "bin_phrases", None, "2 bins"),
    (COARSE, "bin_phrases", ("few", "some", "many"), "3 given for 2 bins"),
    (NUMBERS, "bin_phrases", ("few", "many"), "2 given for 5"),
    (COARSE, "upper_edge", 4, "highest rank, 5"),
    (COARSE, "upper_edge", NAN, "finite"),
    (COARSE, "upper_edge", "5", "must be a number"),
    (NAMES, "decode", "median", "expectation, argmax"),
]


@pytest.mark.parametrize(
    ("valid", "field", "given", "message"), INVALID, ids=[f"{c[1]}-{c[2]!r:.30}" for c in INVALID]
)
def test_validate_error_names_field_value_and_remedy(valid, field, given, message):
    definition = {**valid, field: given}
    with pytest.raises(ValueError, match=r"^OrdinalTask") as caught:
        OrdinalTask(**definition)
    # An entry of the field is named by its index, with its own value.
    start = f"{field}[" if message.startswith(f"{field}[") else f"{field} = {given!r}: "
    assert str(caught.value).startswith(f"OrdinalTask {definition['name']!r}: {start}")
    assert message in str(caught.value)


def test_validate_accepts_valid_definitions():
    for definition in (NAMES, NUMBERS, COARSE):
        OrdinalTask(**definition)


def test_validate_shortens_long_values_in_messages():
    with pytest.raises(ValueError, match="999 twice") as caught:
        OrdinalTask(**{**NUMBERS, "values": [*range(1000), 999]})
    assert len(str(caught.value)) < 200


def test_validate_converts_sequences_to_tuples_of_python_numbers():
    task = OrdinalTask(
        name="stars", unit="stars", values=np.arange(1, 4), rank_names=["one", "two", "three"],
        bin_edges=np.array([0.5, 2.5]), bin_phrases=["few", "many"], placeholders={"x": ["y"]},
        templates=["{rank} {x}"],
    )  # fmt: skip
    assert task.values == (1, 2, 3)
    assert all(type(value) is int for value in task.values)
    assert all(type(edge) is float for edge in task.bin_edges)
    assert (task.rank_names, task.placeholders) == (("one", "two", "three"), {"x": ("y",)})


COUNTING, DATING, QUALITY = map(load_task, ("counting", "dating", "quality"))
MONTHS = OrdinalTask(
    name="months", unit="months", values=("none", "6", "12"), positions=(0, 6, 12),
    rank_names=("nothing", "half a year", "a year"),
)  # fmt: skip
SWAPPED = OrdinalTask(name="x", unit="steps", values=("low", "high"), rank_names=("high", "low"))
DIGITS = OrdinalTask(name="grades", unit="grades", values=("1", "2", "3", "4", "5"))
TOAST = OrdinalTask(
    name="toast", unit="minutes", values=("white", "golden", "burnt"), positions=(0, 3, 7)
)
ACCENTED = OrdinalTask(name="x", unit="steps", values=("tea", "caf\u00e9"))
SEVENS = ["7", 7, 7.0, "7.0", " 7 ", "seven", "SEVEN", np.int64(7), np.float32(7), np.str_("7")]


@pytest.mark.parametrize(
    ("task", "labels", "value"),
    [
        (COUNTING, SEVENS, 7.0),
        (DATING, ["1950s", "1950S", " 1950s"], 2.0),
        (DIGITS, ["1", 1, 1.0, "1.0", np.float64(1)], 0.0),
        (DIGITS, ["5", 5.0], 4.0),
        (MONTHS, [12, "12.0"], 12.0),
        (TOAST, [3, "3", "3.0", "golden"], 3.0),
        (ACCENTED, ["caf\u00e9", "CAFE\u0301"], 1.0),
        (QUALITY, ["3.27"], 3.27),
        (QUALITY, ["Good"], 4.0),
        (MONTHS, ["none"], 0.0),
        (MONTHS, ["6"], 6.0),
        (MONTHS, ["a year"], 12.0),
        # The value takes precedence over the name of another rank.
        (SWAPPED, ["low"], 0.0),
    ],
)
def test_parse_label_accepts_numbers_and_names(task, labels, value):
    parsed = [task.parse_label(label) for label in labels]
    assert {*map(type, parsed)} == {float}
    assert set(parsed) == {value}


@pytest.mark.parametrize("name", ["counting", "dating", "ageing", "adience"])
def test_parse_label_inverts_rank_label_and_rank_names(name):
    task = load_task(name)
    for rank, value in enumerate(task.rank_values):
        assert task.parse_label(task.rank_label(rank)) == value
        assert task.parse_label(task.rank_names[rank]) == value


MISSING = [None, float("nan"), "", "  ", "NaN", "nan", pd.NA, pd.NaT, np.float32("nan")]


@pytest.mark.parametrize("label", MISSING, ids=repr)
@pytest.mark.parametrize("task", [COUNTING, DATING], ids=["numbers", "names"])
def test_parse_label_missing_names_row(task, label):
    with pytest.raises(ValueError, match=r"^labels.csv, row 3: label .* is missing"):
        task.parse_label(label, where="labels.csv, row 3")


OUTSIDE = [0, 21, "21", -1, 20.001, float("inf")]
NOT_NUMBERS = ["dozen", "7 cats", True, "1,5", [7], np.True_]
NOT_NAMES = ["1980s", 0, 2, "2", 5, 1.5, "x", False, "inf"]


@pytest.mark.parametrize(
    ("task", "label", "message"),
    [
        *((COUNTING, label, "is outside .*'counting' takes 1 to 20") for label in OUTSIDE),
        *((COUNTING, label, "is not a number.*'counting' takes 1 to") for label in NOT_NUMBERS),
        *((DATING, label, "is no rank .*'dating'.* '1930s', '1") for label in NOT_NAMES),
        *((DIGITS, label, "is no rank .* '1', '2'.* set first_label") for label in (0, 6, "1.5")),
        (TOAST, 2, "is no rank .* 'white', 'golden'"),
        (COUNTING, "1_0", "is not a number"),
        # Missing even where a rank is called none.
        (MONTHS, None, "is missing"),
    ],
)
def test_parse_label_invalid_lists_valid_labels(task, label, message):
    with pytest.raises(ValueError, match=rf"^label {re.escape(repr(label))} {message}"):
        task.parse_label(label)


@pytest.mark.parametrize(("first_label", "value"), [(0, 3.0), (1, 2.0)])
def test_parse_label_counts_ranks_from_first_label(first_label, value):
    aesthetics = load_task("aesthetics")
    assert aesthetics.parse_label("3.0", first_label=first_label) == value
    assert aesthetics.parse_label("ordinary", first_label=first_label) == 2.0
    for label in (first_label - 1, first_label + 5, 1.5):
        with pytest.raises(ValueError, match="is no rank of task 'aesthetics'; choose one of"):
            aesthetics.parse_label(label, first_label=first_label)

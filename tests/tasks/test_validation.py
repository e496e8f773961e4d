"""Wrong definitions fail at construction and say which field, which value, and what to do."""

import numpy as np
import pytest

from ordlib.tasks import OrdinalTask

RIGHT = {
    "name": "ripeness",
    "unit": "steps",
    "values": ("green", "yellow", "brown"),
    "templates": ("a {rank} {fruit}",),
    "placeholders": {"fruit": ("banana", "pear")},
}
NUMBERS = {"name": "stars", "unit": "stars", "values": (1, 2, 3, 4, 5)}
COARSE = {**NUMBERS, "bin_edges": (1, 3), "bin_phrases": ("few", "many")}
NAN, INF = float("nan"), float("inf")
# A right definition, the field that is made wrong, what it is given, and what the error says.
WRONG = [
    (RIGHT, "name", " ", "not empty"),
    (RIGHT, "name", 3, "must be a text"),
    (RIGHT, "unit", "", "not empty"),
    (NUMBERS, "values", (), "at least 2"),
    (NUMBERS, "values", (3,), "1 rank(s)"),
    (RIGHT, "values", "green", "tuple or list"),
    (NUMBERS, "values", 5, "tuple or list"),
    (NUMBERS, "values", {1, 2}, "in order"),
    (NUMBERS, "values", (1, 3, 2), "2 follows 3"),
    (NUMBERS, "values", (1, 2, 2), "2 twice"),
    (NUMBERS, "values", (1, NAN, 2), "values[1] = nan"),
    (NUMBERS, "values", (1, INF), "values[1] = inf"),
    (NUMBERS, "values", (1, None), "values[1] = None"),
    (NUMBERS, "values", (False, True), "values[0] = False"),
    (RIGHT, "values", ("low", 2, 3), "mixes"),
    (RIGHT, "values", ("green", "Green", "brown"), "'Green' twice"),
    (RIGHT, "values", ("green", "", "brown"), "values[1] = ''"),
    (NUMBERS, "positions", (1, 2, 3, 4, 5), "only for named ranks"),
    (RIGHT, "positions", (0, 1), "2 given for 3"),
    (RIGHT, "positions", (0, 2, 1), "1 follows 2"),
    (RIGHT, "positions", (0, 1, NAN), "positions[2] = nan"),
    (NUMBERS, "rank_names", ("a", "b"), "2 given for 5 ranks"),
    (RIGHT, "rank_names", ("a", "b", "c", "d"), "4 given"),
    (RIGHT, "rank_names", ("a", "b", "A"), "'A' twice"),
    (RIGHT, "rank_names", ("a", "b", 3), "rank_names[2] = 3"),
    (RIGHT, "rank_names", "abc", "tuple or list"),
    (NUMBERS, "templates", (), "at least one"),
    (NUMBERS, "templates", "a {rank}", "(entry,)"),
    (NUMBERS, "templates", ("{rank}", "a photo"), "templates[1] = 'a photo'"),
    (NUMBERS, "templates", ("{rank} {colour}",), "templates[0] = '{rank} {colour}'"),
    (NUMBERS, "templates", ("a {rank",), "templates[0] = 'a {rank'"),
    (NUMBERS, "templates", ("{} {rank}",), "templates[0] = '{} {rank}'"),
    (NUMBERS, "templates", ("{rank:>3}",), "templates[0] = '{rank:>3}'"),
    (NUMBERS, "templates", (3,), "templates[0] = 3"),
    (RIGHT, "bin_templates", ("a {fruit}",), "bin_templates[0] = 'a {fruit}'"),
    (RIGHT, "placeholders", {"colour": ("red",), "fruit": ("pear",)}, "no template has {colour}"),
    (RIGHT, "placeholders", {"fruit": ()}, "placeholders['fruit'] = ()"),
    (RIGHT, "placeholders", {"fruit": "pear"}, "placeholders['fruit'] = 'pear'"),
    (
        RIGHT,
        "placeholders",
        {"fruit": ("pear", "pear")},
        "placeholders['fruit'] = ('pear', 'pear')",
    ),
    (RIGHT, "placeholders", {"template": ("pear",)}, "another word"),
    (RIGHT, "placeholders", ("pear",), "mapping"),
    (COARSE, "bin_edges", (3, 1), "1 follows 3"),
    (COARSE, "bin_edges", (1, 1), "1 twice"),
    (COARSE, "bin_edges", (1, NAN), "bin_edges[1] = nan"),
    (COARSE, "bin_edges", (2, 3), "lower the first edge"),
    (COARSE, "bin_edges", (1, 6), "above the highest rank, 5"),
    (COARSE, "bin_edges", (1,), "2 or more"),
    (COARSE, "bin_edges", (0, 1, 2, 3, 4, 5), "6 bins for 5 ranks"),
    (COARSE, "bin_phrases", None, "2 bins"),
    (COARSE, "bin_phrases", ("few", "some", "many"), "3 given for 2 bins"),
    (NUMBERS, "bin_phrases", ("few", "many"), "2 given for 5"),
    (COARSE, "bin_phrases", ("few", "few"), "'few' twice"),
    (COARSE, "upper_edge", 4, "highest rank, 5"),
    (COARSE, "upper_edge", NAN, "finite"),
    (COARSE, "upper_edge", "5", "must be a number"),
    (RIGHT, "decode", "median", "expectation, argmax"),
]


@pytest.mark.parametrize(("right", "field", "given", "says"), WRONG)
def test_a_wrong_definition_names_field_value_and_way_out(right, field, given, says):
    definition = {**right, field: given}
    with pytest.raises(ValueError, match=r"^OrdinalTask") as caught:
        OrdinalTask(**definition)
    message = str(caught.value)
    # An entry of the field is named by its index, with its own value.
    place = f"{field}[" if says.startswith(f"{field}[") else f"{field} = {given!r}: "
    assert message.startswith(f"OrdinalTask {definition['name']!r}: {place}")
    assert says in message


@pytest.mark.parametrize("definition", [RIGHT, NUMBERS, COARSE])
def test_the_definitions_that_were_broken_are_right(definition):
    OrdinalTask(**definition)


def test_long_values_are_shortened_in_messages():
    with pytest.raises(ValueError, match="999 twice") as caught:
        OrdinalTask(**{**NUMBERS, "values": [*range(1000), 999]})
    assert len(str(caught.value)) < 200


def test_sequences_of_any_kind_become_tuples_of_plain_numbers():
    task = OrdinalTask(
        name="stars", unit="stars", values=np.arange(1, 4), rank_names=["one", "two", "three"],
        bin_edges=np.array([0.5, 2.5]), bin_phrases=["few", "many"], placeholders={"x": ["y"]},
        templates=["{rank} {x}"],
    )  # fmt: skip
    assert task.values == (1, 2, 3)
    assert all(type(value) is int for value in task.values)
    assert all(type(edge) is float for edge in task.bin_edges)
    assert (task.rank_names, task.placeholders) == (("one", "two", "three"), {"x": ("y",)})


def test_bins_may_begin_below_the_lowest_rank():
    task = OrdinalTask(**{**COARSE, "bin_edges": (0, 3)})
    assert task.bin_index(task.rank_values).tolist() == [0, 0, 1, 1, 1]

"""Wrong definitions fail at construction and say which field, which value, and what to do."""

import numpy as np
import pytest

from ordlib.tasks import OrdinalTask

RIGHT = {
    "name": "ripeness",
    "unit": "steps",
    "values": ("green", "yellow", "brown"),
    "templates": ("a {rank} {fruit}",),
    "fillers": {"fruit": ("banana", "pear")},
}
NUMBERS = {"name": "stars", "unit": "stars", "values": (1, 2, 3, 4, 5)}
COARSE = {**NUMBERS, "bin_edges": (1, 3), "bin_phrases": ("few", "many")}
NAN, INF = float("nan"), float("inf")


def but(right, **changes):
    return {**right, **changes}


WRONG = {
    "name missing": (but(RIGHT, name=" "), "name = ' '", "not empty"),
    "name a number": (but(RIGHT, name=3), "name = 3", "must be a text"),
    "unit empty": (but(RIGHT, unit=""), "unit = ''", "not empty"),
    "no ranks": (but(NUMBERS, values=()), "values = ()", "at least 2"),
    "one rank": (but(NUMBERS, values=(3,)), "values = (3,)", "1 rank(s)", "at least 2"),
    "one word as values": (but(RIGHT, values="green"), "values = 'green'", "tuple or list"),
    "values a number": (but(NUMBERS, values=5), "values = 5", "tuple or list"),
    "values without order": (but(NUMBERS, values={1, 2}), "values = {1, 2}", "in order"),
    "values decrease": (
        but(NUMBERS, values=(1, 3, 2)),
        "values = (1, 3, 2)", "2 follows 3", "lowest to highest",
    ),
    "value twice": (but(NUMBERS, values=(1, 2, 2)), "values = (1, 2, 2)", "2 twice"),
    "value NaN": (but(NUMBERS, values=(1, NAN, 2)), "values[1] = nan", "finite"),
    "value infinite": (but(NUMBERS, values=(1, INF)), "values[1] = inf", "finite"),
    "value None": (but(NUMBERS, values=(1, None)), "values[1] = None", "must be a number"),
    "value a truth": (but(NUMBERS, values=(False, True)), "values[0] = False", "a number"),
    "kinds mixed": (but(RIGHT, values=("low", 2, 3)), "values = ('low', 2, 3)", "mixes"),
    "name twice": (
        but(RIGHT, values=("green", "Green", "brown")),
        "values = ('green', 'Green', 'brown')", "'Green' twice", "case",
    ),
    "name empty": (but(RIGHT, values=("green", "", "brown")), "values[1] = ''", "not empty"),
    "positions of numbers": (
        but(NUMBERS, positions=(1, 2, 3, 4, 5)),
        "positions = (1, 2, 3, 4, 5)", "only for named ranks", "drop it",
    ),
    "positions too few": (but(RIGHT, positions=(0, 1)), "positions = (0, 1)", "2 given for 3"),
    "positions decrease": (but(RIGHT, positions=(0, 2, 1)), "positions = (0, 2, 1)", "1 follows 2"),
    "position NaN": (but(RIGHT, positions=(0, 1, NAN)), "positions[2] = nan", "finite"),
    "words too few": (but(NUMBERS, words=("a", "b")), "words = ('a', 'b')", "2 given for 5 ranks"),
    "words too many": (but(RIGHT, words=tuple("abcd")), "words = ('a', 'b', 'c', 'd')", "4 given"),
    "word twice": (but(RIGHT, words=("a", "b", "A")), "words = ('a', 'b', 'A')", "'A' twice"),
    "word a number": (but(RIGHT, words=("a", "b", 3)), "words[2] = 3", "must be a text"),
    "words one text": (but(RIGHT, words="abc"), "words = 'abc'", "tuple or list"),
    "no templates": (but(NUMBERS, templates=()), "templates = ()", "at least one"),
    "templates one text": (
        but(NUMBERS, templates="a {rank}"),
        "templates = 'a {rank}'", "(entry,)",
    ),
    "template without rank": (
        but(NUMBERS, templates=("{rank}", "a photo")),
        "templates[1] = 'a photo'", "has no {rank}",
    ),
    "template with unknown": (
        but(NUMBERS, templates=("{rank} {colour}",)),
        "templates[0] = '{rank} {colour}'", "{colour}", "fillers",
    ),
    "template unclosed": (
        but(NUMBERS, templates=("a {rank",)),
        "templates[0] = 'a {rank'", "braces",
    ),
    "template nameless": (but(NUMBERS, templates=("{} {rank}",)), "templates[0] =", "{}"),
    "template with format": (
        but(NUMBERS, templates=("{rank:>3}",)),
        "templates[0] = '{rank:>3}'", "':'", "plain",
    ),
    "template a number": (but(NUMBERS, templates=(3,)), "templates[0] = 3", "must be a text"),
    "bin template without rank": (
        but(RIGHT, bin_templates=("a {fruit}",)),
        "bin_templates[0] = 'a {fruit}'", "has no {rank}",
    ),
    "filler never used": (
        but(RIGHT, fillers={"fruit": ("pear",), "colour": ("red",)}),
        "fillers = {", "'colour': ('red',)", "no template has {colour}", "drop it",
    ),
    "filler without words": (but(RIGHT, fillers={"fruit": ()}), "fillers['fruit'] = ()", "empty"),
    "filler one text": (
        but(RIGHT, fillers={"fruit": "pear"}),
        "fillers['fruit'] = 'pear'", "(entry,)",
    ),
    "filler word twice": (
        but(RIGHT, fillers={"fruit": ("pear", "pear")}),
        "fillers['fruit'] = ('pear', 'pear')", "twice",
    ),
    "filler with a reserved name": (
        but(RIGHT, fillers={"template": ("pear",)}),
        "fillers = {'template': ('pear',)}", "another word",
    ),
    "fillers no mapping": (but(RIGHT, fillers=("pear",)), "fillers = ('pear',)", "mapping"),
    "edges decrease": (but(COARSE, bin_edges=(3, 1)), "bin_edges = (3, 1)", "1 follows 3"),
    "edge twice": (but(COARSE, bin_edges=(1, 1)), "bin_edges = (1, 1)", "1 twice"),
    "edge NaN": (but(COARSE, bin_edges=(1, NAN)), "bin_edges[1] = nan", "finite"),
    "first edge above the lowest rank": (
        but(COARSE, bin_edges=(2, 3)),
        "bin_edges = (2, 3)", "lowest rank, 1", "lower the first edge",
    ),
    "last edge above the highest rank": (
        but(COARSE, bin_edges=(1, 6)),
        "bin_edges = (1, 6)", "above the highest rank, 5",
    ),
    "one bin": (but(COARSE, bin_edges=(1,), bin_phrases=("all",)), "bin_edges = (1,)", "2 or more"),
    "more bins than ranks": (
        but(COARSE, bin_edges=(0, 1, 2, 3, 4, 5), bin_phrases=tuple("abcdef")),
        "bin_edges = (0, 1, 2, 3, 4, 5)", "6 bins for 5 ranks", "fewer",
    ),
    "edges without phrases": (but(COARSE, bin_phrases=None), "bin_phrases = None", "2 bins"),
    "phrases too many": (
        but(COARSE, bin_phrases=("few", "some", "many")),
        "bin_phrases = ('few', 'some', 'many')", "3 given for 2 bins",
    ),
    "phrases without edges": (
        but(NUMBERS, bin_phrases=("few", "many")),
        "bin_phrases = ('few', 'many')", "2 given for 5",
    ),
    "phrase twice": (but(COARSE, bin_phrases=("few", "few")), "bin_phrases =", "'few' twice"),
    "maximum below the highest rank": (but(COARSE, maximum=4), "maximum = 4", "highest rank, 5"),
    "maximum NaN": (but(COARSE, maximum=NAN), "maximum = nan", "finite"),
    "maximum a text": (but(COARSE, maximum="5"), "maximum = '5'", "must be a number"),
    "reading unknown": (but(RIGHT, reading="median"), "reading = 'median'", "'argmax'"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_definition_names_field_value_and_way_out(case):
    definition, *parts = WRONG[case]
    with pytest.raises(ValueError, match=r"^OrdinalTask") as caught:
        OrdinalTask(**definition)
    message = str(caught.value)
    assert repr(definition["name"]) in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize("definition", [RIGHT, NUMBERS, COARSE])
def test_the_definitions_that_were_broken_are_right(definition):
    OrdinalTask(**definition)


def test_long_values_are_shortened_in_messages():
    with pytest.raises(ValueError, match="twice") as caught:
        OrdinalTask(**but(NUMBERS, values=[*range(1000), 999]))
    assert len(str(caught.value)) < 200


def test_sequences_of_any_kind_become_tuples_of_plain_numbers():
    task = OrdinalTask(
        name="stars", unit="stars", values=np.arange(1, 4), words=["one", "two", "three"],
        bin_edges=np.array([0.5, 2.5]), bin_phrases=["few", "many"], fillers={"x": ["y"]},
        templates=["{rank} {x}"],
    )  # fmt: skip
    assert task.values == (1, 2, 3)
    assert all(type(value) is int for value in task.values)
    assert all(type(edge) is float for edge in task.bin_edges)
    assert (task.words, task.fillers) == (("one", "two", "three"), {"x": ("y",)})


def test_bins_may_begin_below_the_lowest_rank():
    task = OrdinalTask(**but(COARSE, bin_edges=(0, 3)))
    assert task.bin_of(task.levels).tolist() == [0, 0, 1, 1, 1]

"""Hostile and careless task definitions: a clear error, at once."""

import itertools
import os
import time
from decimal import Decimal

import numpy as np
import pytest

from ordlib import NumCLIP, OrdinalTask, ZeroShot, load_clip
from ordlib.inference.rank import match_task

NAMES = {"name": "ripeness", "unit": "steps", "values": ("green", "yellow", "brown")}
NUMBERS = {"name": "stars", "unit": "stars", "values": (1, 2, 3, 4, 5)}
COARSE = {**NUMBERS, "bin_edges": (1, 3), "bin_phrases": ("few", "many")}
FRUIT = {**NAMES, "templates": ("a {rank} {fruit}",), "placeholders": {"fruit": ("pear",)}}
ZWSP, BOM, WORD_JOINER, SOFT_HYPHEN, RTL = "\u200b", "\ufeff", "\u2060", "\u00ad", "\u202e"
NAN, INF = float("nan"), float("inf")


# A valid definition, the field to replace, its value, and part of the message.
CASES = [
    *((NAMES, "values", ("low", twin, "high"), "twice") for twin in (
        "low ", "\tLOW", "Low", "LoW\u00a0", f"low{ZWSP}",
        f"{BOM}low", f"l{WORD_JOINER}ow", f"lo{SOFT_HYPHEN}w", "l\u200dow")),
    (NAMES, "values", ("caf\u00e9", "cafe\u0301", "tea"), "twice"),
    (NAMES, "values", ("stra\u00dfe", "STRASSE", "weg"), "twice"),
    (NAMES, "values", ("\ufb01ne", "fine", "poor"), "twice"),
    (NAMES, "rank_names", ("a", "A", "b"), "twice"),
    (COARSE, "bin_phrases", ("few", f"few{ZWSP}"), "twice"),
    *((NAMES, "values", ("low", empty, "high"), "non-empty") for empty in (
        "", " ", "\t\n", "\u00a0", ZWSP, BOM + ZWSP)),
    *((NAMES, field, bad, "control character") for field in ("name", "unit") for bad in (
        "a\x1b[31m", "a\x00b", "a\x07", f"a{RTL}b", "a\ud800")),
    *((NAMES, "values", ("low", f"x{bad}", "high"), "control character") for bad in (
        "\x1b]0;x\x07", "\x00", "\b", "\x9b", "\x7f", RTL, "\u2066", "\udfff")),
    (FRUIT, "templates", ("a {rank} {fruit}\x1b[2J",), "control character"),
    (FRUIT, "placeholders", {"fruit": ("pear\x00",)}, "control character"),
    *((NUMBERS, "values", values, message) for values, message in (
        ((1, NAN, 3), "values[1] = nan"), ((1, INF), "values[1] = inf"),
        ((-INF, 1), "values[0] = -inf"), ((1, 10**400), "values[1] = "),
        ((-(10**400), 1), "values[0] = "), ((1, 1e301), "values[1] = 1e+301"),
        ((2**53, 2**53 + 1), "twice"), ((1, 1.0), "twice"), ((0.0, -0.0), "twice"),
        ((3, 2, 1), "2 follows 3"), ((1, 2, True), "values[2] = True"),
        ((1, np.True_), "must be a number"), ((1, 2j), "must be a number"),
        ((1, Decimal(2)), "must be a number"), ((1, [2]), "must be a number"),
        ((1, None), "must be a number"), ((1, {}), "must be a number"), (b"12", "tuple or list"),
        ({1: 2, 3: 4}, "tuple or list"), (7, "tuple or list"), ((), "0 rank(s)"),
        (np.array([1, np.nan]), "values[1] = "), (np.ones((2, 2)), "must be a number"),
        (np.array([1, 2], "datetime64[s]"), "must be a number"),
        (range(10**5), "more than 10,000"), (range(10**18), "more than 10,000"),
        (itertools.count(), "more than 10,000"), (itertools.repeat("x"), "more than 10,000"),
        (np.arange(10**6), "more than 10,000"))),
    (NAMES, "values", [f"rank {i}" for i in range(10**5)], "more than 10,000"),
    (NAMES, "positions", (0, NAN, 1), "positions[1] = nan"),
    (NAMES, "positions", (0, 1, 10**400), "positions[2] = "),
    (NAMES, "positions", (0, 0, 1), "twice"),
    (NAMES, "positions", itertools.count(), "more than 10,000"),
    (COARSE, "bin_edges", (1, NAN), "bin_edges[1] = nan"),
    (COARSE, "bin_edges", (-INF, 3), "bin_edges[0] = -inf"),
    (COARSE, "bin_edges", (1, 1), "twice"),
    (COARSE, "bin_edges", (3, 1), "1 follows 3"),
    (COARSE, "bin_edges", itertools.count(), "more than 10,000"),
    (COARSE, "upper_edge", INF, "finite"),
    (COARSE, "upper_edge", 10**400, "finite"),
    (COARSE, "upper_edge", True, "must be a number"),
    *((NUMBERS, "templates", (template,), "templates[0] = ") for template in (
        "{0.__class__} {rank}", "{rank.__class__}", "{rank.__init__.__globals__}", "{rank[0]}",
        "{rank!r}", "{rank!s:>9}", "{rank:>999999999}", "{rank:{rank}}", "{rank:" + "{" * 500,
        "{rank}{", "{rank}}", "{{rank}}", "{ rank }", "{rank} {}", "{rank} {0}", "{" * 1000,
        "{rank}" + "{a" * 1000, "{RANK}", "{rank\u200b}", "{rank} {lambda: 1}")),
    (NUMBERS, "templates", ("{rank}" * 1000,), "6,000 characters"),
    (NUMBERS, "templates", ("{rank} " + "x" * 10**7,), "10,000,007 characters"),
    (NUMBERS, "templates", itertools.repeat("{rank}"), "more than 10,000"),
    (NAMES, "name", "x" * 10**6, "1,000,000 characters"),
    (NAMES, "unit", 3, "non-empty"),
    (NAMES, "name", b"x", "non-empty"),
    (NAMES, "name", ["x"], "non-empty"),
    (FRUIT, "placeholders", {"fruit": itertools.repeat("pear")}, "more than 10,000"),
    (FRUIT, "placeholders", {"fruit": ("pear", f"pear{ZWSP}")}, "twice"),
    (FRUIT, "placeholders", {"fruit": ("",)}, "non-empty"),
    (FRUIT, "placeholders", {"fruit": "pear"}, "tuple or list"),
    (FRUIT, "placeholders", {"fruit": ("pear",), "__class__": ("x",)}, "no template has"),
    (FRUIT, "placeholders", {"fruit": ("pear",), "a b": ("x",)}, "cannot name a placeholder"),
    (FRUIT, "placeholders", {"fruit": ("pear",), 3: ("x",)}, "cannot name a placeholder"),
    (FRUIT, "placeholders", [("fruit", ("pear",))], "mapping"),
    (NAMES, "decode", ["argmax"], "decode"),
    (NAMES, "augmentations", ("flip", ["flip"]), "augmentations"),
    (NAMES, "augmentations", "flip", "tuple or list"),
    (NAMES, "augmentations", itertools.repeat("flip"), "more than 10,000"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("valid", "field", "given", "message"),
    CASES,
    ids=[f"{i}-{c[1]}-{ascii(c[2])[:24]}" for i, c in enumerate(CASES)],
)
def test_hostile_definition(valid, field, given, message):
    start = time.perf_counter()
    with pytest.raises(ValueError, match=r"^OrdinalTask ") as caught:
        OrdinalTask(**{**valid, field: given})
    text = str(caught.value)
    assert field in text
    assert message in text
    assert len(text) < 500
    assert not any(character in text for character in ("\x1b", "\x00", RTL))
    text.encode()
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("values", ("niedrig", "mäßig", "hoch")),
        ("values", ("少", "中", "多")),
        ("values", ("a\u200cb", "b", "c")),  # Persian joins no letters across this one
        ("values", ("👩\u200d🚀", "👩", "🚀")),
        ("values", ("low", "lower", "low!")),
        ("values", ("[red]", "{rank}", "=1+1")),
        ("templates", ("a\n{rank}", "a\t{rank}", "{{x}} {rank}")),
        ("positions", (-1e300, 0, 1e300)),
    ],
)
def test_unusual_but_valid_definition(field, value):
    task = OrdinalTask(**{**NAMES, field: value})
    assert getattr(task, field) == value
    assert np.isfinite([*task.bin_edges, *task.bin_midpoints()]).all()
    for rank, name in enumerate(task.values):
        assert task.parse_label(name) == task.rank_values[rank]


def test_label_with_an_invisible_character_is_its_rank():
    task = OrdinalTask(**NAMES)
    assert task.parse_label(f"{BOM}Yellow{ZWSP}") == 1


def test_texts_are_never_formatted_as_templates():
    task = OrdinalTask(**{**NAMES, "values": ("{0.__class__}", "{rank}", "{x:>9}")})
    assert task.prompts() == ["{0.__class__}", "{rank}", "{x:>9}"]


def test_ten_thousand_ranks_are_defined_quickly():
    start = time.perf_counter()
    task = OrdinalTask(name="x", unit="x", values=[f"rank {i}" for i in range(10_000)])
    assert task.num_bins == 10_000
    assert time.perf_counter() - start < 5


def test_numclip_refuses_a_regressor_of_hundreds_of_millions_of_weights(tiny_clip_folder):
    task = OrdinalTask(name="money", unit="cents", values=range(10_000))
    with pytest.raises(ValueError, match=r"10,000 bins.*400,000,000 weights.*bin_edges"):
        NumCLIP(load_clip(tiny_clip_folder, "cpu"), task)


def test_placeholder_combinations_are_counted_before_they_are_made(tiny_clip_folder):
    names = [f"p{i}" for i in range(40)]
    template = "{rank} " + " ".join(f"{{{name}}}" for name in names)
    options = {name: ("a", "b", "c") for name in names}
    task = OrdinalTask(**{**NAMES, "templates": (template,), "placeholders": options})
    with pytest.raises(ValueError, match=r"12,157,665,459,056,928,801 combinations"):
        task.placeholder_combinations()
    with pytest.raises(ValueError, match="combinations"):
        ZeroShot(load_clip(tiny_clip_folder, "cpu"), task).text_features()
    # With most of them given, few combinations are left.
    given = dict.fromkeys(names[3:], "a")
    assert len(task.prompts(**given)) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("values = [" + "[" * 10_000 + "]" * 10_000 + "]", "not a readable TOML file"),
        ("name = 'x'\nunit = 'x'\nvalues = [1, nan]", "values[1] = nan"),
        ("name = 'x'\nunit = 'x'\nvalues = [1, 2]\nname = 'y'", "not a readable TOML file"),
        ("name = 'x'\nunit = 'x'\nvalues = 1979-05-27", "tuple or list"),
        ("name = 'x'\nunit = 'x'\nvalues = [1, 2]\n__class__ = 'x'", "unknown field __class__"),
        ("\x00", "not a readable TOML file"),
    ],
)
def test_hostile_toml(content, message, tmp_path):
    path = tmp_path / "task.toml"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"task.toml|OrdinalTask") as caught:
        OrdinalTask.from_toml(path)
    assert message in str(caught.value)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda p: p.symlink_to("/dev/zero")])
def test_toml_that_is_no_regular_file(make, tmp_path):
    make(tmp_path / "task.toml")
    with pytest.raises(ValueError, match="not a regular file"):
        OrdinalTask.from_toml(tmp_path / "task.toml")


def test_match_task_takes_no_years():
    templates = {"x": ["{a}" * 40 + "#"], "y": ["{a} of {b} of {c} end"]}
    start = time.perf_counter()
    assert match_task("a" * 300, templates) is None
    assert match_task("1 of of of 3 of 4 end end", templates) == "y"
    assert match_task("1 of 3 end", templates) is None
    assert time.perf_counter() - start < 5

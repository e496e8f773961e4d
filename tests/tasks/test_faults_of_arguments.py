"""Odd arguments of a task's methods, and TOML as editors write it."""

import numpy as np
import pandas as pd
import pytest
import torch

from ordlib import OrdinalTask, load_task

COUNTING, DATING = load_task("counting"), load_task("dating")
TOML = "name = 'x'\nunit = 'u'\nvalues = [1, 2]\n"
UNIFORM = np.full((1, 20), 0.05)
GRAD = torch.ones(2, requires_grad=True)


@pytest.mark.parametrize(("call", "message"), [
    *((lambda k=k: COUNTING.rank_label(k), f"rank = {k}: task 'counting' has ranks 0 to 19")
      for k in (20, 99, -21)),
    *((lambda k=k: COUNTING.rank_label(k), "integer") for k in (1.0, "0", None, [0], slice(2))),
    *((lambda k=k: COUNTING.prompts(k), "has no templates") for k in (99, 1.5, "0", None, [0])),
    *((lambda k=k: DATING.bin_prompts(k), "has no bin_templates") for k in (99, 1.5, "0")),
    *((lambda x=x: COUNTING.prompts(object=x), f"placeholder object = {x}: must be text")
      for x in (None, 3, 1.5, True)),
    (lambda: COUNTING.prompts(thing="x"), "no placeholder 'thing'"),
    (lambda: COUNTING.prompts(rank="x"), "no placeholder 'rank'"),
    *((lambda x=x: COUNTING.rank_index(x), "values: must be numbers") for x in (
        ["golden"], "x", [[1, 2], [3]], 1j, GRAD, GRAD.detach().bfloat16(), 10**400, {"a": 1})),
    *((lambda x=x: COUNTING.rank_index(x), "is NaN") for x in (
        None, [None], [np.nan], pd.Series([1, None]))),
    *((lambda x=x: COUNTING.decode_values(x), "values: must be numbers") for x in (
        "x", ["a"], GRAD, [[1], [1, 2]])),
    *((lambda x=x: COUNTING.decode_values(x), "value") for x in (3.0, [[1.0]], None, [np.nan])),
    *((lambda x=x: COUNTING.decode_probabilities(x), "probabilities") for x in (
        [], [[]], "x", None, UNIFORM[0], UNIFORM[:, 1:], -UNIFORM, UNIFORM * 2, UNIFORM * np.nan,
        UNIFORM * np.inf, UNIFORM[None], [[0.05] * 20, [0.05] * 19],
        torch.full((1, 20), 0.05, requires_grad=True), torch.full((1, 20), 0.05).bfloat16())),
    *((lambda d=d: COUNTING.decode_probabilities(UNIFORM, d), "decode = ") for d in (
        "mean", ["argmax"], 0, True)),
    *((lambda x=x: DATING.parse_label("1", first_label=x), "first_label = .* must be an integer")
      for x in ("1", 1.5, np.nan, True, [1], 1j)),
    (lambda: DATING.parse_label("1", first_label=10**400), "no rank"),
    *((lambda x=x: COUNTING.parse_label(x), "label .* is not a number") for x in (
        b"3", np.array([3]), "0x3", "3,0", 3j, [3], torch.tensor(3), "\u22123", "\u00bd", "3%",
        np.True_, pd.Timestamp("2020"), object)),
    *((lambda x=x: COUNTING.parse_label(x), "is missing") for x in (pd.NA, pd.NaT, None, np.nan)),
    *((lambda x=x: COUNTING.parse_label(x), "is outside") for x in (
        "inf", "-inf", "9" * 400, np.float32(20.5), -0.5)),
    *((lambda x=x: OrdinalTask.from_toml(x), "path = ") for x in (None, b"x", 3, "")),
])  # fmt: skip
def test_the_argument_is_named(call, message):
    with pytest.raises((TypeError, ValueError, IndexError), match=message):
        call()


@pytest.mark.parametrize(("label", "value"), [
    ("\uff13", 3), ("\u0661\u0662", 12), ("1e0", 1), ("+3", 3), ("3.", 3), (np.array(3), 3),
    (np.float16(3), 3), ("\u00a03\u200b", 3), ("THREE", 3), (np.str_("3"), 3),
])  # fmt: skip
def test_labels_in_unusual_forms(label, value):
    assert COUNTING.parse_label(label) == value


def test_odd_arguments_that_are_valid():
    assert COUNTING.rank_label(np.int64(19)) == COUNTING.rank_label(-1) == "20"
    assert COUNTING.prompts(np.int64(0)) == COUNTING.prompts()
    assert COUNTING.prompts(object="{rank}")[0] == "a photo of one {rank}"
    assert COUNTING.rank_index([np.inf, -np.inf]).tolist() == [19, 0]
    assert COUNTING.rank_index([]).tolist() == []
    assert len(COUNTING.decode_probabilities(np.zeros((0, 20)))) == 0
    assert COUNTING.decode_probabilities(pd.DataFrame(UNIFORM)).value.tolist() == pytest.approx(
        [10.5]
    )
    assert COUNTING.decode_values(pd.Series([1, 2], [3, 4])).label.tolist() == [1, 2]


@pytest.mark.parametrize("content", [
    f"\ufeff{TOML}", TOML.replace("\n", "\r\n"), TOML.rstrip(), f"# x\n\n{TOML}",
    TOML.replace("[1, 2]", "[0x1, 2.0]"),
])  # fmt: skip
def test_toml_as_editors_write_it(tmp_path, content):
    (path := tmp_path / "t.toml").write_bytes(content.encode())
    assert OrdinalTask.from_toml(path).rank_values.tolist() == [1, 2]


@pytest.mark.parametrize("content", [
    TOML.encode("utf-16"), TOML.replace("x", "\xe9").encode("latin-1"), b"", b"[task]\n",
    TOML.replace("\n", "\r").encode(), TOML.replace("[1, 2]", "[2, 1]").encode(),
    TOML.replace("[1, 2]", "[{a = 1}, {a = 2}]").encode(),
    TOML.replace("[1, 2]", "[true, false]").encode(), f"{TOML}placeholders = 'a'".encode(),
    f"{TOML}decode = 'mean'".encode(), f"{TOML}upper_edge = 'x'".encode(),
    TOML.replace("[1, 2]", f"[1, {'9' * 5000}]").encode(),
])  # fmt: skip
def test_invalid_toml_names_the_file(tmp_path, content):
    (path := tmp_path / "toast.toml").write_bytes(content)
    with pytest.raises(ValueError, match=r"toast\.toml: "):
        OrdinalTask.from_toml(path)

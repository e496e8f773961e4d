import json

import pytest

from ordlib.course.runner.inline_results import (
    check_inline_results,
    load_notebook_results,
    update_inline_results,
)


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ("0.42@", 0.1251, "0.13@"), ("0.42@", 12.0, "12.00@"), (".94@", 0.061, ".06@"),
        (".94@", 1.0, "1.00@"), ("7@", 3.7, "4@"), ("2,000@", 12345, "12,345@"),
        ("94 %@", 0.061, "6 %@"), ("94%@", 0.061, "6%@"), ("94.0@ %", 0.0612, "6.1@ %"),
        ("-0.5@", -0.04, "0.0@"), ("0.5@", -0.25, "-0.2@"), ("−0.5@", -0.75, "−0.8@"),
        ("-.5@", -0.76, "-.8@"),
    ],
)  # fmt: skip
def test_update_inline_results_keeps_the_format(before, value, after):
    before, after = (f"so {text} stars".replace("@", "<!--=k-->") for text in (before, after))
    assert update_inline_results(before, {"k": value}) == after
    assert update_inline_results(after, {"k": value}) == after


def test_update_inline_results_accepts_dots_and_spaces_in_keys():
    text = "| **1.0**, 1.0<!--=model A.mae--> | 2<!--=n--> |"
    updated = update_inline_results(text, {"model A.mae": 0.04, "n": 3})
    assert updated == "| **1.0**, 0.0<!--=model A.mae--> | 3<!--=n--> |"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.42<!--=mea-->", "no result is named 'mea': save it, or quote one of mae"),
        ("few<!--=mae-->", "no number right before"), ("0.42 <!--=mae-->", "no number right"),
        ("0.42**<!--=mae-->", "no number right"), ("0.4<!--=mae--> few<!--=mae-->", "no number"),
    ],
)  # fmt: skip
def test_check_inline_results_names_key_and_remedy(text, message):
    (found,) = check_inline_results(text, {"mae": 0.4})
    assert message in found
    assert check_inline_results("0.42<!--=mae-->", {"mae": 0.4}) == []


def test_load_notebook_results_leaves_out_text(tmp_path):
    path = tmp_path / "results.json"
    assert load_notebook_results(path) == {}
    path.write_text(json.dumps({"b": 1, "a": 0.5, "device": "cpu"}))
    assert list(load_notebook_results(path).items()) == [("b", 1), ("a", 0.5)]

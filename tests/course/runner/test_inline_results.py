import json

import pytest

from ordlib.course.runner import inline_results as numbers


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ("0.42<!--=k-->", 0.1251, "0.13<!--=k-->"),
        ("0.42<!--=k-->", 12.0, "12.00<!--=k-->"),
        (".94<!--=k-->", 0.061, ".06<!--=k-->"),
        (".94<!--=k-->", 1.0, "1.00<!--=k-->"),
        ("7<!--=k-->", 3.7, "4<!--=k-->"),
        ("2,000<!--=k-->", 12345, "12,345<!--=k-->"),
        ("94 %<!--=k-->", 0.061, "6 %<!--=k-->"),
        ("94%<!--=k-->", 0.061, "6%<!--=k-->"),
        ("94.0<!--=k--> %", 0.0612, "6.1<!--=k--> %"),
        ("-0.5<!--=k-->", -0.04, "0.0<!--=k-->"),
        ("0.5<!--=k-->", -0.25, "-0.2<!--=k-->"),
        ("−0.5<!--=k-->", -0.75, "−0.8<!--=k-->"),
        ("-.5<!--=k-->", -0.76, "-.8<!--=k-->"),
    ],
)
def test_a_number_keeps_its_style(before, value, after):
    assert numbers.refresh(f"so {before} stars", {"k": value}) == f"so {after} stars"
    assert numbers.refresh(after, {"k": value}) == after


def test_keys_may_have_dots_and_spaces_and_stand_in_tables():
    text = "| **1.0**, 1.0<!--=model A.mae--> | 2<!--=n--> |"
    assert numbers.refresh(text, {"model A.mae": 0.04, "n": 3}) == (
        "| **1.0**, 0.0<!--=model A.mae--> | 3<!--=n--> |"
    )


def test_what_cannot_be_kept_up_to_date_is_named():
    results = {"mae": 0.4}
    assert numbers.unknown("0.42<!--=mae-->", results) == []
    assert "no result is named 'mea'" in numbers.unknown("0.42<!--=mea-->", results)[0]
    assert "quote one of mae" in numbers.unknown("0.42<!--=mea-->", results)[0]
    for text in ("few<!--=mae-->", "0.42 <!--=mae-->", "0.42**<!--=mae-->"):
        assert "no number right before" in numbers.unknown(text, results)[0]
    both = "0.42<!--=mae--> and few<!--=mae-->"
    assert len(numbers.unknown(both, results)) == 1


def test_results_are_the_numbers_of_the_file(tmp_path):
    path = tmp_path / "results.json"
    assert numbers.load_results(path) == {}
    path.write_text(json.dumps({"b": 1, "a": 0.5, "device": "cpu"}))
    assert list(numbers.load_results(path).items()) == [("b", 1), ("a", 0.5)]

from collections import Counter

import numpy as np
import pytest

from ordlib.synthetic.grammar import Grammar, mend_articles


def fixed(*numbers: float):
    return iter(numbers).__next__


def test_grammar_fills_nested_slots_and_record_fields():
    grammar = Grammar({"pet": ["{size} cat", "{size} dog"], "size": ["small", "big"]})
    generate = grammar.one_of(["a {pet} on {place}", "{place}"])
    assert generate({"place": "Mars"}, 0.0, fixed(0.0, 0.9, 0.1)) == "a small dog on Mars"
    assert generate({"place": "Mars"}, 0.0, fixed(0.5)) == "Mars"
    assert grammar.fields == {"place"}


@pytest.mark.parametrize(
    ("value", "draws", "expected"),
    [
        (0, (0.9, 0), "low"), (1.9, (0.9, 0), "low"),
        (2, (0.9, 0), "middle"), (7, (0.9, 0), "high"),
        (0, (0.1, 0), "middle"), (7, (0.1, 0), "middle"),
        (2, (0.1, 0.2, 0), "high"), (2, (0.1, 0.8, 0), "low"),
    ],
)  # fmt: skip
def test_slot_by_label_bin_with_noise(value, draws, expected):
    entry = {"edges": [0, 2, 5], "noise": 0.25, "words": [["low"], ["middle"], ["high"]]}
    generate = Grammar({"level": entry}).one_of(["{level}"])
    assert generate({}, value, fixed(0.0, *draws)) == expected


def test_slot_by_record_field():
    entry = {"by": "weather", "words": {"": ["dry"], "rain": ["wet"], "*": ["odd"]}}
    generate = Grammar({"ground": entry}).one_of(["{ground}"])
    for weather, expected in {"": "dry", "rain": "wet", "frogs": "odd"}.items():
        assert generate({"weather": weather}, 0, fixed(0.0, 0.0)) == expected


def test_slot_of_random_numbers():
    generate = Grammar({"n": {"from": 2, "to": 5, "digits": 0.25}}).one_of(["{n}"])
    draw = np.random.default_rng(0).random
    texts = [generate({}, 99, draw) for _ in range(8000)]
    expected = dict.fromkeys("2345", 500) | dict.fromkeys(("two", "three", "four", "five"), 1500)
    counts = Counter(texts)
    assert set(counts) == set(expected)
    for word, count in expected.items():
        assert counts[word] == pytest.approx(count, abs=4 * count**0.5)


def test_slot_of_the_true_count():
    generate = Grammar({"n": {"count": True, "digits": 0.5}}).one_of(["{n}"])
    assert generate({}, 17.0, fixed(0.0, 0.9)) == "seventeen"
    assert generate({}, 17.0, fixed(0.0, 0.1)) == "17"


def test_mend_articles():
    mended = mend_articles("a umbrella, a older adult with a afro")
    assert mended == "an umbrella, an older adult with an afro"
    unchanged = "a one euro coin, sepia image, vista of a euro sign, an old photo"
    assert mend_articles(unchanged) == unchanged


@pytest.mark.parametrize("word", [None, float("nan"), 3])
def test_grammar_rejects_missing_fields(word):
    generate = Grammar({}).one_of(["a photo of {scene}"])
    with pytest.raises(ValueError, match=r"'a photo of \{scene\}' needs the text field 'scene'"):
        generate({"scene": word}, 0, fixed(0.0))


def test_grammar_rejects_unknown_slots():
    with pytest.raises(ValueError, match=r"slot 'x' of template '\{x\}' has no known form: \{'z'"):
        Grammar({"x": {"z": 1}}).one_of(["{x}"])

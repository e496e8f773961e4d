from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from check_results import assert_passed, assert_wrong, table_tests

from ordlib import ZeroShot, evaluate, load_clip, load_data, load_task
from ordlib.course.checks import vanilla_clip as check
from ordlib.metrics import ordinality_score


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, device="cpu")


COUNTING = load_task("counting")
RANK_NAMES = tuple(f"about {name}" for name in COUNTING.rank_names)
TASK = replace(COUNTING, rank_names=RANK_NAMES, templates=("some {rank} {object}",))


@pytest.fixture(scope="module")
def data():
    """Fifty images, some of them of a single object."""
    data = load_data("counting", "train", image_size=64, num_images=50)
    assert 0 < np.sum(data.values == 1) < 10
    return data


class FakeZeroShot:
    """ZeroShot whose "CLIP" is a function ``(task, templates, y_true)`` to the likeliest counts."""

    def __init__(self, clip, task, *, templates, placeholder_columns, decode):
        self.clip, self.task, self.templates = clip, task, templates
        assert placeholder_columns == {"object": "plural"}
        assert decode == "expectation"

    def predict(self, data):
        counts = self.clip(self.task, self.templates, data.values.astype(int))
        return self.task.decode_probabilities(np.eye(20)[np.clip(counts, 1, 20) - 1])


@pytest.fixture
def compare(monkeypatch, data):
    """Check prompts that predict the given counts; the built-in ones are 5.00 off."""
    monkeypatch.setattr(check, "ZeroShot", FakeZeroShot)

    def own_prompts(own, task=TASK):
        def counts(given, templates, y_true):
            assert given is task or tuple(templates) == (0, 1, 2)
            return own(y_true) if given is task else off(5)(y_true)

        return check.own_prompts(task, counts, data)

    return own_prompts


def off(by):
    return lambda y_true: np.where(y_true > 10, y_true - by, y_true + by)


def test_own_prompts_accepts_better_prompts(compare, data):
    several = data.values[data.values > 1]
    constant = 100 * max(np.mean(several == count) for count in several)
    rare = "The exact number is still rare: 0 % exactly right for n > 1 (built-in prompts 0 %, "
    parts = ("MAE 2.00 objects, built-in prompts 5.00.", "interval are 3 (3 to 3).")
    assert_passed(compare(off(2)), *parts, f"{rare}always the same count {constant:.0f} %)")
    exact = "there more often than not: 100 % exactly right for n > 1"
    assert_passed(compare(off(0)), exact)
    assert_passed(compare(off(4)))


PHRASES = "Try the captions' own phrases of quantity ('a few', 'many') beside the number"
TWO_TEMPLATES = replace(TASK, templates=("some {rank} {object}", "{rank} of the {object}"))
DIGITS = replace(TASK, rank_names=tuple(map(str, range(1, 21))))


@pytest.mark.parametrize(
    ("own", "task", "diagnosis"),
    [
        (lambda y: off(5)(y) + (y == max(y)), TASK,
         "gain 1 object at least. Try the captions' own"),
        (lambda y: np.where(y == 1, 1, off(5)(y)), TASK,
         "for n > 1 it is 5.00 against 5.00: the whole gain is at n = 1"),
        (off(5), TASK, f"{PHRASES}, "),
        (off(6), TASK, "MAE 6.00 objects, built-in prompts 5.00."),
        (off(6), TASK, "and several templates"),
        (off(5), TWO_TEMPLATES, f"{PHRASES}."),
        (off(5), DIGITS, "Try words where you have digits"),
    ],
)  # fmt: skip
def test_own_prompts_diagnoses(compare, own, task, diagnosis):
    assert_wrong(compare(own, task), diagnosis)


@pytest.mark.parametrize(
    ("task", "diagnosis"),
    [
        (["one", "two"], "a list: write replace(counting"),
        (load_task("quality"), "5 ranks: keep all 20"),
        (replace(COUNTING, values=(*range(1, 19), 18.5, 20)), "changed the values"),
        (
            replace(TASK, rank_names=("about  two", *RANK_NAMES[1:])),
            "have the same words (about two)",
        ),
        (COUNTING, "the built-in prompts"),
        (replace(COUNTING, templates=("A photo of {rank} {object}",)), "the built-in prompts"),
    ],
)
def test_own_prompts_validates_the_task(clip, data, task, diagnosis):
    assert_wrong(check.own_prompts(task, clip, data), diagnosis)


def test_own_prompts_reports_the_metrics_of_zero_shot(clip, data, tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path))
    few = data.subset(range(12))
    mae = []
    for task, templates in ((TASK, None), (COUNTING, (0, 1, 2))):
        model = ZeroShot(clip, task, templates=templates, placeholder_columns={"object": "plural"})
        mae.append(evaluate(model, few, n_resamples=1).metrics["mae"])
    assert abs(mae[0] - mae[1]) > 0.01
    # The check uses the expectation, whichever decoder the task has.
    result = check.own_prompts(replace(TASK, decode="argmax"), clip, few)
    assert f"MAE {mae[0]:.2f} objects, built-in prompts {mae[1]:.2f}" in result.message


SIZES = ["tiny", "small", "medium", "large", "huge", "vast"]


class TextEncoder:
    """Encodes words as points of a half circle, in the order of SIZES."""

    def encode_text(self, prompts):
        angles = torch.tensor([0.5 * SIZES.index(word.lower()) for word in prompts])
        return torch.stack([angles.cos(), angles.sin()], dim=1)


def score(words):
    return ordinality_score(TextEncoder().encode_text(words).numpy())


@pytest.mark.parametrize("words", [SIZES, tuple(SIZES), np.array(SIZES)])
def test_own_words_accepts_ordered_words(words):
    result = check.own_words(words, TextEncoder())
    assert_passed(result, "ordinality 1.00 (O = 1.00)")


NEGATIVE = ["medium", "vast", "tiny", "huge", "small", "large"]


@pytest.mark.parametrize(
    ("words", "diagnosis"),
    [
        (["tiny", "medium", "small", "large", "huge"],
         "With 'medium' and 'small' swapped O would be 1.00"),
        (["tiny", "small", "large", "huge", "medium"], "No swap of two neighbours helps"),
        (NEGATIVE, "no better than chance: ordinality "
         f"{score(NEGATIVE).chance_corrected:.2f} (O = {score(NEGATIVE).raw:.2f})"),
        (SIZES[:4], "4 words are too few"),
        ([*SIZES, "Tiny "], "'tiny' is there twice"),
        ("tiny small medium", "that is one text"),
        ([*SIZES, 7], "7 is not a word"),
        ([*SIZES, "7"], "'7' is all digits"),
        (["Bad", "poor", "fair", "good", "excellent"], "the built-in words for quality"),
        (COUNTING.bin_phrases[::-1], "the built-in words for counting"),
    ],
)  # fmt: skip
def test_own_words_diagnoses(words, diagnosis):
    assert_wrong(check.own_words(words, TextEncoder()), diagnosis)


def test_own_words_p_value_equals_all_permutations():
    words = ["tiny", "small", "large", "medium", "huge"]
    scores = [score(order).raw for order in permutations(words)]
    p_value = np.mean(np.array(scores) >= score(words).raw)
    message = check.own_words(words, TextEncoder()).message
    assert abs(float(message.split("; ")[1].split(" %")[0]) / 100 - p_value) < 0.03


# ---------------------------------------------------------------- median_reading
def rank_of(p):
    return (p.cumsum(axis=1) >= 0.5).argmax(axis=1)


def by_loop(p, v):
    """The upper median, image by image, from a sum without cumsum."""
    ranks = range(len(v))
    return [next(v[k] for k in ranks if sum(row[: k + 1]) > 0.5) for row in p.tolist()]


RIGHT = [
    by_loop,
    lambda p, v: v[rank_of(p)],
    lambda p, v: v[(p @ abs(v[:, None] - v)).argmin(axis=1)],
    lambda p, v: (v[rank_of(p)] + v[len(v) - 1 - rank_of(p[:, ::-1])]) / 2,
]
WRONG = {
    "the expectation: it minimizes the squared": lambda p, v: p @ v,
    "the likeliest rank": lambda p, v: v[p.argmax(axis=1)],
    "rank indices": lambda p, v: rank_of(p),
    "one rank too low": lambda p, v: v[rank_of(p) - 1],
    "too low: take the first": lambda p, v: v[np.maximum(rank_of(p) - 1, 0)],
    "one rank too high": lambda p, v: v[(p.cumsum(axis=1) < 0.5).sum(axis=1) + 1],
    "finds the first True": lambda p, v: v[(p.cumsum(axis=1) < 0.5).argmax(axis=1)],
    "cumsum needs axis=1": lambda p, v: v[(p.cumsum(axis=0) >= 0.5).argmax(axis=1)],
    "median of the probabilities": lambda p, v: np.median(p, axis=1),
    "take the weighted median of rank_values": lambda p, v: np.median(p * v, axis=1),
    "one number for all 7 images": lambda p, v: v[(p.cumsum() >= 0.5).argmax()],
    "for each of the 5 ranks: work along axis=1": lambda p, v: np.median(p, axis=0),
    "shape (7, 1) for 7 images": lambda p, v: v[rank_of(p)][:, None],
    "you return nan": lambda p, v: np.full(len(p), np.nan),
    # Only certain predictions show this mistake, and only another number of images the next.
    "at rank_values [2.0, 3.0, 5.0, 9.0, 20.0] you return 2, 18.00 off on average; 20 is 0.00": (
        lambda p, v: v[(p.cumsum(axis=1)[:, :-1] >= 0.5).argmax(axis=1)]),
    "shape (7,) for 6 images": lambda p, v: [9, 9, 3, 5, 9, 5, 2],
}  # fmt: skip

test_right_answers, test_wrong_answers = table_tests(
    {check.median_reading: RIGHT}, {check.median_reading: WRONG}
)

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from check_results import passed, right_answers, wrong, wrong_answers

from ordlib import ZeroShot, evaluate, load_clip, load_data, load_task
from ordlib.course.checks import vanilla_clip as check
from ordlib.metrics import ordinality_score


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, device="cpu")


# ---------------------------------------------------------------- own_prompts
COUNTING = load_task("counting")
LOOSE = tuple(f"about {word}" for word in COUNTING.rank_names)
MINE = replace(COUNTING, rank_names=LOOSE, templates=("some {rank} {object}",))


@pytest.fixture(scope="module")
def data():
    """Fifty pictures, singles among them."""
    data = load_data("counting", "train", image_size=64, num_images=50)
    assert 0 < np.sum(data.values == 1) < 10
    return data


class Told:
    """Stands in for ZeroShot: ``clip(task, templates, truth)`` says which counts are likeliest."""

    def __init__(self, clip, task, *, templates, fill, decode):
        self.clip, self.task, self.templates = clip, task, templates
        assert fill == {"object": "plural"}
        assert decode == "expectation"

    def predict(self, data):
        counts = self.clip(self.task, self.templates, data.values.astype(int))
        return self.task.decode_probabilities(np.eye(20)[np.clip(counts, 1, 20) - 1])


def judged(monkeypatch, data, mine, house, task=MINE):
    """The verdict where the learner's and the house's prompts give these counts."""
    monkeypatch.setattr(check, "ZeroShot", Told)

    def counts(given, templates, truth):
        assert given is task or tuple(templates) == (0, 1, 2)
        return mine(truth) if given is task else house(truth)

    return check.own_prompts(task, counts, data)


def off(by):
    return lambda truth: np.where(truth > 10, truth - by, truth + by)


def test_better_prompts_pass_with_the_sober_remark(monkeypatch, data):
    verdict = judged(monkeypatch, data, off(2), off(5))
    passed(verdict)
    assert "MAE 2.00 objects, the house's 5.00." in verdict.message
    assert "interval are 3 (3 to 3)." in verdict.message
    several = data.values[data.values > 1]
    constant = max(np.mean(several == count) for count in several)
    missing = "The exact number is still rare: 0 % exactly right for n > 1 (the house's 0 %, "
    assert f"{missing}always the same count {100 * constant:.0f} %)" in verdict.message


def test_exact_prompts_are_praised(monkeypatch, data):
    verdict = judged(monkeypatch, data, lambda truth: truth, off(5))
    passed(verdict)
    assert "there more often than not: 100 % exactly right for n > 1" in verdict.message


def test_a_small_gain_is_no_gain(monkeypatch, data):
    def one_more(truth):
        return off(5)(truth) + (truth == truth.max())

    told = "flat guess a little; gain 1 object at least. Try the captions' own"
    wrong(judged(monkeypatch, data, one_more, off(5)), told)
    passed(judged(monkeypatch, data, off(4), off(5)))


def test_no_better_is_not_yet(monkeypatch, data):
    two = replace(MINE, templates=("some {rank} {object}", "{rank} of the {object}"))
    digits = replace(MINE, rank_names=tuple(map(str, range(1, 21))))
    for task, by, told in (
        (
            MINE,
            5,
            "Try the captions' own phrases of quantity ('a few', 'many') beside the number, ",
        ),
        (MINE, 6, "and several templates"),
        (two, 5, "Try the captions' own phrases of quantity ('a few', 'many') beside the number."),
        (digits, 5, "Try words where you have digits"),
    ):
        verdict = judged(monkeypatch, data, off(by), off(5), task)
        wrong(verdict, f"MAE {by}.00 objects, the house's 5.00.")
        assert told in verdict.message


def test_a_gain_at_one_alone_does_not_count(monkeypatch, data):
    told = "for n > 1 it is 5.00 against 5.00: the whole gain is at n = 1"
    wrong(judged(monkeypatch, data, lambda t: np.where(t == 1, 1, off(5)(t)), off(5)), told)


@pytest.mark.parametrize(
    ("task", "diagnosis"),
    [
        (["one", "two"], "a list: write replace(counting"),
        (load_task("quality"), "5 ranks: keep all 20"),
        (replace(COUNTING, values=(*range(1, 19), 18.5, 20)), "changed the values"),
        (replace(MINE, rank_names=("about  two", *LOOSE[1:])), "have the words 'about two'"),
        (COUNTING, "the house's own prompts"),
        (replace(COUNTING, templates=("A photo of {rank} {object}",)), "the house's own prompts"),
    ],
)
def test_own_prompts_diagnoses_the_task(clip, data, task, diagnosis):
    wrong(check.own_prompts(task, clip, data), diagnosis)


def test_numbers_are_those_of_zero_shot(clip, data, tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path))
    few = data.subset(range(12))
    mae = []
    for task, templates in ((MINE, None), (COUNTING, (0, 1, 2))):
        model = ZeroShot(clip, task, templates=templates, fill={"object": "plural"})
        mae.append(evaluate(model, few, n_resamples=1).metrics["mae"])
    assert abs(mae[0] - mae[1]) > 0.01
    # The task's own way of decode makes no difference: the check says which it takes.
    verdict = check.own_prompts(replace(MINE, decode="argmax"), clip, few)
    assert f"MAE {mae[0]:.2f} objects, the house's {mae[1]:.2f}" in verdict.message


# ---------------------------------------------------------------- own_words
SIZES = ["tiny", "small", "medium", "large", "huge", "vast"]


class Tower:
    """Encodes words as points of a half circle, in the order of SIZES."""

    def encode_text(self, prompts):
        angles = torch.tensor([0.5 * SIZES.index(word.lower()) for word in prompts])
        return torch.stack([angles.cos(), angles.sin()], dim=1)


def test_words_in_order_pass():
    for words in (SIZES, tuple(SIZES), np.array(SIZES)):
        verdict = check.own_words(words, Tower())
        passed(verdict)
        assert "ordinality 1.00, corrected for chance 1.00" in verdict.message


def test_swapped_neighbours_are_named_where_a_swap_helps():
    told = "Swapping 'medium' and 'small' would give 1.00"
    wrong(check.own_words(["tiny", "medium", "small", "large", "huge"], Tower()), told)
    told = "No swap of two neighbours helps"
    wrong(check.own_words(["tiny", "small", "large", "huge", "medium"], Tower()), told)


def test_an_order_below_chance_is_told():
    words = ["medium", "vast", "tiny", "huge", "small", "large"]
    score = ordinality_score(Tower().encode_text(words).numpy())
    assert score.chance_corrected < 0
    verdict = check.own_words(words, Tower())
    wrong(verdict, f"no better than chance: ordinality {score.raw:.2f}")
    assert f"corrected for chance {score.chance_corrected:.2f}" in verdict.message


def test_shuffles_are_the_measure_of_luck():
    """Five words by every order, as the check draws a thousand of them."""
    words = ["tiny", "small", "large", "medium", "huge"]
    scores = [ordinality_score(Tower().encode_text(p).numpy()).raw for p in permutations(words)]
    raw = ordinality_score(Tower().encode_text(words).numpy()).raw
    share = np.mean(np.array(scores) >= raw)
    said = float(check.own_words(words, Tower()).message.split("; ")[1].split(" %")[0]) / 100
    assert abs(said - share) < 0.03


@pytest.mark.parametrize(
    ("words", "diagnosis"),
    [
        (SIZES[:4], "4 words are few"),
        ([*SIZES, "Tiny "], "'tiny' is there twice"),
        ("tiny small medium", "that is one text"),
        ([*SIZES, 7], "7 is no word"),
        ([*SIZES, "7"], "'7' is all digits"),
        (["Bad", "poor", "fair", "good", "excellent"], "the house's words for quality"),
        (COUNTING.bin_phrases[::-1], "the house's words for counting"),
    ],
)
def test_own_words_diagnoses(words, diagnosis):
    wrong(check.own_words(words, Tower()), diagnosis)


# ---------------------------------------------------------------- median_reading
def rank_of(p):
    return (p.cumsum(axis=1) >= 0.5).argmax(axis=1)


def by_loop(p, rank_values):
    """The upper median, picture by picture, from a sum without cumsum."""
    ranks = range(len(rank_values))
    return [next(rank_values[k] for k in ranks if sum(row[: k + 1]) > 0.5) for row in p.tolist()]


RIGHT = [
    lambda p, rank_values: rank_values[rank_of(p)],
    by_loop,
    lambda p, rank_values: rank_values[
        (p @ abs(rank_values[:, None] - rank_values)).argmin(axis=1)
    ],
    lambda p, rank_values: (
        (rank_values[rank_of(p)] + rank_values[len(rank_values) - 1 - rank_of(p[:, ::-1])]) / 2
    ),
]


WRONG = {
    "the expectation: it minimises the squared": lambda p, rank_values: p @ rank_values,
    "the likeliest rank": lambda p, rank_values: rank_values[p.argmax(axis=1)],
    "rank indices": lambda p, rank_values: rank_of(p),
    "one rank too low": lambda p, rank_values: rank_values[rank_of(p) - 1],
    "too low: take the first": lambda p, rank_values: rank_values[np.maximum(rank_of(p) - 1, 0)],
    "one rank too high": lambda p, rank_values: rank_values[
        (p.cumsum(axis=1) < 0.5).sum(axis=1) + 1
    ],
    "finds the first True": lambda p, rank_values: rank_values[
        (p.cumsum(axis=1) < 0.5).argmax(axis=1)
    ],
    "cumsum needs axis=1": lambda p, rank_values: rank_values[
        (p.cumsum(axis=0) >= 0.5).argmax(axis=1)
    ],
    "median of the probabilities": lambda p, rank_values: np.median(p, axis=1),
    "it is the rank_values that have one": lambda p, rank_values: np.median(
        p * rank_values, axis=1
    ),
    "one number for all 7 pictures": lambda p, rank_values: rank_values[
        (p.cumsum() >= 0.5).argmax()
    ],
    "for each of the 5 ranks: work along axis=1": lambda p, rank_values: np.median(p, axis=0),
    "shape (7, 1) for 7 pictures": lambda p, rank_values: rank_values[rank_of(p)][:, None],
    "you answer nan": lambda p, rank_values: np.full(len(p), np.nan),
    # Right but for one thing, which only the sure predictions can show.
    "at rank_values [2.0, 3.0, 5.0, 9.0, 20.0] you answer 2, 18.00 off on average; 20 is 0.00 off": (
        lambda p, rank_values: rank_values[(p.cumsum(axis=1)[:, :-1] >= 0.5).argmax(axis=1)]
    ),
    "for 6 pictures you return shape (7,)": lambda p, rank_values: [9, 9, 3, 5, 9, 5, 2],
}


@right_answers({check.median_reading: RIGHT})
def test_right_answers_pass(judge, answer):
    passed(judge(answer))


@wrong_answers({check.median_reading: WRONG})
def test_wrong_answers_are_diagnosed(judge, diagnosis, answer):
    wrong(judge(answer), diagnosis)

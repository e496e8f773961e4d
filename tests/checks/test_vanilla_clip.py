from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from verdicts import passed, right_answers, wrong, wrong_answers

from ordlib import ZeroShot, evaluate, load_clip, load_data, load_task
from ordlib.course.checks import vanilla_clip as check
from ordlib.metrics import ordinality_score


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, device="cpu")


# ---------------------------------------------------------------- own_prompts
COUNTING = load_task("counting")
LOOSE = tuple(f"about {word}" for word in COUNTING.words)
MINE = replace(COUNTING, words=LOOSE, templates=("some {rank} {object}",))


@pytest.fixture(scope="module")
def data():
    """Fifty pictures, singles among them."""
    data = load_data("counting", "train", side=64, size=50)
    assert 0 < np.sum(data.values == 1) < 10
    return data


class Told:
    """Stands in for ZeroShot: ``clip(task, templates, truth)`` says which counts are likeliest."""

    def __init__(self, clip, task, *, templates, fill, reading):
        self.clip, self.task, self.templates = clip, task, templates
        assert fill == {"object": "plural"}
        assert reading == "expectation"

    def predict(self, data):
        counts = self.clip(self.task, self.templates, data.values.astype(int))
        return self.task.read(np.eye(20)[np.clip(counts, 1, 20) - 1])


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
    digits = replace(MINE, words=tuple(map(str, range(1, 21))))
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
        (replace(MINE, words=("about  two", *LOOSE[1:])), "have the words 'about two'"),
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
        mae.append(evaluate(model, few, samples=1).metrics["mae"])
    assert abs(mae[0] - mae[1]) > 0.01
    # The task's own way of reading makes no difference: the check says which it takes.
    verdict = check.own_prompts(replace(MINE, reading="argmax"), clip, few)
    assert f"MAE {mae[0]:.2f} objects, the house's {mae[1]:.2f}" in verdict.message


# ---------------------------------------------------------------- own_words
SIZES = ["tiny", "small", "medium", "large", "huge", "vast"]


class Tower:
    """Encodes words as points of a half circle, in the order of SIZES."""

    def encode_prompts(self, prompts):
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
    score = ordinality_score(Tower().encode_prompts(words).numpy())
    assert score.corrected < 0
    verdict = check.own_words(words, Tower())
    wrong(verdict, f"no better than chance: ordinality {score.raw:.2f}")
    assert f"corrected for chance {score.corrected:.2f}" in verdict.message


def test_shuffles_are_the_measure_of_luck():
    """Five words by every order, as the check draws a thousand of them."""
    words = ["tiny", "small", "large", "medium", "huge"]
    scores = [ordinality_score(Tower().encode_prompts(p).numpy()).raw for p in permutations(words)]
    raw = ordinality_score(Tower().encode_prompts(words).numpy()).raw
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


def by_loop(p, levels):
    """The upper median, picture by picture, from a sum without cumsum."""
    ranks = range(len(levels))
    return [next(levels[k] for k in ranks if sum(row[: k + 1]) > 0.5) for row in p.tolist()]


RIGHT = [
    lambda p, levels: levels[rank_of(p)],
    by_loop,
    lambda p, levels: levels[(p @ abs(levels[:, None] - levels)).argmin(axis=1)],
    lambda p, levels: (levels[rank_of(p)] + levels[len(levels) - 1 - rank_of(p[:, ::-1])]) / 2,
]


WRONG = {
    "the expectation: it minimises the squared": lambda p, levels: p @ levels,
    "the likeliest rank": lambda p, levels: levels[p.argmax(axis=1)],
    "rank indices": lambda p, levels: rank_of(p),
    "one rank too low": lambda p, levels: levels[rank_of(p) - 1],
    "too low: take the first": lambda p, levels: levels[np.maximum(rank_of(p) - 1, 0)],
    "one rank too high": lambda p, levels: levels[(p.cumsum(axis=1) < 0.5).sum(axis=1) + 1],
    "finds the first True": lambda p, levels: levels[(p.cumsum(axis=1) < 0.5).argmax(axis=1)],
    "cumsum needs axis=1": lambda p, levels: levels[(p.cumsum(axis=0) >= 0.5).argmax(axis=1)],
    "median of the probabilities": lambda p, levels: np.median(p, axis=1),
    "it is the levels that have one": lambda p, levels: np.median(p * levels, axis=1),
    "one number for all 7 pictures": lambda p, levels: levels[(p.cumsum() >= 0.5).argmax()],
    "for each of the 5 ranks: work along axis=1": lambda p, levels: np.median(p, axis=0),
    "shape (7, 1) for 7 pictures": lambda p, levels: levels[rank_of(p)][:, None],
    "you answer nan": lambda p, levels: np.full(len(p), np.nan),
    # Right but for one thing, which only the sure predictions can show.
    "at levels [2.0, 3.0, 5.0, 9.0, 20.0] you answer 2, 18.00 off on average; 20 is 0.00 off": (
        lambda p, levels: levels[(p.cumsum(axis=1)[:, :-1] >= 0.5).argmax(axis=1)]
    ),
    "for 6 pictures you return shape (7,)": lambda p, levels: [9, 9, 3, 5, 9, 5, 2],
}


@right_answers({check.median_reading: RIGHT})
def test_right_answers_pass(judge, answer):
    passed(judge(answer))


@wrong_answers({check.median_reading: WRONG})
def test_wrong_answers_are_diagnosed(judge, diagnosis, answer):
    wrong(judge(answer), diagnosis)

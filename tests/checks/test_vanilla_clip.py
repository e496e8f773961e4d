from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch

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

    def counts(task, templates, truth):
        if task.words == COUNTING.words and task.templates == COUNTING.templates:
            assert tuple(templates) == (0, 1, 2)
            return house(truth)
        return mine(truth) if len(templates) == len(task.templates) else truth

    return check.own_prompts(task, counts, data)


def off(by):
    return lambda truth: np.where(truth > 10, truth - by, truth + by)


def test_better_prompts_pass_with_the_sober_remark(monkeypatch, data):
    verdict = judged(monkeypatch, data, off(2), off(5))
    assert verdict.state == "passed"
    assert "MAE 2.00 objects, the house's 5.00." in verdict.message
    assert "interval are 3 (3 to 3)." in verdict.message
    several = data.values[data.values > 1]
    constant = max(np.mean(several == count) for count in several)
    missing = "The exact number is still rare: 0 % exactly right for n > 1 (the house's 0 %, "
    assert f"{missing}always the same count {100 * constant:.0f} %)" in verdict.message


def test_the_constant_counts_no_singles(monkeypatch, data):
    few = data.subset([*np.flatnonzero(data.values == 1)] * 20 + [*np.flatnonzero(data.values > 1)])
    whole = judged(monkeypatch, data, off(2), off(5)).message
    told = whole[whole.index("always the same count") :]
    assert told in judged(monkeypatch, few, off(2), off(5)).message


def test_exact_prompts_are_praised(monkeypatch, data):
    verdict = judged(monkeypatch, data, lambda truth: truth, off(5))
    assert verdict.state == "passed"
    assert "there more often than not: 100 % exactly right for n > 1" in verdict.message
    assert "rare" not in verdict.message


def test_a_small_gain_is_no_gain(monkeypatch, data):
    def one_more(truth):
        counts = off(5)(truth)
        counts[np.argmax(truth)] += 1
        return counts

    verdict = judged(monkeypatch, data, one_more, off(5))
    assert verdict.state == "not yet"
    assert "flat guess a little; gain 1 object at least. Try the captions' own" in verdict.message
    assert judged(monkeypatch, data, off(4), off(5)).state == "passed"


def test_no_better_is_not_yet(monkeypatch, data):
    for by in (5, 6):
        verdict = judged(monkeypatch, data, off(by), off(5))
        assert verdict.state == "not yet"
        assert f"MAE {by}.00 objects, the house's 5.00." in verdict.message
        assert "Try the captions' own phrases" in verdict.message
        assert "several templates" in verdict.message
    two = replace(MINE, templates=("some {rank} {object}", "{rank} of the {object}"))
    assert "several templates" not in judged(monkeypatch, data, off(5), off(5), two).message
    digits = replace(MINE, words=tuple(map(str, range(1, 21))))
    assert "where you have digits" in judged(monkeypatch, data, off(5), off(5), digits).message


def test_a_gain_at_one_alone_does_not_count(monkeypatch, data):
    verdict = judged(monkeypatch, data, lambda t: np.where(t == 1, 1, off(5)(t)), off(5))
    assert verdict.state == "not yet"
    assert "for n > 1 it is 5.00 against 5.00: the whole gain is at n = 1" in verdict.message


def test_hits_at_one_alone_are_told(monkeypatch, data):
    verdict = judged(monkeypatch, data, lambda t: np.where(t == 1, 1, off(2)(t)), off(5))
    assert verdict.state == "passed"
    assert "Only single objects are hit more often" in verdict.message
    assert "Only single" not in judged(monkeypatch, data, off(2), off(5)).message
    both = judged(monkeypatch, data, lambda t: np.where(t < 4, t, off(2)(t)), off(5))
    assert "Only single" not in both.message


def test_templates_without_the_noun_have_a_price(monkeypatch, data):
    some = replace(MINE, templates=("some {rank} {object}", "I count {rank}"))
    for by, state in ((2, "passed"), (6, "not yet")):
        verdict = judged(monkeypatch, data, off(by), off(5), some)
        assert verdict.state == state
        told = "'I count {rank}' leaves {object} out; without such templates the MAE is 0.00."
        assert told in verdict.message
    none = replace(MINE, templates=("I count {rank}",))
    verdict = judged(monkeypatch, data, off(2), off(5), none)
    assert "No template names the {object}" in verdict.message
    assert "{object}" not in judged(monkeypatch, data, off(2), off(5)).message


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
    verdict = check.own_prompts(task, clip, data)
    assert verdict.state == "not yet"
    assert diagnosis in verdict.message


def test_own_prompts_diagnoses_the_pictures(clip, data):
    for other in (load_data("quality", "train", side=64, size=8), data.images):
        assert "must be pictures of counting" in check.own_prompts(MINE, clip, other).message
    singles = data.subset(data.values == 1)
    assert "more than one object" in check.own_prompts(MINE, clip, singles).message


def test_a_stub_is_not_started(clip, data):
    assert check.own_prompts(..., clip, data).state == "not started"
    assert check.own_words(..., clip).state == "not started"
    assert check.median_reading(lambda p, levels: ...).state == "not started"


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


def test_a_long_prompt_is_quoted(clip, data):
    long = replace(MINE, templates=("very " * 40 + "{rank} {object}",))
    verdict = check.own_prompts(long, clip, data)
    assert verdict.state == "not yet"
    assert "raised ValueError" in verdict.message


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
        assert verdict.state == "passed"
        assert "ordinality 1.00, corrected for chance 1.00" in verdict.message


def test_swapped_neighbours_are_named():
    verdict = check.own_words(["tiny", "medium", "small", "large", "huge"], Tower())
    assert verdict.state == "not yet"
    assert "Swapping 'medium' and 'small' would give 1.00" in verdict.message


def test_an_order_below_chance_is_told():
    words = ["medium", "vast", "tiny", "huge", "small", "large"]
    score = ordinality_score(Tower().encode_prompts(words).numpy())
    assert score.corrected < 0
    verdict = check.own_words(words, Tower())
    assert verdict.state == "not yet"
    assert verdict.message.startswith(f"no better than chance: ordinality {score.raw:.2f}")
    assert f"corrected for chance {score.corrected:.2f}" in verdict.message


def test_shuffles_are_the_measure_of_luck():
    """Five words by every order, as the check draws a thousand of them."""
    words = ["tiny", "small", "large", "medium", "huge"]
    scores = [ordinality_score(Tower().encode_prompts(p).numpy()).raw for p in permutations(words)]
    raw = ordinality_score(Tower().encode_prompts(words).numpy()).raw
    share = np.mean(np.array(scores) >= raw)
    said = float(check.own_words(words, Tower()).message.split("; ")[1].split(" %")[0]) / 100
    assert abs(said - share) < 0.03


def test_a_random_tower_keeps_no_order(clip):
    orders = np.random.default_rng(0)
    states = [check.own_words(orders.permutation(SIZES), clip).state for _ in range(20)]
    assert states.count("passed") <= 4


def test_where_no_swap_helps():
    verdict = check.own_words(["tiny", "small", "large", "huge", "medium"], Tower())
    assert verdict.state == "not yet"
    assert "No swap of two neighbours helps" in verdict.message


@pytest.mark.parametrize(
    ("words", "diagnosis"),
    [
        (SIZES[:4], "4 words are few"),
        ([*SIZES, "Tiny "], "'tiny' is there twice"),
        ("tiny small medium", "that is one text"),
        (set(SIZES), "a set has no order"),
        ([*SIZES, 7], "7 is no word"),
        ([*SIZES, " "], "' ' is no word"),
        ([*SIZES, "7"], "'7' is all digits"),
        (["Bad", "poor", "fair", "good", "excellent"], "the house's words for quality"),
        (COUNTING.bin_phrases, "the house's words for counting"),
        (COUNTING.bin_phrases[::-1], "the house's words for counting"),
    ],
)
def test_own_words_diagnoses(words, diagnosis):
    verdict = check.own_words(words, Tower())
    assert verdict.state == "not yet"
    assert diagnosis in verdict.message


# ---------------------------------------------------------------- median_reading
def rank_of(p):
    return (p.cumsum(axis=1) >= 0.5).argmax(axis=1)


def by_loop(p, levels):
    """The upper median, picture by picture, from a sum without cumsum."""
    values = []
    for row in p:
        total, rank = 0.0, -1
        while total <= 0.5:
            rank += 1
            total += row[rank]
        values.append(levels[rank])
    return values


RIGHT = {
    "first to reach one half": lambda p, levels: levels[rank_of(p)],
    "upper median": by_loop,
    "smallest expected error": lambda p, levels: levels[
        (p @ abs(levels[:, None] - levels)).argmin(axis=1)
    ],
    "from above": lambda p, levels: levels[
        len(levels) - 1 - rank_of(p[:, ::-1])  # the upper median again, summed from the top
    ],
    "between two medians": lambda p, levels: (
        (levels[rank_of(p)] + levels[len(levels) - 1 - rank_of(p[:, ::-1])]) / 2
    ),
    "single precision": lambda p, levels: levels[rank_of(p)].astype(np.float32),
}


@pytest.mark.parametrize("name", RIGHT)
def test_median_reading_accepts(name):
    assert check.median_reading(RIGHT[name]).state == "passed"


def by_order(sign, keep_levels):
    def function(p, levels):
        order = np.argsort(sign * p, axis=1)
        rank = rank_of(np.take_along_axis(p, order, axis=1))
        return levels[rank] if keep_levels else levels[order[np.arange(len(p)), rank]]

    return function


WRONG = {
    "the expectation: it minimises the squared": [lambda p, levels: p @ levels],
    "expectation settled on a rank": [
        lambda p, levels: levels[abs((p @ levels)[:, None] - levels).argmin(axis=1)]
    ],
    "the likeliest rank": [lambda p, levels: levels[p.argmax(axis=1)]],
    "rank indices": [
        lambda p, levels: rank_of(p),
        lambda p, levels: p.argmax(axis=1),
        lambda p, levels: p @ np.arange(len(levels)),
    ],
    "one rank too low": [
        lambda p, levels: levels[rank_of(p) - 1],
        lambda p, levels: levels[np.maximum(rank_of(p) - 1, 0)],
    ],
    "one rank too high": [
        lambda p, levels: levels[np.minimum(rank_of(p) + 1, len(levels) - 1)],
        lambda p, levels: levels[(p.cumsum(axis=1) < 0.5).sum(axis=1) + 1],
    ],
    "argmax finds the first True": [
        lambda p, levels: levels[(p.cumsum(axis=1) < 0.5).argmax(axis=1)]
    ],
    "not just come near": [lambda p, levels: levels[abs(p.cumsum(axis=1) - 0.5).argmin(axis=1)]],
    "do not interpolate": [lambda p, levels: [np.interp(0.5, row.cumsum(), levels) for row in p]],
    "cumsum needs axis=1": [lambda p, levels: levels[(p.cumsum(axis=0) >= 0.5).argmax(axis=1)]],
    "sort the probabilities": [by_order(sign, keep) for sign in (1, -1) for keep in (True, False)],
    "median of the probabilities": [
        lambda p, levels: np.median(p, axis=1),
        lambda p, levels: np.median(p * levels, axis=1),
        lambda p, levels: levels[np.argsort(p, axis=1)[:, len(levels) // 2]],
    ],
    "the middle rank for every picture": [lambda p, levels: np.full(len(p), np.median(levels))],
    "one number for all 7 pictures": [
        lambda p, levels: np.median(p),
        lambda p, levels: levels[(p.cumsum() >= 0.5).argmax()],
    ],
    "for each of the 5 ranks: work along axis=1": [
        lambda p, levels: p.mean(axis=0),
        lambda p, levels: np.median(p, axis=0),
    ],
    "is a column": [lambda p, levels: levels[rank_of(p)][:, None]],
    "shape (7, 5) for 7 pictures": [lambda p, levels: p * levels],
    "you answer 2.5, ": [lambda p, levels: np.full(len(p), 2.5)],
    "you answer nan": [lambda p, levels: np.full(len(p), np.nan)],
    # Right but for one thing, which only the sure predictions can show.
    "at levels [2.0, 3.0, 5.0, 9.0, 20.0] you answer 2, 18.00 off on average; 20 is 0.00 off": [
        lambda p, levels: levels[(p.cumsum(axis=1)[:, :-1] >= 0.5).argmax(axis=1)]
    ],
    "for 6 pictures you return shape (7,)": [lambda p, levels: [9, 9, 3, 5, 9, 5, 2]],
    "raised ZeroDivisionError": [lambda p, levels: 1 / 0],
}
CASES = [(diagnosis, function) for diagnosis, wrong in WRONG.items() for function in wrong]


@pytest.mark.parametrize(("diagnosis", "function"), CASES, ids=[name for name, _ in CASES])
def test_median_reading_diagnoses(diagnosis, function):
    verdict = check.median_reading(function)
    assert verdict.state == "not yet"
    assert diagnosis in verdict.message


def test_mistakes_have_values_of_their_own():
    """None is a right answer by another name, and no two diagnoses fit the same values."""
    mistakes = check._mistakes(check.PROBABILITIES, check.LEVELS)
    for i, (diagnosis, values) in enumerate(mistakes):
        assert check._worse(values, check.PROBABILITIES), diagnosis
        for other, others in mistakes[:i]:
            assert other == diagnosis or not np.allclose(values, others), (diagnosis, other)

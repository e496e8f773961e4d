"""Checks of notebook 01."""

from collections.abc import Callable, Sequence

import numpy as np

from ...clip import ClipBackbone
from ...data import ImageData
from ...methods.zero_shot import ZeroShot
from ...metrics import bootstrap, ordinality_score
from ...tasks import OrdinalTask, load_task
from .match_mistakes import resembling
from .result import CheckResult, called, exercise_check

HOUSE_TEMPLATES = (0, 1, 2)  # those of counting that leave the colour out
# Objects by which prompts must beat the house's: those are no better than a constant, so that
# any little shift of the middle would beat them.
WORTH = 1.0
FEWEST_WORDS = 5
SHUFFLES = 1000
LUCK = 0.05  # most shuffles, as a share, that may do as well as the learner's order

# Unevenly spaced, and more pictures than ranks, so that every likely mistake of a median gives
# values of its own. No median stands on the last rank: one rank too high is still a rank.
LEVELS = np.array([2.0, 3.0, 5.0, 9.0, 20.0])
PROBABILITIES = np.array([
    [0.00, 0.30, 0.15, 0.20, 0.35],
    [0.05, 0.15, 0.10, 0.65, 0.05],
    [0.10, 0.45, 0.20, 0.05, 0.20],
    [0.40, 0.05, 0.25, 0.20, 0.10],
    [0.35, 0.00, 0.05, 0.20, 0.40],
    [0.15, 0.30, 0.25, 0.20, 0.10],
    [0.60, 0.05, 0.20, 0.10, 0.05],
])  # fmt: skip
# A sure model at every rank, the last one too, and an exact tie: 3, 9 and all between are right.
EXTREMES = np.vstack([np.eye(5), [0.25, 0.25, 0.0, 0.25, 0.25]])


@exercise_check
def own_prompts(task: OrdinalTask, clip: ClipBackbone, data: ImageData) -> str | CheckResult:
    """Prompts of your own against the house's, on the same pictures.

    They pass if the MAE of the expectation is lower than the house's by an object, and lower over
    the pictures of more than one object, too.
    """
    house = load_task("counting")
    if complaint := _unfit(task, house):
        return complaint
    mine, my_hits = _judged(clip, task, data, range(len(task.templates)))
    theirs, their_hits = _judged(clip, house, data, HOUSE_TEMPLATES)
    several = data.values > 1
    told = f"MAE {mine.mean():.2f} objects, the house's {theirs.mean():.2f}."
    exact = _exactness(my_hits[several].mean(), their_hits[several].mean(), data.ranks[several])
    if mine.mean() >= theirs.mean():
        return f"{told} {exact} {_suggestion(task)}"
    if mine[several].mean() >= theirs[several].mean():
        pair = f"{mine[several].mean():.2f} against {theirs[several].mean():.2f}"
        return (
            f"{told} But for n > 1 it is {pair}: the whole gain is at n = 1, where grammar can "
            f"give the count away. Change the words of the other ranks"
        )
    gain = bootstrap(np.mean, theirs - mine, groups=data.groups)
    if gain.estimate < WORTH:
        return (
            f"{told} That moves the house's flat guess a little; gain {WORTH:g} object at least. "
            f"{_suggestion(task)}"
        )
    return CheckResult("passed", f"{told} The gain and its 95 % interval are {gain}. {exact}")


def _unfit(task: OrdinalTask, house: OrdinalTask) -> str | None:
    """Say why prompts cannot be compared with the house's."""
    if not isinstance(task, OrdinalTask):
        given = type(task).__name__
        return f"that is a {given}: write replace(counting, templates=(...), rank_names=(...))"
    if task.num_ranks != house.num_ranks:
        return f"your task has {task.num_ranks} ranks: keep all {house.num_ranks}"
    if not np.array_equal(task.rank_values, house.rank_values):
        return "you changed the values: change words and templates only"
    words = [_folded(word) for word in task.rank_names]
    if twin := _twin(words):
        return f"two ranks have the words {twin!r}: their prompts are the same to CLIP"
    templates = {_folded(text) for text in task.templates}
    if words == list(house.rank_names) and templates <= {_folded(text) for text in house.templates}:
        return "these are the house's own prompts: change the words, the templates or both"
    return None


def _judged(
    clip: ClipBackbone, task: OrdinalTask, data: ImageData, templates: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return errors of the expectation, and hits of the likeliest rank."""
    fill = {"object": "plural"} if "object" in task.placeholders else {}
    model = ZeroShot(clip, task, templates=tuple(templates), fill=fill, decode="expectation")
    prediction = model.predict(data)
    likeliest = prediction.probabilities.argmax(axis=1)
    return abs(prediction.value - data.values), likeliest == data.ranks


def _exactness(share: float, house: float, ranks: np.ndarray) -> str:
    """Say whether the exact number is there, beside what the best single answer would reach."""
    constant = np.bincount(ranks).max() / len(ranks)
    how = "there more often than not" if share >= 0.5 else "still rare"
    return (
        f"The exact number is {how}: {100 * share:.0f} % exactly right for n > 1 (the house's "
        f"{100 * house:.0f} %, always the same count {100 * constant:.0f} %)."
    )


def _suggestion(task: OrdinalTask) -> str:
    """Name what these prompts have not tried yet."""
    if any(word.strip().isdigit() for word in task.rank_names):
        return "Try words where you have digits, with a loose phrase ('a few', 'many') beside them."
    more = ", and several templates: their features are averaged" if len(task.templates) < 2 else ""
    return f"Try the captions' own phrases of quantity ('a few', 'many') beside the number{more}."


@exercise_check
def own_words(words: Sequence[str], clip: ClipBackbone) -> str | CheckResult:
    """Words for ordered ranks whose order CLIP's text tower keeps.

    CLIP reads the words as they are given, without a template. The threshold is made of the
    same words: an order counts as kept if at most one in twenty shuffles of them scores as high.
    A fixed score would not do, because few words reach a high one by luck.
    """
    if complaint := _no_rank_words(words):
        return complaint
    words = [str(word) for word in words]
    features = clip.encode_text(words).numpy()
    score = ordinality_score(features)
    rng = np.random.default_rng(0)
    shuffled = [ordinality_score(rng.permutation(features)).raw for _ in range(SHUFFLES)]
    luck = np.mean(np.array(shuffled) >= score.raw)
    told = (
        f"ordinality {score.raw:.2f}, corrected for chance {score.chance_corrected:.2f}; "
        f"{100 * luck:.1f} % of the shuffles of your words do as well"
    )
    if luck <= LUCK:
        return CheckResult("passed", f"{told}: the text tower keeps this order.")
    if score.chance_corrected <= 0:
        told = f"no better than chance: {told}"
    return f"{told}, and {100 * LUCK:g} % is the limit. {_best_swap(words, features, score.raw)}"


def _no_rank_words(words: Sequence[str]) -> str | None:
    """Say why a list cannot be words of ranks."""
    if isinstance(words, str):
        return "that is one text: give a list of words, one for each rank"
    for word in words:
        if not isinstance(word, str) or not word.strip():
            return f"{word!r} is no word: give texts only"
        if word.strip().isdigit():
            return f"{word!r} is all digits: write what a caption would say"
    folded = [_folded(word) for word in words]
    if twin := _twin(folded):
        return f"{twin!r} is there twice: give every rank a word of its own"
    if len(words) < FEWEST_WORDS:
        return f"{len(words)} words are few to tell order from luck: give {FEWEST_WORDS} or more"
    for name in ("counting", "dating", "ageing", "quality"):
        task = load_task(name)
        house = (list(map(_folded, task.rank_names)), list(map(_folded, task.bin_phrases)))
        if folded in house or folded[::-1] in house:
            return f"those are the house's words for {name}: find some of your own"
    return None


def _best_swap(words: Sequence[str], features: np.ndarray, raw: float) -> str:
    """Name the neighbours whose swap raises the score most."""
    order, swaps = list(range(len(words))), {}
    for i in order[:-1]:
        swapped = [*order[:i], i + 1, i, *order[i + 2 :]]
        swaps[ordinality_score(features[swapped]).raw] = f"{words[i]!r} and {words[i + 1]!r}"
    best = max(swaps)
    if best <= raw:
        return "No swap of two neighbours helps: a word is far out of place, or new to this CLIP."
    return f"Swapping {swaps[best]} would give {best:.2f}: look at these two."


def _folded(text: str) -> str:
    """Return a text as CLIP reads it: in lower case, with single spaces."""
    return " ".join(text.lower().split())


def _twin(texts: Sequence[str]) -> str | None:
    return next((text for i, text in enumerate(texts) if text in texts[:i]), None)


@exercise_check
def median_reading(function: Callable) -> str | None:
    """Half of the probability to either side: no other value has a smaller expected error.

    The function takes ``(N, M)`` probabilities and ``(M,)`` rank_values, returns ``(N,)`` values.
    """
    answer = np.asarray(called(function, PROBABILITIES, LEVELS))
    pictures, ranks = PROBABILITIES.shape
    if answer.ndim == 0:
        return f"you return one number for all {pictures} pictures: work along axis=1"
    if answer.shape == (ranks,):
        return f"you return a value for each of the {ranks} ranks: work along axis=1, not 0"
    if answer.shape != (pictures,):
        shape = f"shape {answer.shape} for {pictures} pictures"
        return f"{shape}: return ({pictures},), a value for each"
    diagnosis = resembling(answer, _wrong_medians(PROBABILITIES, LEVELS))
    if complaint := diagnosis or _worse(answer, PROBABILITIES):
        return complaint
    return _worse(np.asarray(called(function, EXTREMES, LEVELS)), EXTREMES)


def _worse(answer: np.ndarray, probabilities: np.ndarray) -> str | None:
    """Compare expected absolute errors, so that where medians tie any of them is right."""
    if answer.shape != (len(probabilities),):
        return f"for {len(probabilities)} pictures you return shape {answer.shape}"
    distances = abs(LEVELS[:, None] - LEVELS)
    best = (probabilities @ distances).min(axis=1)
    expected = (probabilities * abs(answer[:, None] - LEVELS)).sum(axis=1)
    for row in np.flatnonzero(~(expected <= best + 1e-6)):
        median = LEVELS[np.argmin(probabilities[row] @ distances)]
        return (
            f"for probabilities {probabilities[row].tolist()} at rank_values {LEVELS.tolist()} you "
            f"answer {answer[row]:g}, {expected[row]:.2f} off on average; {median:g} is "
            f"{best[row]:.2f} off"
        )
    return None


def _wrong_medians(p: np.ndarray, rank_values: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Pair what is likely to go wrong with the values it gives."""
    rank = (p.cumsum(axis=1) >= 0.5).argmax(axis=1)
    off = "one rank too {}: take the first rank at which the cumulative sum reaches 0.5"
    middle = "that is a median of the probabilities: it is the rank_values that have one, weighted"
    return [
        ("that is the expectation: it minimises the squared error", p @ rank_values),
        ("that is the likeliest rank: it ignores where the others are", rank_values[p.argmax(axis=1)]),
        ("these are rank indices: look the value up in rank_values", rank),
        (off.format("low"), rank_values[rank - 1]),  # from the first rank around to the last
        (off.format("low"), rank_values[np.maximum(rank - 1, 0)]),
        (off.format("high"), rank_values[rank + 1]),
        ("argmax finds the first True: compare with >= 0.5, not <", np.full(len(p), rank_values[0])),
        ("you sum down the pictures: cumsum needs axis=1",
         rank_values[(p.cumsum(axis=0) >= 0.5).argmax(axis=1)]),
        (middle, np.median(p, axis=1)),
        (middle, np.median(p * rank_values, axis=1)),
    ]  # fmt: skip

"""Checks of notebook 01."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ...clip import ClipBackbone
from ...data import ImageData
from ...methods.zero_shot import ZeroShot
from ...metrics import bootstrap, ordinality_score
from ...tasks import OrdinalTask, load_task
from ...tasks.templates import placeholders
from .result import Verdict, called, diagnosing

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
PROBABILITIES = np.array(
    [
        [0.00, 0.30, 0.15, 0.20, 0.35],
        [0.05, 0.15, 0.10, 0.65, 0.05],
        [0.10, 0.45, 0.20, 0.05, 0.20],
        [0.40, 0.05, 0.25, 0.20, 0.10],
        [0.35, 0.00, 0.05, 0.20, 0.40],
        [0.15, 0.30, 0.25, 0.20, 0.10],
        [0.60, 0.05, 0.20, 0.10, 0.05],
    ]
)
# A sure model at every rank, the last one too, and an exact tie: 3, 9 and all between are right.
EXTREMES = np.vstack([np.eye(5), [0.25, 0.25, 0.0, 0.25, 0.25]])


class _Answers(NamedTuple):
    """What prompts make of N pictures: errors of the expectation, and hits of the likeliest."""

    errors: np.ndarray
    hits: np.ndarray


@diagnosing
def own_prompts(task: OrdinalTask, clip: ClipBackbone, data: ImageData) -> str | Verdict:
    """Prompts of your own against the house's, on the same pictures.

    Args:
        task: the learner's: counting with other words or templates.
        clip: the backbone, as it was loaded.
        data: pictures of counting, some with more than one object.

    Returns:
        A :class:`Verdict`: passed if the MAE of the expectation is lower than
        the house's by an object, and lower over the pictures of more than one object, too.
    """
    house = load_task("counting")
    if complaint := _unfit(task, data, house):
        return complaint
    mine = _answers(clip, task, data, range(len(task.templates)))
    theirs = _answers(clip, house, data, HOUSE_TEMPLATES)
    several = data.values > 1
    nouns = _price_of_no_noun(clip, task, data)
    told = f"MAE {mine.errors.mean():.2f} objects, the house's {theirs.errors.mean():.2f}."
    if mine.errors.mean() >= theirs.errors.mean():
        return f"{told} {_exactness(mine, theirs, data)} {_suggestion(task)}{nouns}"
    if mine.errors[several].mean() >= theirs.errors[several].mean():
        pair = f"{mine.errors[several].mean():.2f} against {theirs.errors[several].mean():.2f}"
        return (
            f"{told} But for n > 1 it is {pair}: the whole gain is at n = 1, where grammar can "
            f"give the count away. Change the words of the other ranks{nouns}"
        )
    gain = bootstrap(np.mean, theirs.errors - mine.errors, groups=data.groups)
    if gain.estimate < WORTH:
        return (
            f"{told} That moves the house's flat guess a little; gain {WORTH:g} object at least. "
            f"{_suggestion(task)}{nouns}"
        )
    sure = f"The gain and its 95 % interval are {gain}."
    return Verdict("passed", f"{told} {sure} {_exactness(mine, theirs, data)}{nouns}")


def _unfit(task: OrdinalTask, data: ImageData, house: OrdinalTask) -> str | None:
    """Say why prompts cannot be compared with the house's."""
    if not isinstance(task, OrdinalTask):
        given = type(task).__name__
        return f"that is a {given}: write replace(counting, templates=(...), words=(...))"
    if not isinstance(data, ImageData) or not np.array_equal(data.task.levels, house.levels):
        return 'data must be pictures of counting: load_data("counting", "val")'
    if not (data.values > 1).any():
        return "no picture holds more than one object: give the check more pictures"
    if task.num_ranks != house.num_ranks:
        return f"your task has {task.num_ranks} ranks: keep all {house.num_ranks}"
    if not np.array_equal(task.levels, house.levels):
        return "you changed the values: change words and templates only"
    words = [_folded(word) for word in task.words]
    if twin := _twin(words):
        return f"two ranks have the words {twin!r}: their prompts are the same to CLIP"
    templates = {_folded(text) for text in task.templates}
    if words == list(house.words) and templates <= {_folded(text) for text in house.templates}:
        return "these are the house's own prompts: change the words, the templates or both"
    return None


def _answers(
    clip: ClipBackbone, task: OrdinalTask, data: ImageData, templates: Sequence[int]
) -> _Answers:
    fill = {"object": "plural"} if "object" in task.fillers else {}
    model = ZeroShot(clip, task, templates=tuple(templates), fill=fill, reading="expectation")
    prediction = model.predict(data)
    hits = prediction.probabilities.argmax(axis=1) == data.ranks
    return _Answers(abs(prediction.value - data.values), hits)


def _exactness(mine: _Answers, theirs: _Answers, data: ImageData) -> str:
    """Say whether the exact number is there, beside what the best single answer would reach."""
    several = data.values > 1
    share, house = mine.hits[several].mean(), theirs.hits[several].mean()
    constant = np.bincount(data.ranks[several]).max() / several.sum()
    told = (
        f"{100 * share:.0f} % exactly right for n > 1 (the house's {100 * house:.0f} %, always "
        f"the same count {100 * constant:.0f} %)"
    )
    if share >= 0.5:
        return f"The exact number is there more often than not: {told}."
    told = f"The exact number is still rare: {told}."
    if share <= house and mine.hits[~several].sum() > theirs.hits[~several].sum():
        told += " Only single objects are hit more often, and grammar can give them away."
    return told


def _suggestion(task: OrdinalTask) -> str:
    """Name what these prompts have not tried yet."""
    if any(word.strip().isdigit() for word in task.words):
        return "Try words where you have digits, with a loose phrase ('a few', 'many') beside them."
    told = "Try the captions' own phrases of quantity ('a few', 'many') beside the number"
    more = ", and several templates: their features are averaged" if len(task.templates) < 2 else ""
    return f"{told}{more}."


def _price_of_no_noun(clip: ClipBackbone, task: OrdinalTask, data: ImageData) -> str:
    """Say what templates without {object} cost, or nothing if there are none."""
    named = [i for i, text in enumerate(task.templates) if "object" in placeholders(text)]
    if len(named) == len(task.templates):
        return ""
    if not named:
        return " No template names the {object}: every picture met the same prompts."
    bare = next(text for i, text in enumerate(task.templates) if i not in named)
    mae = _answers(clip, task, data, named).errors.mean()
    return f" {bare!r} leaves {{object}} out; without such templates the MAE is {mae:.2f}."


@diagnosing
def own_words(words: Sequence[str], clip: ClipBackbone) -> str | Verdict:
    """Words for ordered ranks whose order CLIP's text tower keeps.

    CLIP reads the words as they are given, without a template. The threshold is made of the
    same words: an order counts as kept if at most one in twenty shuffles of them scores as high.
    A fixed score would not do, because few words reach a high one by luck.

    Args:
        words: the learner's words or phrases, five or more, in the order of the ranks.
        clip: the backbone.

    Returns:
        A :class:`Verdict`.
    """
    if complaint := _no_rank_words(words):
        return complaint
    words = [str(word) for word in words]
    features = clip.encode_prompts(words).numpy()
    score = ordinality_score(features)
    rng = np.random.default_rng(0)
    shuffled = [ordinality_score(rng.permutation(features)).raw for _ in range(SHUFFLES)]
    luck = np.mean(np.array(shuffled) >= score.raw)
    told = (
        f"ordinality {score.raw:.2f}, corrected for chance {score.corrected:.2f}; "
        f"{100 * luck:.1f} % of the shuffles of your words do as well"
    )
    if luck <= LUCK:
        return Verdict("passed", f"{told}: the text tower keeps this order.")
    if score.corrected <= 0:
        told = f"no better than chance: {told}"
    return f"{told}, and {100 * LUCK:g} % is the limit. {_best_swap(words, features, score.raw)}"


def _no_rank_words(words: Sequence[str]) -> str | None:
    """Say why a list cannot be words of ranks."""
    if isinstance(words, str):
        return "that is one text: give a list of words, one for each rank"
    if not isinstance(words, list | tuple | np.ndarray):
        return f"a {type(words).__name__} has no order to rely on: give a list"
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
        house = (list(map(_folded, task.words)), list(map(_folded, task.bin_phrases)))
        if folded in house or folded[::-1] in house:
            return f"those are the house's words for {name}: find some of your own"
    return None


def _best_swap(words: Sequence[str], features: np.ndarray, raw: float) -> str:
    """Name the neighbours whose swap raises the score most."""
    swaps = []
    for i in range(len(words) - 1):
        order = np.arange(len(words))
        order[[i, i + 1]] = i + 1, i
        swaps.append(ordinality_score(features[order]).raw)
    best = int(np.argmax(swaps))
    if swaps[best] <= raw:
        return "No swap of two neighbours helps: a word is far out of place, or new to this CLIP."
    first, second = words[best], words[best + 1]
    return f"Swapping {first!r} and {second!r} would give {swaps[best]:.2f}: look at these two."


def _folded(text: str) -> str:
    """Return a text as CLIP reads it: in lower case, with single spaces."""
    return " ".join(text.lower().split())


def _twin(texts: Sequence[str]) -> str | None:
    return next((text for i, text in enumerate(texts) if text in texts[:i]), None)


@diagnosing
def median_reading(function: Callable) -> str | None:
    """Half of the probability to either side: no other value has a smaller expected error.

    Args:
        function: takes ``(N, M)`` probabilities and ``(M,)`` levels, returns ``(N,)`` values.

    Returns:
        A :class:`Verdict`.
    """
    answer = np.asarray(called(function, PROBABILITIES, LEVELS))
    if complaint := _misshapen(answer):
        return complaint
    for diagnosis, wrong in _mistakes(PROBABILITIES, LEVELS):
        if np.allclose(answer, wrong):
            return diagnosis
    return _worse(answer, PROBABILITIES) or _worse(
        np.asarray(called(function, EXTREMES, LEVELS)), EXTREMES
    )


def _misshapen(answer: np.ndarray) -> str | None:
    pictures, ranks = PROBABILITIES.shape
    if answer.shape == (pictures,):
        return None
    if answer.ndim == 0:
        return f"you return one number for all {pictures} pictures: work along axis=1"
    if answer.shape == (ranks,):
        return f"you return a value for each of the {ranks} ranks: work along axis=1, not 0"
    if answer.shape == (pictures, 1):
        return f"shape ({pictures}, 1) is a column: drop its second axis"
    return f"shape {answer.shape} for {pictures} pictures: return ({pictures},), a value for each"


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
            f"for probabilities {probabilities[row].tolist()} at levels {LEVELS.tolist()} you "
            f"answer {answer[row]:g}, {expected[row]:.2f} off on average; {median:g} is "
            f"{best[row]:.2f} off"
        )
    return None


def _mistakes(p: np.ndarray, levels: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Pair what is likely to go wrong with the values it gives."""
    sums = p.cumsum(axis=1)
    rank = (sums >= 0.5).argmax(axis=1)
    likeliest = p.argmax(axis=1)
    indices = "these are rank indices: look the value up in levels"
    off = "one rank too {}: take the first rank at which the cumulative sum reaches 0.5"
    order = "you sort the probabilities: leave them in the order of the ranks, that is the point"
    middle = "that is a median of the probabilities: it is the levels that have one, weighted"
    expectation = p @ levels
    nearest = levels[abs(expectation[:, None] - levels).argmin(axis=1)]
    mistakes = [
        ("that is the expectation: it minimises the squared error", expectation),
        ("that is the expectation settled on a rank, not the median", nearest),
        ("that is the likeliest rank: it ignores where the others are", levels[likeliest]),
        (indices, rank),
        (indices, likeliest),
        (indices, p @ np.arange(len(levels))),
        (off.format("low"), levels[rank - 1]),  # from the first rank around to the last
        (off.format("low"), levels[np.maximum(rank - 1, 0)]),
        (off.format("high"), levels[rank + 1]),
        ("argmax finds the first True: compare with >= 0.5, not <", np.full(len(p), levels[0])),
        (
            "the cumulative sum must reach 0.5, not just come near it",
            levels[abs(sums - 0.5).argmin(axis=1)],
        ),
        (
            "do not interpolate between ranks: take the first whose cumulative sum reaches 0.5",
            np.array([np.interp(0.5, row, levels) for row in sums]),
        ),
        (
            "you sum down the pictures: cumsum needs axis=1",
            levels[(p.cumsum(axis=0) >= 0.5).argmax(axis=1)],
        ),
        (middle, np.median(p, axis=1)),
        (middle, np.median(p * levels, axis=1)),
        (middle, levels[np.argsort(p, axis=1)[:, len(levels) // 2]]),
        ("that is the middle rank for every picture", np.full(len(p), np.median(levels))),
    ]
    for sort in (np.argsort(p, axis=1), np.argsort(-p, axis=1)):
        ordered = np.take_along_axis(p, sort, axis=1).cumsum(axis=1)
        place = (ordered >= 0.5).argmax(axis=1)
        mistakes += [(order, levels[place]), (order, levels[sort[np.arange(len(p)), place]])]
    return mistakes

"""Checks of notebook 01."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from ...clip import ClipBackbone
from ...data import ImageData
from ...methods.zero_shot import ZeroShot
from ...metrics import bootstrap, ordinality_score
from ...tasks import OrdinalTask, load_task
from .match_mistakes import find_mistake
from .result import CheckResult, call_solution, exercise_check

BUILT_IN_TEMPLATES = (0, 1, 2)  # those of counting without a color
# The built-in prompts do not beat a constant prediction: any small shift lowers their MAE.
MIN_MAE_GAIN = 1.0
MIN_WORDS = 5
NUM_SHUFFLES = 1000
SIGNIFICANCE_LEVEL = 0.05

# Unevenly spaced, and more images than ranks: every likely mistake gives other values. No median
# is the last rank, so that one rank too high still is a rank.
RANK_VALUES = np.array([2.0, 3.0, 5.0, 9.0, 20.0])
PROBABILITIES = np.array([
    [0.00, 0.30, 0.15, 0.20, 0.35], [0.05, 0.15, 0.10, 0.65, 0.05], [0.10, 0.45, 0.20, 0.05, 0.20],
    [0.40, 0.05, 0.25, 0.20, 0.10], [0.35, 0.00, 0.05, 0.20, 0.40], [0.15, 0.30, 0.25, 0.20, 0.10],
    [0.60, 0.05, 0.20, 0.10, 0.05],
])  # fmt: skip
# Certainty at every rank, the last included, and an exact tie: every value from 3 to 9 is right.
EXTREMES = np.vstack([np.eye(5), [0.25, 0.25, 0.0, 0.25, 0.25]])

_RANKS = (PROBABILITIES.cumsum(axis=1) >= 0.5).argmax(axis=1)
_OFF = "one rank too {}: take the first rank at which the cumulative sum reaches 0.5"
_UNWEIGHTED = "that is a median of the probabilities: take the weighted median of rank_values"
_WRONG_MEDIANS = [
    ("that is the expectation: it minimizes the squared error", PROBABILITIES @ RANK_VALUES),
    ("that is the likeliest rank: it ignores the other ranks",
     RANK_VALUES[PROBABILITIES.argmax(axis=1)]),
    ("these are rank indices: return their rank_values", _RANKS),
    (_OFF.format("low"), RANK_VALUES[_RANKS - 1]),  # wraps around from the first rank to the last
    (_OFF.format("low"), RANK_VALUES[np.maximum(_RANKS - 1, 0)]),
    (_OFF.format("high"), RANK_VALUES[_RANKS + 1]),
    ("argmax finds the first True: compare with >= 0.5, not <", np.full(7, RANK_VALUES[0])),
    ("you sum over the images: cumsum needs axis=1",
     RANK_VALUES[(PROBABILITIES.cumsum(axis=0) >= 0.5).argmax(axis=1)]),
    (_UNWEIGHTED, np.median(PROBABILITIES, axis=1)),
    (_UNWEIGHTED, np.median(PROBABILITIES * RANK_VALUES, axis=1)),
]  # fmt: skip


@exercise_check
def own_prompts(task: OrdinalTask, clip: ClipBackbone, data: ImageData) -> str | CheckResult:
    """Zero-shot prompts whose MAE is one object below the built-in ones', and lower for n > 1."""
    built_in = load_task("counting")
    if message := _check_prompts(task, built_in):
        return message
    errors, hits = _evaluate_prompts(clip, task, data, range(len(task.templates)))
    base_errors, base_hits = _evaluate_prompts(clip, built_in, data, BUILT_IN_TEMPLATES)
    several = data.values > 1
    summary = f"MAE {errors.mean():.2f} objects, built-in prompts {base_errors.mean():.2f}."
    exact = _describe_accuracy(hits[several], base_hits[several], data.ranks[several])
    if errors.mean() >= base_errors.mean():
        return f"{summary} {exact} {_suggest(task)}"
    if errors[several].mean() >= base_errors[several].mean():
        pair = f"{errors[several].mean():.2f} against {base_errors[several].mean():.2f}"
        hint = "the whole gain is at n = 1, which grammar reveals. Change the other ranks' words"
        return f"{summary} But for n > 1 it is {pair}: {hint}"
    gain = bootstrap(np.mean, base_errors - errors, groups=data.groups)
    if gain.estimate < MIN_MAE_GAIN:
        hint = f"A shift of all predictions can do that, so gain {MIN_MAE_GAIN:g} object at least."
        return f"{summary} {hint} {_suggest(task)}"
    return CheckResult("passed", f"{summary} The gain and its 95 % interval are {gain}. {exact}")


def _check_prompts(task: OrdinalTask, built_in: OrdinalTask) -> str | None:
    """Return why a task's prompts cannot be compared with the built-in ones."""
    if not isinstance(task, OrdinalTask):
        kind = type(task).__name__
        return f"that is a {kind}: write replace(counting, templates=(...), rank_names=(...))"
    if task.num_ranks != built_in.num_ranks:
        return f"your task has {task.num_ranks} ranks: keep all {built_in.num_ranks}"
    if not np.array_equal(task.rank_values, built_in.rank_values):
        return "you changed the values: change words and templates only"
    rank_names = _normalize(task.rank_names)
    words = [" ".join(sorted(set(name.split()))) for name in rank_names]
    if name := _first_duplicate(words):
        return f"two ranks have the same words ({name}): give each a word of its own"
    templates = set(_normalize(task.templates))
    if rank_names == list(built_in.rank_names) and templates <= set(_normalize(built_in.templates)):
        return "these are the built-in prompts: change the words, the templates or both"
    return None


def _evaluate_prompts(
    clip: ClipBackbone, task: OrdinalTask, data: ImageData, templates: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return each image's absolute error of the expectation, and whether the top rank is right."""
    columns = {"object": "plural"} if "object" in task.placeholders else {}
    options = {"templates": tuple(templates), "placeholder_columns": columns}
    prediction = ZeroShot(clip, task, **options, decode="expectation").predict(data)
    top1 = prediction.probabilities.argmax(axis=1)
    return abs(prediction.value - data.values), top1 == data.ranks


def _describe_accuracy(hits: np.ndarray, base_hits: np.ndarray, ranks: np.ndarray) -> str:
    """Compare the accuracy with the built-in prompts' and with the best constant prediction's."""
    constant = np.bincount(ranks).max() / len(ranks)
    how = "there more often than not" if hits.mean() >= 0.5 else "still rare"
    return (
        f"The exact number is {how}: {100 * hits.mean():.0f} % exactly right for n > 1 (built-in "
        f"prompts {100 * base_hits.mean():.0f} %, always the same count {100 * constant:.0f} %)."
    )


def _suggest(task: OrdinalTask) -> str:
    """Suggest a kind of prompt that the task does not use yet."""
    if any(name.strip().isdigit() for name in task.rank_names):
        return "Try words where you have digits, with a loose phrase ('a few', 'many') beside them."
    more = ", and several templates: their features are averaged" if len(task.templates) < 2 else ""
    return f"Try the captions' own phrases of quantity ('a few', 'many') beside the number{more}."


@exercise_check
def own_words(words: Sequence[str], clip: ClipBackbone) -> str | CheckResult:
    """Words of ordered ranks whose order the features of CLIP's text encoder keep.

    The words are encoded without a template. The test is a permutation test: an order is kept if
    at most 5 % of the shuffles of the same words reach its ordinality score. A fixed threshold
    does not work, because few words reach a high score by chance.
    """
    if message := _check_words(words):
        return message
    words = [str(word) for word in words]
    features = clip.encode_text(words).numpy()
    score = ordinality_score(features)
    rng = np.random.default_rng(0)
    shuffled = [ordinality_score(rng.permutation(features)).raw for _ in range(NUM_SHUFFLES)]
    p_value = np.mean(np.array(shuffled) >= score.raw)
    summary = (
        f"ordinality {score.chance_corrected:.2f} (O = {score.raw:.2f}); "
        f"{100 * p_value:.1f} % of the shuffles of your words do as well"
    )
    if p_value <= SIGNIFICANCE_LEVEL:
        return CheckResult("passed", f"{summary}: the text encoder keeps this order.")
    start = "no better than chance: " if score.chance_corrected <= 0 else ""
    limit = f"{100 * SIGNIFICANCE_LEVEL:g} % is the limit"
    return f"{start}{summary}, and {limit}. {_suggest_swap(words, features, score.raw)}"


def _check_words(words: Sequence[str]) -> str | None:
    """Return why a list cannot be the learner's own names of ranks."""
    if isinstance(words, str):
        return "that is one text: give a list of words, one for each rank"
    for word in words:
        if not isinstance(word, str) or not word.strip():
            return f"{word!r} is not a word: give texts only"
        if word.strip().isdigit():
            return f"{word!r} is all digits: write words, as a caption would"
    normalized = _normalize(words)
    if duplicate := _first_duplicate(normalized):
        return f"{duplicate!r} is there twice: give every rank a word of its own"
    if len(words) < MIN_WORDS:
        return f"{len(words)} words are too few to exclude chance: give {MIN_WORDS} or more"
    for name in ("counting", "dating", "ageing", "quality"):
        task = load_task(name)
        built_in = (_normalize(task.rank_names), _normalize(task.bin_phrases))
        if normalized in built_in or normalized[::-1] in built_in:
            return f"those are the built-in words for {name}: find some of your own"
    return None


def _suggest_swap(words: Sequence[str], features: np.ndarray, raw_score: float) -> str:
    """Suggest the swap of two neighbours that raises the score most."""
    order, swaps = list(range(len(words))), {}
    for i in order[:-1]:
        swapped = [*order[:i], i + 1, i, *order[i + 2 :]]
        swaps[ordinality_score(features[swapped]).raw] = f"{words[i]!r} and {words[i + 1]!r}"
    best = max(swaps)
    if best <= raw_score:
        return "No swap of two neighbours helps: a word is far from its position, or new to CLIP."
    return f"With {swaps[best]} swapped O would be {best:.2f}: does CLIP know these two words?"


def _normalize(texts: Sequence[str]) -> list[str]:
    """Normalize texts like CLIP's tokenizer: lower case and single spaces."""
    return [" ".join(text.lower().split()) for text in texts]


def _first_duplicate(texts: Sequence[str]) -> str | None:
    return next((text for i, text in enumerate(texts) if text in texts[:i]), None)


@exercise_check
def median_reading(function: Callable) -> str | None:
    """Half of the probability to either side: no other value has a smaller expected error.

    The function takes ``(N, M)`` probabilities and ``(M,)`` rank_values, returns ``(N,)`` values.
    """
    answer = np.asarray(call_solution(function, PROBABILITIES, RANK_VALUES))
    if answer.ndim == 0:
        return f"you return one number for all {len(PROBABILITIES)} images: work along axis=1"
    if answer.shape == RANK_VALUES.shape:
        return f"you return a value for each of the {len(answer)} ranks: work along axis=1, not 0"
    mistake = answer.shape == _RANKS.shape and find_mistake(answer, _WRONG_MEDIANS)
    if message := mistake or _check_expected_error(answer, PROBABILITIES):
        return message
    return _check_expected_error(call_solution(function, EXTREMES, RANK_VALUES), EXTREMES)


def _check_expected_error(answer: ArrayLike, probabilities: np.ndarray) -> str | None:
    """Compare expected absolute errors, so that every median of a tie is right."""
    answer, num_images = np.asarray(answer), len(probabilities)
    if answer.shape != (num_images,):
        return f"shape {answer.shape} for {num_images} images: return ({num_images},)"
    distances = abs(RANK_VALUES[:, None] - RANK_VALUES)
    best = (probabilities @ distances).min(axis=1)
    expected = (probabilities * abs(answer[:, None] - RANK_VALUES)).sum(axis=1)
    for row in np.flatnonzero(~(expected <= best + 1e-6)):  # NaN is wrong, too
        median = RANK_VALUES[np.argmin(probabilities[row] @ distances)]
        inputs = f"{probabilities[row].tolist()} at rank_values {RANK_VALUES.tolist()}"
        off = f"{expected[row]:.2f} off on average; {median:g} is {best[row]:.2f} off"
        return f"for probabilities {inputs} you return {answer[row]:g}, {off}"
    return None

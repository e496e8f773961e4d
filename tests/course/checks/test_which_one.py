import numpy as np
import pytest
from check_results import assert_passed, assert_wrong, table_tests

from ordlib.course.checks import which_one as check


def verdict(low, high, margin):
    if -margin < low and high < margin:
        return "equivalent"
    return "lower" if high < 0 else "higher" if low > 0 else "undecided"


def verdict_by_midpoint(low, high, margin):
    """The same, written otherwise."""
    half = (high - low) / 2
    middle = low + half
    if abs(middle) + half < margin:
        return "equivalent"
    return "undecided" if abs(middle) <= half else ("higher", "lower")[middle < 0]


def zero_first(low, high, margin):
    if low > 0 or high < 0:
        return "higher" if low > 0 else "lower"
    return "equivalent" if -margin < low and high < margin else "undecided"


def no_difference_shown(low, high, margin):
    return "lower" if high < 0 else "higher" if low > 0 else "equivalent"


def paired(errors_a, errors_b, tail=0.025):
    rng, difference = np.random.default_rng(1), errors_a - errors_b
    means = []
    for _ in range(2000):
        seeds = rng.integers(len(difference), size=len(difference))
        images = rng.integers(difference.shape[1], size=difference.shape[1])
        means.append(difference[np.ix_(seeds, images)].mean())
    return np.quantile(means, [tail, 1 - tail])


def normal_approximation(errors_a, errors_b):
    """The variances of both means add up."""
    difference = errors_a - errors_b
    variance = sum(difference.mean(axis).var() / difference.shape[1 - axis] for axis in (0, 1))
    return difference.mean() + np.array([-1.96, 1.96]) * np.sqrt(variance)


def resampled(errors):
    rng, values = np.random.default_rng(2), np.asarray(errors).ravel()
    means = values[rng.integers(len(values), size=(2000, len(values)))].mean(1)
    return np.quantile(means, [0.025, 0.975])


def drawn(axes):
    """An interval for which seeds (0) or images (1) of A and B are drawn apart."""

    def interval(errors_a, errors_b):
        rng, means = np.random.default_rng(3), []
        for _ in range(2000):
            of_a, of_b = ([rng.integers(n, size=n) for n in errors_a.shape] for _ in "AB")
            of_b = [of_b[axis] if axis in axes else of_a[axis] for axis in (0, 1)]
            means.append(errors_a[np.ix_(*of_a)].mean() - errors_b[np.ix_(*of_b)].mean())
        return np.quantile(means, [0.025, 0.975])

    return interval


def other_images_for_every_seed(errors_a, errors_b):
    rng, difference, means = np.random.default_rng(4), errors_a - errors_b, []
    for _ in range(2000):
        seeds = rng.integers(len(difference), size=len(difference))
        images = (rng.integers(difference.shape[1], size=difference.shape[1]) for _ in seeds)
        means.append(np.mean([difference[s, i].mean() for s, i in zip(seeds, images, strict=True)]))
    return np.quantile(means, [0.025, 0.975])


def ends_of_90_percent(errors_a, errors_b):
    return paired(errors_a, errors_b, tail=0.05)


def exactly_one_better(errors, seconds):
    methods = list(zip(errors, seconds, strict=True))
    return np.array([
        not any(a <= e and b <= s and (a < e) != (b < s) for a, b in methods) for e, s in methods
    ])  # fmt: skip


def convex_hull(errors, seconds):
    found = front(errors, seconds)
    return found & ~((errors == 2.6) & (seconds == 1.7))


def front(errors, seconds):
    """A loop over pairs."""
    found = []
    for e, s in zip(errors, seconds, strict=True):
        others = zip(errors, seconds, strict=True)
        found.append(not any(a <= e and b <= s and (a, b) != (e, s) for a, b in others))
    return np.array(found)


def front_by_sorting(errors, seconds):
    best_at = {s: min(e for e, t in zip(errors, seconds, strict=True) if t <= s) for s in seconds}
    cheapest = {e: min(s for f, s in zip(errors, seconds, strict=True) if f <= e) for e in errors}
    pairs = zip(errors, seconds, strict=True)
    return np.array([best_at[s] == e and cheapest[e] == s for e, s in pairs])


def better_in_both(errors, seconds):
    return np.array([
        not np.any((errors < e) & (seconds < s)) for e, s in zip(errors, seconds, strict=True)
    ])  # fmt: skip


def without_ties(errors, seconds):
    count = [np.sum((errors <= e) & (seconds <= s)) for e, s in zip(errors, seconds, strict=True)]
    return np.array(count) == 1


RIGHT = {
    check.verdict: [verdict, verdict_by_midpoint],
    check.paired: [paired, normal_approximation],
    check.pareto: [front, front_by_sorting],
}
WRONG = {
    check.verdict: {
        "look at the margin first": zero_first,
        "nothing was shown": no_difference_shown,
        "the first error is lower": lambda a, b, m: verdict(-b, -a, m),
        "return one of lower, higher": lambda a, b, m: a < 0 < b,
    },
    check.paired: {
        "you resample A and B apart": drawn({0, 1}),
        "the images of A and of B apart": drawn({1}),
        "the seeds of A and of B apart": drawn({0}),
        "you draw other images for every seed": other_images_for_every_seed,
        "cut off 2.5 %": ends_of_90_percent,
        "you resample images only": lambda a, b: resampled((a - b).mean(0)),
        "you resample seeds only": lambda a, b: resampled((a - b).mean(1)),
        "as independent": lambda a, b: resampled(a - b),
        "an interval of A alone": lambda a, b: paired(a, 0 * b),
        "that is B minus A": lambda a, b: paired(b, a),
        "the lower one comes first": lambda a, b: paired(a, b)[::-1],
        "return the two ends": lambda a, b: (a - b).mean(),
        "ours about": lambda a, b: (-3.0, 3.0),
    },
    check.pareto: {
        "turn the result": lambda e, s: ~front(e, s),
        "better in both": better_in_both,
        "do not dominate each other": without_ties,
        "the most accurate ones alone": lambda e, s: e == e.min(),
        "the cheapest ones alone": lambda e, s: s == s.min(),
        "in exactly one": exactly_one_better,
        "nobody is left": lambda e, s: e < e,
        "return 9 booleans": lambda e, s: front(e, s).astype(int),
        "2.6 and 1.7 s is on the front": convex_hull,
        "1.5 and 10 s is not on the front: one with 1 and 10 s": lambda e, s: (
            front(e, s) | (e == 1.5)
        ),
    },
}
test_right_answers, test_wrong_answers = table_tests(RIGHT, WRONG)


def rule(labels, num_ranks, in_words):
    if in_words:
        return "ranking adapter"
    return (
        "zero-shot (bin phrases)" if labels <= 4 else "linear probe" if labels < 20 else "NumCLIP"
    )


def test_decision_rule_accepts_a_good_rule():
    assert_passed(check.decision_rule(rule), "on average", "above the best method")


def test_decision_rule_regret_is_that_of_a_loop():
    regrets = []
    for situation in check._situations():
        chosen = rule(situation.labels, 20, False)
        regrets.append(situation.errors[chosen] / min(situation.errors) - 1)
    assert len(regrets) == 6 + 4 + 3
    expected = f"on average {np.mean(regrets):.1%} above"
    assert_passed(check.decision_rule(rule), expected, f"at most {max(regrets):.0%}")


def few_then(name):
    return lambda labels, ranks, in_words: (
        rule(1, 1, True) if in_words else "zero-shot (bin phrases)" if labels <= 4 else name
    )


@pytest.mark.parametrize(
    "function",
    [
        lambda labels, ranks, in_words: rule(1, 1, True) if in_words else "linear probe",
        lambda labels, ranks, in_words: rule(1, 1, True) if in_words else "NumCLIP",
        few_then("L2RCLIP"),
        few_then("linear probe"),
        few_then("zero-shot (bin phrases)"),
    ],
)
def test_decision_rule_refuses_what_is_far_off_somewhere(function):
    assert_wrong(check.decision_rule(function), "allowed are 3% and 10%. The worst case: for ")


@pytest.mark.parametrize(
    ("in_words", "otherwise", "diagnosis"),
    [
        ("NumCLIP", None, "to be asked in words you choose 'NumCLIP'"),
        ("zero-shot", None, "to be asked in words you choose 'zero-shot'"),
        ("ranking adapter", "ridge", "you return 'ridge': return one of 'zero-shot"),
    ],
)
def test_decision_rule_diagnoses(in_words, otherwise, diagnosis):
    def function(labels, num_ranks, words):
        return in_words if words else otherwise or rule(labels, num_ranks, False)

    assert_wrong(check.decision_rule(function), diagnosis)


def test_decision_rule_hands_over_labels_and_ranks():
    seen = set()

    def record(labels, num_ranks, in_words):
        seen.add((labels, num_ranks, in_words))
        return rule(labels, num_ranks, in_words)

    check.decision_rule(record)
    counting = {(labels, 20, False) for labels in (1, 2, 4, 8, 16, 32, 100)}
    ageing = {(labels, 90, False) for labels in (1, 2, 4, 8, 22)}
    assert {case for case in seen if not case[2]} == counting | ageing | {(400, 5, False)}

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


def paired(errors_a, errors_b, draw=2000):
    rng, difference = np.random.default_rng(1), errors_a - errors_b
    means = []
    for _ in range(draw):
        seeds = rng.integers(len(difference), size=len(difference))
        images = rng.integers(difference.shape[1], size=difference.shape[1])
        means.append(difference[np.ix_(seeds, images)].mean())
    return np.quantile(means, [0.025, 0.975])


def normal_approximation(errors_a, errors_b):
    """The variances of both means add up."""
    difference = errors_a - errors_b
    variance = sum(difference.mean(axis).var() / difference.shape[1 - axis] for axis in (0, 1))
    return difference.mean() + np.array([-1.96, 1.96]) * np.sqrt(variance)


def resampled(errors):
    rng, values = np.random.default_rng(2), np.asarray(errors).ravel()
    means = values[rng.integers(len(values), size=(2000, len(values)))].mean(1)
    return np.quantile(means, [0.025, 0.975])


def apart(errors_a, errors_b):
    rng = np.random.default_rng(3)

    def means(errors):
        return [
            errors[np.ix_(*(rng.integers(n, size=n) for n in errors.shape))].mean()
            for _ in range(2000)
        ]

    return np.quantile(np.subtract(means(errors_a), means(errors_b)), [0.025, 0.975])


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
        "draw once, and take the same": apart,
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
        "return 7 booleans": lambda e, s: front(e, s).astype(int),
        "method 0 is on the front": lambda e, s: np.arange(7) == 1,
    },
}
test_right_answers, test_wrong_answers = table_tests(RIGHT, WRONG)


def rule(labels, num_ranks, in_words):
    if in_words:
        return "ranking adapter"
    return "zero-shot (bin phrases)" if labels <= 4 else "linear probe" if labels < 20 else "CORN"


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


@pytest.mark.parametrize("name", ["linear probe", "zero-shot (bin phrases)", "NumCLIP", "L2RCLIP"])
def test_decision_rule_refuses_one_method_for_all(name):
    def always(labels, num_ranks, in_words):
        return "zero-shot" if in_words else name

    assert_wrong(check.decision_rule(always), "allowed are 5%. The worst case")


@pytest.mark.parametrize(
    ("function", "diagnosis"),
    [
        (lambda labels, ranks, in_words: "NumCLIP", "which answers one question only"),
        (lambda labels, ranks, in_words: rule(labels, ranks, in_words).upper()
         if not in_words else "zero-shot", "is not in the tables"),
    ],
)  # fmt: skip
def test_decision_rule_diagnoses(function, diagnosis):
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

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from check_results import assert_passed, assert_wrong, table_tests

from ordlib.course.checks import own_data as check
from ordlib.course.photo_folder import planted_faults


def edges(values, min_count):
    """From the counts of all labels, by pandas."""
    sizes = pd.Series(values).value_counts().sort_index()
    found, size = [], min_count
    for label, count in sizes.items():
        if size >= min_count:
            found.append(label)
            size = 0
        size += count
    return found[:-1] if size < min_count and len(found) > 1 else found


def edges_from_sorted_values(values, min_count):
    """From one image to the next."""
    found, begin, values = [], 0, sorted(values)
    while begin < len(values):
        found.append(values[begin])
        end = min(begin + min_count, len(values))
        while end < len(values) and values[end] == values[end - 1]:
            end += 1
        if end - begin < min_count and len(found) > 1:
            found.pop()
        begin = end
    return np.array(found)


def every_label(values, min_count):
    return np.unique(values)


def last_bin_kept(values, min_count):
    found, size = [], min_count
    for label, count in pd.Series(values).value_counts().sort_index().items():
        if size >= min_count:
            found.append(label)
            size = 0
        size += count
    return found


def leaks(split, group, key):
    """A loop over the test images."""
    train = {*group[split == "train"]}, {*key[split == "train"]}
    rows = zip(split, group, key, strict=True)
    return np.array([s == "test" and (g in train[0] or k in train[1]) for s, g, k in rows])


def forecast_of_shape_1(sizes, errors, size):
    return np.exp(np.polyval(line(sizes, errors), np.log([size])))


def forecast(sizes, errors, size):
    """The same line by its slope: from logarithms to the base 2."""
    x, y = np.log2(sizes), np.log2(errors)
    slope = np.cov(x, y)[0, 1] / np.var(x, ddof=1)
    return 2 ** (y.mean() + slope * (np.log2(size) - x.mean()))


def line(sizes, errors):
    return np.polyfit(np.log(sizes), np.log(errors), 1)


def decide(probabilities, costs):
    """A loop over images and decisions."""
    ranks = range(len(costs))
    return np.array([
        min(ranks, key=lambda d: sum(p[true] * costs[true, d] for true in ranks))
        for p in probabilities
    ])  # fmt: skip


RIGHT = {
    check.bins: [edges, edges_from_sorted_values],
    check.leak: [leaks],
    check.forecast: [forecast, forecast_of_shape_1],
    check.decide: [decide],
}
WRONG = {
    check.bins: {
        "fewer than 40": every_label,
        "remove the last edge": last_bin_kept,
        "the first edge is the lowest label": lambda v, n: edges(v, n)[1:] or [9.0],
        "are possible": lambda v, n: [min(v)],
        "from the lowest to the highest": lambda v, n: edges(v, n)[::-1],
        "is the lowest label of its bin": lambda v, n: [min(v), min(v) + 0.5],
    },
    check.leak: {
        "you compare groups only": lambda s, g, k: (s == "test") & np.isin(g, g[s == "train"]),
        "you compare images only": lambda s, g, k: (s == "test") & np.isin(k, k[s == "train"]),
        "one of them is enough": lambda s, g, k: (
            (s == "test") & np.isin(g, g[s == "train"]) & np.isin(k, k[s == "train"])
        ),
        "of train or val": lambda s, g, k: (
            np.isin(g, g[s == "train"]) | np.isin(k, k[s == "train"])
        ),
        "with train and val": lambda s, g, k: (
            (s == "test") & (np.isin(g, g[s != "test"]) | np.isin(k, k[s != "test"]))
        ),
        "turn the result": lambda s, g, k: (s == "test") & ~leaks(s, g, k),
        "all test images": lambda s, g, k: s == "test",
        "you mark no image": lambda s, g, k: s == "",
        "you mark images of val, too": lambda s, g, k: (
            (s != "train") & (np.isin(g, g[s == "train"]) | np.isin(k, k[s == "train"]))
        ),
        "is not compromised": lambda s, g, k: (
            (s == "test") & (np.isin(g, g[s == "train"]) | pd.Series(k).duplicated().to_numpy())
        ),
        "return 14 booleans": lambda s, g, k: np.flatnonzero(leaks(s, g, k)),
    },
    check.forecast: {
        "take exp of it": lambda n, e, m: np.log(forecast(n, e, m)),
        "take the logarithm of both": lambda n, e, m: np.polyval(np.polyfit(n, e, 1), m),
        "of the errors, too": lambda n, e, m: np.polyval(np.polyfit(np.log(n), e, 1), np.log(m)),
        "of the sizes, too": lambda n, e, m: np.exp(np.polyval(np.polyfit(n, np.log(e), 1), m)),
        "it goes on falling": lambda n, e, m: e[-1],
        "return one number": lambda n, e, m: forecast(n, e, np.array([m, m])),
        "the slope first": lambda n, e, m: np.exp(np.dot(line(n, e), [1, np.log(m)])),
        "the logarithm of a": lambda n, e, m: line(n, e)[1] * m ** line(n, e)[0],
        "mind its sign": lambda n, e, m: np.exp(line(n, e)[1]) * m ** -line(n, e)[0],
        "through the last two": lambda n, e, m: forecast(n[-2:], e[-2:], m),
        "through the first and the last": lambda n, e, m: forecast(n[[0, -1]], e[[0, -1]], m),
        "not a parabola": lambda n, e, m: np.exp(
            np.polyval(np.polyfit(np.log(n), np.log(e), 2), np.log(m))
        ),
        "your forecast is": lambda n, e, m: 2 * forecast(n, e, m),
    },
    check.decide: {
        "the most probable ranks": lambda p, c: p.argmax(1),
        "you read the table the other way": lambda p, c: (p @ c.T).argmin(1),
        "the highest expected cost": lambda p, c: (p @ c).argmax(1),
        "to the expected value": lambda p, c: np.round(p @ np.arange(6)),
        "argmin": lambda p, c: (p @ c).min(1),
        "from 1": lambda p, c: decide(p, c) + 1,
        "one rank index for each": lambda p, c: (p @ c).argmin(),
        "the best is rank": lambda p, c: np.where(np.arange(40) == 3, 5, decide(p, c)),
    },
}
test_right_answers, test_wrong_answers = table_tests(RIGHT, WRONG)


@pytest.mark.parametrize("values", check._LABELS)
def test_reference_edges_leave_no_bin_that_could_be_divided(values):
    """All sets of edges, tried one by one."""
    ranks, most = np.unique(values), 1
    for chosen in range(2 ** (len(ranks) - 1)):
        starts = [ranks[0]] + [r for i, r in enumerate(ranks[1:]) if chosen >> i & 1]
        sizes = np.bincount(np.searchsorted(starts, values, side="right") - 1)
        if min(sizes) >= check.MIN_COUNT:
            most = max(most, len(starts))
    assert len(check._lower_edges(values, check.MIN_COUNT)) == most


def test_faults_accepts_what_was_planted_in_any_order():
    found = planted_faults()
    assert_passed(check.faults(found))
    assert_passed(check.faults(found | {"duplicate": [*found["duplicate"]][::-1]}))
    assert_passed(
        check.faults(found | {"wrong label": "IMG_0204", "damaged": Path("IMG_0042.jpg")})
    )


def test_faults_names_what_is_wrong_or_missing():
    found = planted_faults()
    stub = {name: (..., ...) if isinstance(x, tuple) else ... for name, x in found.items()}
    assert check.faults(stub).state == "not tried yet"
    missing = check.faults(stub | {"damaged": found["damaged"]})
    assert_wrong(missing, "1 of 5 are right; still to be found: rotated, duplicate")
    assert_wrong(check.faults(stub | {"damaged": "IMG_0001.jpg"}), "'damaged' is not 'IMG_0001'")
    assert_wrong(check.faults(found | {"rotated": "IMG_0001.jpg"}), "'rotated' is not 'IMG_0001'")
    assert_wrong(check.faults(found | {"duplicate": "IMG_0188.jpg"}), "1 names, not 2")
    assert_wrong(check.faults({"damaged": "IMG_0042.jpg"}), "with the keys 'damaged', 'rotated'")

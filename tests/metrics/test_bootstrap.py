"""Bootstrap intervals against theory, and two-way ones against loops with the same draws."""

import numpy as np
import pytest

from ordlib.metrics import (
    Interval,
    bootstrap,
    classify_difference,
    mae,
    spearman,
    two_way_bootstrap,
)


def width(interval: Interval) -> float:
    return interval.high - interval.low


@pytest.mark.parametrize(
    "function", [lambda x, **kw: bootstrap(np.mean, x, **kw), two_way_bootstrap]
)
def test_bootstraps_depend_on_seed_and_confidence_level(function):
    values = np.random.default_rng(0).normal(size=100)
    interval, narrow = function(values), function(values, confidence_level=0.5)
    assert function(values) == interval != function(values, seed=1)
    assert interval.low < narrow.low < narrow.estimate < narrow.high < interval.high


def test_bootstrap_of_a_mean_equals_theory():
    values = np.random.default_rng(0).normal(size=400)
    interval = bootstrap(np.mean, values, n_resamples=4000)
    half = 1.96 * values.std() / np.sqrt(400)
    assert interval.estimate == values.mean()
    assert interval.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_bootstrap_has_its_nominal_coverage():
    covered = 0
    for seed in range(200):
        values = np.random.default_rng(seed).exponential(size=80)
        interval = bootstrap(np.mean, values, n_resamples=200, confidence_level=0.9)
        covered += interval.low <= 1 <= interval.high
    assert 0.82 <= covered / 200 <= 0.96


def test_bootstrap_draws_the_same_rows_of_every_array():
    y_true = np.arange(30.0)
    assert bootstrap(mae, y_true, y_true + 2) == Interval(2, 2, 2)
    table = np.arange(12).reshape(6, 2)
    interval = bootstrap(lambda rows: float((rows[:, 1] - rows[:, 0]).mean()), table)
    assert interval == Interval(1, 1, 1)


def test_bootstrap_draws_whole_groups():
    groups = np.array(["a", "b", "a", "c", "b", "c", "c"])
    resamples = []

    def record(rows):
        resamples.append(rows)
        return len(rows)

    bootstrap(record, groups, groups=groups, n_resamples=50)
    sizes = {"a": 2, "b": 2, "c": 3}
    for rows in resamples[1:]:
        counts = {name: int(np.sum(rows == name)) for name in sizes}
        assert all(count % sizes[name] == 0 for name, count in counts.items())
        assert sum(count // sizes[name] for name, count in counts.items()) == 3
    assert len({tuple(sorted(rows)) for rows in resamples}) > 3


def test_bootstrap_of_correlated_groups_is_wider():
    groups = np.repeat(np.arange(8), 50)
    values = np.random.default_rng(0).normal(size=8)[groups]
    assert width(bootstrap(np.mean, values, groups=groups)) > 3 * width(bootstrap(np.mean, values))


def test_bootstrap_discards_undefined_resamples():
    interval = bootstrap(spearman, [1, 1, 2], [1, 2, 3], n_resamples=100)
    assert np.isfinite(interval).all()
    undefined = bootstrap(spearman, [1, 1, 1], [1, 2, 3], n_resamples=10)
    assert np.isnan(undefined).all()


def test_bootstraps_of_a_single_group_have_no_interval():
    for interval in (
        bootstrap(np.mean, [1.0, 2.0], groups=["a", "a"]),
        two_way_bootstrap([[1, 0], [2, 3]], groups=["a", "a"]),
    ):
        assert interval.estimate == 1.5
        assert np.isnan(interval[1:]).all()


def test_interval_str():
    assert str(Interval(0.41983, 0.3891, 0.4502)) == "0.42 (0.389 to 0.45)"


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        pytest.param((), {}, "arrays: expected equal lengths, at least 1", id="no array"),
        pytest.param(([],), {}, r"lengths: \[0\]", id="empty"),
        pytest.param(([1, 2], [1]), {}, r"lengths: \[2, 1\]", id="lengths"),
        pytest.param(([1, 2],), {"groups": ["a"]}, "groups: has 1 rows", id="groups"),
        pytest.param(([1, 2],), {"n_resamples": 0}, "n_resamples = 0: ", id="n_resamples"),
        pytest.param(([1, 2],), {"confidence_level": 95}, "confidence_level = 95: ", id="level"),
    ],
)
def test_bootstrap_rejects_invalid_arguments(arrays, options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(lambda *rows: 0.0, *arrays, **options)


def error_table(num_seeds: int, num_images: int, seed: int = 0) -> np.ndarray:
    """Errors with a component shared within a seed, and one shared within an image."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(num_seeds, 1)) + rng.normal(size=num_images)
    return 3 + shared + 0.1 * rng.normal(size=(num_seeds, num_images))


def naive_two_way(table, groups, n_resamples, seed, confidence_level) -> list[float]:
    """Draw seeds and groups one by one, with the random numbers of the function."""
    names = sorted(set(groups))
    rng = np.random.default_rng(seed)
    seeds = rng.multinomial(len(table), [1 / len(table)] * len(table), n_resamples)
    units = rng.multinomial(len(names), [1 / len(names)] * len(names), n_resamples)
    means = []
    for i in range(n_resamples):
        total, count = 0.0, 0
        for s in range(len(table)):
            for n, group in enumerate(groups):
                times = seeds[i][s] * units[i][names.index(group)]
                total += times * table[s][n]
                count += times
        means.append(total / count)
    return [float(np.quantile(means, (1 + sign * confidence_level) / 2)) for sign in (-1, 1)]


@pytest.mark.parametrize("groups", [None, ["b", "a", "b", "c", "c", "c", "d"]])
@pytest.mark.parametrize(("num_seeds", "num_baselines"), [(3, 0), (3, 3), (3, 1), (1, 0), (1, 1)])
def test_two_way_bootstrap_equals_naive_loop(num_seeds, num_baselines, groups):
    errors = error_table(num_seeds, 7)
    baseline = error_table(num_baselines, 7, seed=1) if num_baselines else None
    rows = [[x - (baseline[s % num_baselines][n] if num_baselines else 0)
             for n, x in enumerate(row)] for s, row in enumerate(errors.tolist())]  # fmt: skip
    options = {"n_resamples": 60, "seed": 4, "confidence_level": 0.8}
    interval = two_way_bootstrap(errors, baseline, groups=groups, **options)
    assert interval.estimate == pytest.approx(sum(map(sum, rows)) / (7 * num_seeds))
    expected = naive_two_way(rows, groups or list(range(7)), **options)
    assert interval[1:] == pytest.approx(expected)


def test_two_way_bootstrap_adds_the_variances_of_seeds_and_images():
    rng = np.random.default_rng(0)
    of_seeds, of_images = rng.normal(size=(40, 1)), 2 * rng.normal(size=300)
    interval = two_way_bootstrap(of_seeds + of_images, n_resamples=8000)
    half = 1.96 * np.sqrt(of_seeds.var() / 40 + of_images.var() / 300)
    assert width(interval) / 2 == pytest.approx(half, rel=0.05)


def test_two_way_bootstrap_of_one_seed_equals_bootstrap():
    errors = error_table(1, 200)
    interval = two_way_bootstrap(errors, n_resamples=4000)
    assert interval == two_way_bootstrap(errors[0], n_resamples=4000)
    over_images = bootstrap(np.mean, errors[0], n_resamples=4000)
    assert width(interval) == pytest.approx(width(over_images), rel=0.1)


def test_two_way_bootstrap_of_a_difference_is_paired():
    a = error_table(5, 100)
    b = a + 0.5 + 0.1 * np.random.default_rng(9).normal(size=a.shape)
    difference = two_way_bootstrap(b, a)
    assert 0.4 < difference.low < 0.5 < difference.high < 0.6
    assert width(difference) < 0.2 * min(width(two_way_bootstrap(a)), width(two_way_bootstrap(b)))
    assert two_way_bootstrap(a + 2, a) == pytest.approx((2, 2, 2))


def test_two_way_bootstrap_subtracts_a_single_baseline_row_from_every_seed():
    a, b = error_table(4, 30), error_table(1, 30, seed=1)
    interval = two_way_bootstrap(a, b)
    assert interval == two_way_bootstrap(a, np.repeat(b, 4, axis=0)) == two_way_bootstrap(a, b[0])


def test_two_way_bootstrap_draws_groups_as_units():
    table = error_table(3, 20)
    repeated = np.repeat(table, 10, axis=1)
    grouped = two_way_bootstrap(repeated, groups=np.repeat(np.arange(20), 10))
    assert grouped == pytest.approx(two_way_bootstrap(table))
    assert width(two_way_bootstrap(repeated[:1])) < 0.5 * width(two_way_bootstrap(table[:1]))


@pytest.mark.parametrize(
    ("errors", "baseline", "groups", "message"),
    [
        ((2, 5), (2, 4), None, r"baseline_errors: shape \(2, 4\) does not match errors \(2, 5\)"),
        ((3, 5), (2, 5), None, r"expected \(3, 5\) or \(1, 5\)"),
        ((1, 5), (3, 5), None, r"baseline_errors: shape \(3, 5\)"),
        ((2, 5), None, [0, 1], "groups: has 2 rows; errors has 5 images"),
    ],
)
def test_two_way_bootstrap_rejects_mismatched_shapes(errors, baseline, groups, message):
    baseline = None if baseline is None else np.ones(baseline)
    with pytest.raises(ValueError, match=message):
        two_way_bootstrap(np.ones(errors), baseline, groups=groups)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.3, -0.1, "lower"), (0.1, 0.3, "higher"), (-0.04, 0.03, "equivalent"),
        (-0.04, -0.01, "equivalent"), (-0.05, 0.01, "undecided"), (-0.05, -0.01, "lower"),
        (-0.2, 0.2, "undecided"), (float("nan"), float("nan"), "undecided"),
    ],
)  # fmt: skip
def test_classify_difference(low, high, expected):
    assert classify_difference(Interval(0, low, high), 0.05) == expected


def test_classify_difference_needs_a_margin():
    with pytest.raises(ValueError, match="margin = 0: must be above 0"):
        classify_difference(Interval(0, -1, 1), 0)

"""Intervals over seeds and pictures at once, against loops with the same draws."""

import numpy as np
import pytest

from ordlib.metrics import Interval, bootstrap, two_way_bootstrap


def table_of(seeds: int, pictures: int, number: int = 0) -> np.ndarray:
    """Errors that share something within a seed, and something within a picture."""
    rng = np.random.default_rng(number)
    shared = rng.normal(size=(seeds, 1)) + rng.normal(size=pictures)
    return 3 + shared + 0.1 * rng.normal(size=(seeds, pictures))


def width(interval: Interval) -> float:
    return interval.high - interval.low


def naive(table, groups, n_resamples, seed, confidence_level=0.95) -> list[float]:
    """Draw seeds and groups one by one, with the numbers that the function draws."""
    names = sorted(set(groups))
    rng = np.random.default_rng(seed)
    seeds = rng.multinomial(len(table), [1 / len(table)] * len(table), n_resamples)
    units = rng.multinomial(len(names), [1 / len(names)] * len(names), n_resamples)
    means = []
    for draw in range(n_resamples):
        total, count = 0.0, 0
        for s in range(len(table)):
            for n, group in enumerate(groups):
                times = seeds[draw][s] * units[draw][names.index(group)]
                total += times * table[s][n]
                count += times
        means.append(total / count)
    return [
        float(np.quantile(means, share))
        for share in ((1 - confidence_level) / 2, (1 + confidence_level) / 2)
    ]


@pytest.mark.parametrize("groups", [None, ["b", "a", "b", "c", "c", "c", "d"]])
@pytest.mark.parametrize(("seeds", "other"), [(3, 0), (3, 3), (3, 1), (1, 0), (1, 1)])
def test_it_is_what_a_loop_over_the_same_draws_gives(seeds, other, groups):
    one = table_of(seeds, 7)
    two = table_of(other, 7, number=1) if other else None
    rows = [[x - (two[s % other][n] if other else 0) for n, x in enumerate(row)]
            for s, row in enumerate(one.tolist())]  # fmt: skip
    found = two_way_bootstrap(one, two, groups=groups, n_resamples=60, confidence_level=0.8, seed=4)
    ends = naive(rows, groups or list(range(7)), n_resamples=60, seed=4, confidence_level=0.8)
    assert found.estimate == pytest.approx(sum(map(sum, rows)) / (7 * seeds))
    assert [found.low, found.high] == pytest.approx(ends)


def test_the_variances_of_seeds_and_of_pictures_add_up():
    rng = np.random.default_rng(0)
    of_seeds, of_pictures = rng.normal(size=(40, 1)), 2 * rng.normal(size=300)
    found = two_way_bootstrap(of_seeds + of_pictures, n_resamples=8000)
    half = 1.96 * np.sqrt(of_seeds.var() / 40 + of_pictures.var() / 300)
    assert width(found) / 2 == pytest.approx(half, rel=0.05)


def test_with_one_seed_it_is_the_bootstrap_over_pictures():
    errors = table_of(1, 200)
    found = two_way_bootstrap(errors, n_resamples=4000)
    assert found == two_way_bootstrap(errors[0], n_resamples=4000)
    assert width(found) == pytest.approx(
        width(bootstrap(np.mean, errors[0], n_resamples=4000)), rel=0.1
    )


def test_a_paired_difference_is_narrower_than_its_parts():
    one = table_of(5, 100)
    two = one + 0.5 + 0.1 * np.random.default_rng(9).normal(size=one.shape)
    difference = two_way_bootstrap(two, one)
    assert 0.4 < difference.low < 0.5 < difference.high < 0.6
    assert width(difference) < 0.2 * min(
        width(two_way_bootstrap(one)), width(two_way_bootstrap(two))
    )


def test_a_constant_difference_has_no_width():
    one = table_of(4, 30)
    assert two_way_bootstrap(one + 2, one) == pytest.approx((2, 2, 2))


def test_one_row_is_subtracted_from_every_seed():
    one, two = table_of(4, 30), table_of(1, 30, number=1)
    found = two_way_bootstrap(one, two)
    assert (
        found == two_way_bootstrap(one, np.repeat(two, 4, axis=0)) == two_way_bootstrap(one, two[0])
    )


def test_pictures_of_a_group_count_as_one_draw():
    column = table_of(3, 20)
    many = np.repeat(column, 10, axis=1)
    grouped = two_way_bootstrap(many, groups=np.repeat(np.arange(20), 10))
    assert grouped == pytest.approx(two_way_bootstrap(column))
    assert width(two_way_bootstrap(many[:1])) < 0.5 * width(two_way_bootstrap(column[:1]))


def test_a_single_group_has_no_interval():
    found = two_way_bootstrap([[1, 2], [3, 6]], groups=["a", "a"])
    assert found.estimate == 3
    assert np.isnan([found.low, found.high]).all()


def test_the_seed_decides_and_the_level_widens():
    table = table_of(3, 40)
    assert two_way_bootstrap(table) == two_way_bootstrap(table)
    assert two_way_bootstrap(table) != two_way_bootstrap(table, seed=1)
    assert width(two_way_bootstrap(table, confidence_level=0.5)) < width(two_way_bootstrap(table))


@pytest.mark.parametrize(
    ("one", "two", "groups", "told"),
    [
        ((2, 5), (2, 4), None, r"errors \(2, 5\) and other \(2, 4\) do not fit"),
        ((3, 5), (2, 5), None, r"errors \(3, 5\) and other \(2, 5\) do not fit"),
        ((1, 5), (3, 5), None, r"errors \(1, 5\) and other \(3, 5\) do not fit"),
        ((2, 5), None, [0, 1], "groups has 2 rows for 5 pictures"),
    ],
)
def test_shapes_that_do_not_fit_are_told(one, two, groups, told):
    other = None if two is None else np.ones(two)
    with pytest.raises(ValueError, match=told):
        two_way_bootstrap(np.ones(one), other, groups=groups)

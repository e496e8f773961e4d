import numpy as np
import pytest

from ordlib.metrics import Interval, bootstrap, mae, spearman


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(0).normal(size=50)
    assert bootstrap(np.mean, values) == bootstrap(np.mean, values)
    assert bootstrap(np.mean, values) != bootstrap(np.mean, values, seed=1)


def test_a_mean_has_the_interval_that_theory_gives():
    values = np.random.default_rng(0).normal(size=400)
    interval = bootstrap(np.mean, values, n_resamples=4000)
    half = 1.96 * values.std() / np.sqrt(400)
    assert interval.estimate == values.mean()
    assert interval.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_a_lower_level_is_narrower():
    values = np.random.default_rng(0).normal(size=100)
    wide, narrow = (bootstrap(np.mean, values, confidence_level=level) for level in (0.95, 0.5))
    assert wide.low < narrow.low < narrow.estimate < narrow.high < wide.high


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    covered = 0
    for seed in range(200):
        values = np.random.default_rng(seed).exponential(size=80)
        interval = bootstrap(np.mean, values, n_resamples=200, confidence_level=0.9)
        covered += interval.low <= 1 <= interval.high
    assert 0.82 <= covered / 200 <= 0.96


def test_rows_stay_together():
    truth = np.arange(30.0)
    assert bootstrap(mae, truth, truth + 2) == Interval(2, 2, 2)


def test_groups_are_drawn_whole():
    groups = np.array(["a", "b", "a", "c", "b", "c", "c"])
    seen = []

    def watch(drawn):
        seen.append(drawn)
        return len(drawn)

    bootstrap(watch, groups, groups=groups, n_resamples=50)
    sizes = {"a": 2, "b": 2, "c": 3}
    for drawn in seen[1:]:
        counts = {name: int(np.sum(drawn == name)) for name in sizes}
        assert all(count % sizes[name] == 0 for name, count in counts.items())
        assert sum(count // sizes[name] for name, count in counts.items()) == 3
    assert len({tuple(sorted(drawn)) for drawn in seen}) > 3


def test_rows_that_move_together_make_a_wider_interval():
    scene = np.repeat(np.arange(8), 50)
    values = np.random.default_rng(0).normal(size=8)[scene]
    rows, scenes = bootstrap(np.mean, values), bootstrap(np.mean, values, groups=scene)
    assert scenes.high - scenes.low > 3 * (rows.high - rows.low)


def test_one_group_tells_nothing_of_others():
    interval = bootstrap(np.mean, [1.0, 2.0], groups=["a", "a"])
    assert interval.estimate == 1.5
    assert np.isnan(interval[1:]).all()


def test_draws_without_a_number_are_left_out():
    interval = bootstrap(spearman, [1, 1, 2], [1, 2, 3], n_resamples=100)
    assert np.isfinite(interval).all()
    undefined = bootstrap(spearman, [1, 1, 1], [1, 2, 3], n_resamples=10)
    assert np.isnan(undefined).all()


def test_tables_are_drawn_by_row():
    table = np.arange(12).reshape(6, 2)
    interval = bootstrap(lambda drawn: float((drawn[:, 1] - drawn[:, 0]).mean()), table)
    assert interval == Interval(1, 1, 1)


def test_an_interval_reads_well():
    assert str(Interval(0.41983, 0.3891, 0.4502)) == "0.42 (0.389 to 0.45)"


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ((), {}, "arrays of one length, at least 1"),
        (([],), {}, r"lengths: \[0\]"),
        (([1, 2], [1]), {}, r"lengths: \[2, 1\]"),
        (([1, 2],), {"groups": ["a"]}, "groups has 1 rows, the arrays have 2"),
        (([1, 2],), {"n_resamples": 0}, "n_resamples must be at least 1"),
        (([1, 2],), {"confidence_level": 95}, "confidence_level between 0 and 1, not 1000 and 95"),
    ],
)
def test_wrong_input_is_named(arrays, options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(lambda *drawn: 0.0, *arrays, **options)

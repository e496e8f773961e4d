from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ordlib.data.splits import split_indices

SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


def test_split_indices_is_a_stratified_partition():
    ranks = np.random.default_rng(1).integers(0, 9, 700)
    whole = Counter(ranks.tolist())
    parts = split_indices(ranks, SHARES)
    assert list(parts) == ["train", "val", "test"]
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(700))
    for name, part in parts.items():
        assert abs(len(part) - SHARES[name] * 700) < 1
        for rank, count in Counter(ranks[part].tolist()).items():
            assert abs(count - SHARES[name] * whole[rank]) < 2


@settings(max_examples=40, deadline=None)
@given(
    groups=st.lists(st.integers(0, 12), min_size=30, max_size=80),
    seed=st.integers(0, 1000),
)
def test_split_indices_never_separates_a_group(groups, seed):
    groups = np.array([*groups, 20, 21, 22])
    ranks = np.random.default_rng(seed).integers(0, 4, len(groups))
    assigned = {}
    for name, part in split_indices(ranks, SHARES, groups, seed).items():
        assert len(part)
        for index in part:
            assert assigned.setdefault(groups[index], name) == name


def test_split_indices_stratifies_groups():
    rng = np.random.default_rng(2)
    groups = rng.integers(0, 300, 3000)
    # Groups and ranks are correlated, so that random assignment of groups would fail.
    ranks = (groups % 10 + rng.integers(0, 2, 3000)) % 10
    for name, part in split_indices(ranks, SHARES, groups).items():
        share = np.bincount(ranks[part], minlength=10) / np.bincount(ranks, minlength=10)
        assert np.abs(share - SHARES[name]).max() < 0.04


def test_split_indices_depends_on_seed_only():
    ranks, groups = np.repeat(np.arange(5), 40), np.arange(200) // 2
    for units in (None, groups):
        a, same, b = (split_indices(ranks, SHARES, units, seed) for seed in (0, 0, 1))
        assert all(np.array_equal(a[name], same[name]) for name in SHARES)
        assert not np.array_equal(a["test"], b["test"])


def test_split_indices_fills_all_splits_with_few_groups():
    for sizes in ([10, 1, 1], [1, 1, 1], [5, 5, 5]):
        groups = np.repeat(["a", "b", "c"], sizes)
        parts = split_indices(np.zeros(len(groups), int), SHARES, groups)
        assert [len(part) for part in parts.values()] == sizes


@pytest.mark.parametrize(
    ("count", "shares", "groups", "message"),
    [
        (10, {"train": 70, "test": 30}, None, "'train': 70.*not 100"),
        (10, {"train": 1.5, "test": -0.5}, None, "-0.5.*above 0"),
        (10, {"train": 0.5, "test": 0.4}, None, "not 0.9"),
        (2, SHARES, None, "2 images .* 3 splits"),
        (9, SHARES, list("aaaabbbbb"), "2 groups .* 3 splits"),
        (5, {"train": 0.98, "val": 0.01, "test": 0.01}, None, "'val' would be empty"),
    ],
)
def test_split_indices_invalid_arguments(count, shares, groups, message):
    with pytest.raises(ValueError, match=message):
        split_indices(np.zeros(count, int), shares, groups)

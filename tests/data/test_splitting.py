from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ordlib.data.splits import split_indices

SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


def test_every_picture_is_in_one_split():
    ranks = np.random.default_rng(0).integers(0, 20, 503)
    parts = split_indices(ranks, SHARES)
    assert list(parts) == ["train", "val", "test"]
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(503))


def test_ranks_are_shared_out_to_within_one_picture():
    ranks = np.random.default_rng(1).integers(0, 9, 700)
    whole = Counter(ranks.tolist())
    for name, part in split_indices(ranks, SHARES).items():
        assert abs(len(part) - SHARES[name] * 700) < 1
        for rank, count in Counter(ranks[part].tolist()).items():
            assert abs(count - SHARES[name] * whole[rank]) < 2


@settings(max_examples=40, deadline=None)
@given(
    groups=st.lists(st.integers(0, 12), min_size=30, max_size=80),
    seed=st.integers(0, 1000),
)
def test_no_group_is_torn(groups, seed):
    groups = np.array([*groups, 20, 21, 22])
    ranks = np.random.default_rng(seed).integers(0, 4, len(groups))
    homes = {}
    for name, part in split_indices(ranks, SHARES, groups, seed).items():
        assert len(part)
        for index in part:
            assert homes.setdefault(groups[index], name) == name


def test_groups_keep_ranks_stratified():
    rng = np.random.default_rng(2)
    groups = rng.integers(0, 300, 3000)
    # A person has a rank of their own, more or less: dealing people blindly would go wrong.
    ranks = (groups % 10 + rng.integers(0, 2, 3000)) % 10
    for name, part in split_indices(ranks, SHARES, groups).items():
        share = np.bincount(ranks[part], minlength=10) / np.bincount(ranks, minlength=10)
        assert np.abs(share - SHARES[name]).max() < 0.04


def test_the_seed_decides():
    ranks, groups = np.repeat(np.arange(5), 40), np.arange(200) // 2
    for units in (None, groups):
        one, same, other = (split_indices(ranks, SHARES, units, seed) for seed in (0, 0, 1))
        assert all(np.array_equal(one[name], same[name]) for name in SHARES)
        assert not np.array_equal(one["test"], other["test"])


def test_as_many_groups_as_splits_fill_them_all():
    for sizes in ([10, 1, 1], [1, 1, 1], [5, 5, 5]):
        groups = np.repeat(["a", "b", "c"], sizes)
        parts = split_indices(np.zeros(len(groups), int), SHARES, groups)
        assert [len(part) for part in parts.values()] == sizes


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"train": 70, "test": 30}, "sum to 1, not 100"),
        ({"train": 1.5, "test": -0.5}, "above 0"),
        ({"train": 0.5, "test": 0.4}, "sum to 1, not 0.9"),
    ],
)
def test_shares_must_be_shares(shares, message):
    with pytest.raises(ValueError, match=message):
        split_indices(np.zeros(10, int), shares)


def test_too_little_to_split():
    with pytest.raises(ValueError, match="2 pictures cannot fill 3 splits"):
        split_indices(np.zeros(2, int), SHARES)
    with pytest.raises(ValueError, match="2 groups cannot fill 3 splits"):
        split_indices(np.zeros(9, int), SHARES, np.repeat(["a", "b"], [4, 5]))
    with pytest.raises(ValueError, match="split 'val' would be empty"):
        split_indices(np.zeros(5, int), {"train": 0.98, "val": 0.01, "test": 0.01})

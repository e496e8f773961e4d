"""Stratified, group-aware train/val/test splits."""

from collections.abc import Mapping

import numpy as np


def split_indices(
    ranks: np.ndarray,
    fractions: Mapping[str, float],
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Indices of each split, stratified by rank.

    Without groups, the split sizes per rank are as close to the fractions as whole images allow.
    With groups, all images of a group go to one split, greedily in decreasing order of group size,
    so that the rank distributions of the splits stay close to the fractions.

    Args:
        ranks: ``(N,)`` int rank indices.
        fractions: fraction of each split, above 0, summing to 1.
        groups: ``(N,)`` group names, or None.
        seed: random seed for ties.

    Returns:
        Increasing indices by split.

    Raises:
        ValueError: invalid fractions, or fewer images or groups than splits.

    Example:
        >>> parts = split_indices(np.repeat([0, 1], 10), {"train": 0.8, "test": 0.2})
        >>> [len(part) for part in parts.values()], np.repeat([0, 1], 10)[parts["test"]]
        ([16, 4], array([0, 0, 1, 1]))
    """
    ranks = np.asarray(ranks)
    shares = np.array(list(fractions.values()), dtype=float)
    if not (shares > 0).all() or not np.isclose(shares.sum(), 1):
        problem = f"fractions must be above 0 and sum to 1, not {shares.sum():g}"
        raise ValueError(f"splits = {dict(fractions)}: {problem}")
    kind, units = "images", np.arange(len(ranks))
    if groups is not None:
        kind, units = "groups", np.unique(groups, return_inverse=True)[1]
    count = int(units.max()) + 1 if len(units) else 0
    if count < len(shares):
        names = ", ".join(fractions)
        raise ValueError(f"{count} {kind} are too few for {len(shares)} splits ({names})")
    rng = np.random.default_rng(seed)
    if groups is None:
        assigned = _stratified_split(ranks, shares, rng)
    else:
        assigned = _stratified_group_split(ranks, shares, units, rng)
    parts = {name: np.flatnonzero(assigned == i) for i, name in enumerate(fractions)}
    empty = [name for name, part in parts.items() if not len(part)]
    if empty:
        raise ValueError(f"split {empty[0]!r} would be empty: {len(ranks)} images are too few")
    return parts


def _stratified_split(ranks: np.ndarray, shares: np.ndarray, rng) -> np.ndarray:
    """``(N,)`` split of each image: rank by rank, to the split with the largest deficit."""
    order = np.lexsort((rng.random(len(ranks)), ranks))
    assigned = np.empty(len(ranks), dtype=int)
    deficit = rng.random(len(shares)) * 1e-6
    for index in order:
        deficit += shares
        assigned[index] = deficit.argmax()
        deficit[assigned[index]] -= 1
    return assigned


def _stratified_group_split(ranks: np.ndarray, shares: np.ndarray, units: np.ndarray, rng):
    """``(N,)`` split of each image: largest groups first, with the least increase in misfit.

    The misfit is the squared deviation from the target counts per rank, divided by the target.
    """
    counts = np.zeros((units.max() + 1, ranks.max() + 1))  # (groups, ranks)
    np.add.at(counts, (units, ranks), 1)
    # Ranks without images would divide by zero.
    counts = counts[:, counts.any(axis=0)]
    target = shares[:, None] * counts.sum(axis=0)  # (splits, ranks)
    order = np.lexsort((rng.random(len(counts)), -counts.sum(axis=1)))
    assigned, current = np.empty(len(counts), dtype=int), np.zeros_like(target)
    for done, unit in enumerate(order):
        group = counts[unit]
        increase = (group * (group + 2 * (current - target)) / target).sum(axis=1)
        empty = ~current.any(axis=1)
        # The last groups fill the empty splits.
        if len(counts) - done <= empty.sum():
            increase[~empty] = np.inf
        assigned[unit] = increase.argmin()
        current[assigned[unit]] += group
    return assigned[units]

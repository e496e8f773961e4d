"""Cutting one set into training, validation and test: stratified over ranks, whole groups."""

from collections.abc import Mapping

import numpy as np


def split_indices(
    ranks: np.ndarray,
    fractions: Mapping[str, float],
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Positions of the pictures of each split, stratified over ranks.

    Without groups each rank is dealt out as evenly as whole pictures allow. With groups, all
    pictures of a group go to one split: the largest groups choose first, each the split
    whose ranks it brings nearest to their share.

    Args:
        ranks: ``(N,)`` int.
        fractions: share of each split, above 0, summing to 1.
        groups: ``(N,)`` names of the units that must stay together, or None.
        seed: settles who goes where among equals.

    Returns:
        Increasing positions for each split, in the order of ``fractions``.

    Raises:
        ValueError: shares that are not positive or do not sum to 1; fewer pictures or groups
            than splits.

    Example:
        >>> parts = split_indices(np.repeat([0, 1], 10), {"train": 0.8, "test": 0.2})
        >>> [len(part) for part in parts.values()], np.repeat([0, 1], 10)[parts["test"]]
        ([16, 4], array([0, 0, 1, 1]))
    """
    ranks = np.asarray(ranks)
    shares = np.array(list(fractions.values()), dtype=float)
    if not (shares > 0).all() or not np.isclose(shares.sum(), 1):
        raise ValueError(
            f"splits={dict(fractions)} must be shares above 0 that sum to 1, not {shares.sum():g}"
        )
    units = np.arange(len(ranks)) if groups is None else np.unique(groups, return_inverse=True)[1]
    count = int(units.max()) + 1 if len(units) else 0
    if count < len(shares):
        kind = "pictures" if groups is None else "groups"
        raise ValueError(
            f"{count} {kind} cannot fill {len(shares)} splits ({', '.join(fractions)})"
        )
    rng = np.random.default_rng(seed)
    deal = _stratified_split if groups is None else _stratified_group_split
    home = deal(ranks, shares, units, rng)
    parts = {name: np.flatnonzero(home == i) for i, name in enumerate(fractions)}
    empty = [name for name, part in parts.items() if not len(part)]
    if empty:
        raise ValueError(f"split {empty[0]!r} would be empty: {len(ranks)} pictures are too few")
    return parts


def _stratified_split(ranks, shares, _, rng) -> np.ndarray:
    """Walk rank by rank, in random order within a rank; the split furthest behind is served."""
    order = np.lexsort((rng.random(len(ranks)), ranks))
    home = np.empty(len(ranks), dtype=int)
    behind = rng.random(len(shares)) * 1e-6
    for index in order:
        behind += shares
        home[index] = behind.argmax()
        behind[home[index]] -= 1
    return home


def _stratified_group_split(ranks, shares, units, rng) -> np.ndarray:
    """Serve the largest groups first, each where the squared misfit over ranks grows least."""
    table = np.zeros((units.max() + 1, ranks.max() + 1))
    np.add.at(table, (units, ranks), 1)
    # Ranks that nobody has would divide by zero.
    table = table[:, table.any(axis=0)]
    wanted = shares[:, None] * table.sum(axis=0)
    order = np.lexsort((rng.random(len(table)), -table.sum(axis=1)))
    home, have = np.empty(len(table), dtype=int), np.zeros_like(wanted)
    for done, unit in enumerate(order):
        group = table[unit]
        growth = (group * (group + 2 * (have - wanted)) / wanted).sum(axis=1)
        empty = ~have.any(axis=1)
        if len(table) - done <= empty.sum():
            growth[~empty] = np.inf
        home[unit] = growth.argmin()
        have[home[unit]] += group
    return home[units]

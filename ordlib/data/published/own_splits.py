"""Splits where none are published: stratified folds, with groups kept together."""

import warnings

import numpy as np

from ..dataset import ImageData

SEED = 0


def stratified_folds(data: ImageData, fold: int, num_folds: int) -> dict[str, np.ndarray]:
    """Indices of the training and test images of a fold, the same on every machine.

    Raises:
        ValueError: fewer images, or groups, than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    units, what = (len(data), "images")
    if data.groups is not None:
        units, what = len(np.unique(data.groups)), "groups"
    if units < num_folds:
        raise ValueError(f"{units} {what} are too few for {num_folds} folds")
    method = StratifiedKFold if data.groups is None else StratifiedGroupKFold
    splitter = method(num_folds, shuffle=True, random_state=SEED)
    ranks = data.ranks
    if np.bincount(ranks).max() < num_folds:  # Too few images to stratify.
        ranks = np.zeros(len(data), dtype=int)
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # Rare ranks.
        folds = list(splitter.split(ranks, ranks, data.groups))
    return dict(zip(("train", "test"), folds[fold], strict=True))


def leave_one_group_out(
    data: ImageData, fold: int, group: str
) -> tuple[dict[str, np.ndarray], int]:
    """Indices of the training and test images, and the number of groups, which are in order.

    Raises:
        ValueError: no such group, or a single one.
    """
    names = np.unique(data.groups)
    if len(names) < 2:
        raise ValueError(f"1 {group} is too few to leave one out")
    if not 0 <= fold < len(names):
        raise ValueError(f"fold = {fold}: must be 0 to {len(names) - 1}, the number of a {group}")
    test = data.groups == names[fold]
    return {"train": np.flatnonzero(~test), "test": np.flatnonzero(test)}, len(names)

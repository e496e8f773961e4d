"""Do rank features keep the order of their ranks? OrdinalCLIP's score, made comparable."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Ordinality(NamedTuple):
    """How well features keep the order of their ranks.

    Attributes:
        raw: share of steps away from a rank that lower the similarity, 0 to 1. Chance depends
            on the number of ranks, so never compare it between tasks.
        chance_corrected: 0 at chance, 1 where every step away lowers the similarity. ``nan`` for two
            ranks, where nothing can go wrong.
    """

    raw: float
    chance_corrected: float


def ordinality_score(features: ArrayLike) -> Ordinality:
    """OrdinalCLIP's ordinality score of rank features, raw and chance_corrected for chance.

    With ``S = T T'`` it counts, for every rank i, how many of the steps j to j + 1 away from it
    lower the similarity ``S[i, j]``. The first step (j = i) always does, so chance is
    ``1/2 + 1/M``: 0.55 for 20 ranks, 0.70 for 5.

    Args:
        features: ``(M, D)``, one row a rank in order, any length (rows are normalised here).

    Returns:
        The raw and the chance_corrected score.

    Raises:
        ValueError: not ``(M, D)`` with M of 2 or more, or a row that is not finite or all 0.

    Source:
        Li et al., OrdinalCLIP, NeurIPS 2022, arXiv 2206.02338. The correction is ours.

    Example:
        >>> walk = [[1, 0], [1, 1], [1, 2], [1, 3]]
        >>> ordinality_score(walk)
        Ordinality(raw=1.0, chance_corrected=1.0)
    """
    similarity = rank_similarity(features)
    ranks = len(similarity)
    steps = np.triu_indices(ranks - 1)
    raw = float((similarity[:, :-1] > similarity[:, 1:])[:-1][steps].mean())
    chance = 1 / 2 + 1 / ranks
    return Ordinality(raw, (raw - chance) / (1 - chance) if ranks > 2 else float("nan"))


def rank_similarity(features: ArrayLike) -> np.ndarray:
    """Return the cosine of every rank's features with every other's.

    Args:
        features: as in :func:`ordinality_score`.

    Returns:
        ``(M, M)`` float64, 1 on the diagonal.

    Raises:
        ValueError: as :func:`ordinality_score`.

    Example:
        >>> rank_similarity([[1, 0], [0, 2]])
        array([[1., 0.],
               [0., 1.]])
    """
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"features must be (M, D) with M >= 2 ranks, not {features.shape}")
    lengths = np.linalg.norm(features, axis=1)
    bad = ~np.isfinite(lengths) | (lengths == 0)
    if bad.any():
        raise ValueError(f"features[{np.argmax(bad)}] has length {lengths[np.argmax(bad)]}")
    features = features / lengths[:, None]
    return features @ features.T

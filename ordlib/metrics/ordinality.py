"""OrdinalCLIP's ordinality score, with a correction for chance."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Ordinality(NamedTuple):
    """Ordinality score of rank features.

    Attributes:
        raw: 0 to 1; not comparable between tasks, since chance depends on the number of ranks.
        chance_corrected: 0 at chance, at most 1; ``nan`` for two ranks, where raw is always 1.
    """

    raw: float
    chance_corrected: float


def ordinality_score(features: ArrayLike) -> Ordinality:
    """Ordinality score of OrdinalCLIP (Li et al., 2022), raw and corrected for chance.

    With ``S = T T'``, the fraction of steps from j to j + 1 (j >= i) that lower the similarity
    ``S[i, j]``, over all ranks i. The first step (j = i) always does, so chance is ``1/2 + 1/M``:
    0.55 for 20 ranks, 0.70 for 5.

    Args:
        features: ``(M, D)``, one row per rank in order; rows are normalized here.

    Raises:
        ValueError: fewer than 2 ranks, or a row that is zero or not finite.

    References:
        Li et al. (2022), OrdinalCLIP, NeurIPS, arXiv:2206.02338; the correction is ours.

    Example:
        >>> ordinality_score([[1, 0], [1, 1], [1, 2], [1, 3]])
        Ordinality(raw=1.0, chance_corrected=1.0)
    """
    similarity = rank_similarity(features)
    num_ranks = len(similarity)
    steps = np.triu_indices(num_ranks - 1)
    raw = float((similarity[:, :-1] > similarity[:, 1:])[:-1][steps].mean())
    chance = 1 / 2 + 1 / num_ranks
    return Ordinality(raw, (raw - chance) / (1 - chance) if num_ranks > 2 else float("nan"))


def rank_similarity(features: ArrayLike) -> np.ndarray:
    """Cosine similarity matrix of rank features, ``(M, M)`` float64.

    Args and errors as in `ordinality_score`.

    Example:
        >>> rank_similarity([[1, 0], [0, 2]])
        array([[1., 0.],
               [0., 1.]])
    """
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"features: shape {features.shape}; expected (M, D) with M >= 2 ranks")
    norms = np.linalg.norm(features, axis=1)
    invalid = ~np.isfinite(norms) | (norms == 0)
    if invalid.any():
        row = np.argmax(invalid)
        raise ValueError(f"features[{row}]: norm {norms[row]}; must be finite and positive")
    features = features / norms[:, None]
    return features @ features.T

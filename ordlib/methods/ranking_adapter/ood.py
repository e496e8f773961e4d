"""Whether a picture looks like those that something was trained on."""

import numpy as np
from sklearn.covariance import LedoitWolf

# Of held-out pictures of the same kind, the share that is still called alike.
IN_DIST_QUANTILE = 0.995


class MahalanobisOOD:
    """Distances from the pictures of a training set, in units that their own spread gives.

    Args:
        mean: ``(D,)`` mean feature.
        precision: ``(D, D)`` inverse covariance.
        threshold: largest squared Mahalanobis distance of what is called alike.

    Source:
        Lee et al. (2018), A simple unified framework for detecting out-of-distribution samples,
        arXiv 1807.03888; shrinkage by Ledoit and Wolf (2004).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> seen = MahalanobisOOD.fit(rng.normal(size=(200, 4)), rng.normal(size=(100, 4)))
        >>> bool(seen.distances(np.full((1, 4), 9.0))[0] > 1)
        True
    """

    def __init__(self, mean: np.ndarray, precision: np.ndarray, threshold: float) -> None:
        self.mean, self.precision, self.threshold = mean, precision, threshold

    @classmethod
    def fit(cls, train: np.ndarray, held_out: np.ndarray) -> "MahalanobisOOD":
        """Measure what is usual.

        Args:
            train: ``(N, D)`` features of the training pictures.
            held_out: ``(V, D)`` of others of the same kind, which set the limit.

        Returns:
            The likeness to them.
        """
        fitted = LedoitWolf().fit(train)
        threshold = np.quantile(fitted.mahalanobis(held_out), IN_DIST_QUANTILE)
        return cls(fitted.location_, fitted.precision_, float(threshold))

    def distances(self, features: np.ndarray) -> np.ndarray:
        """Return ``(N,)`` squared distances of ``(N, D)`` features, 1 being the limit."""
        off = features - self.mean
        return np.einsum("nd,de,ne->n", off, self.precision, off) / self.threshold

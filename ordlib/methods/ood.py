"""Mahalanobis out-of-distribution detection."""

from typing import Self

import numpy as np
import torch
from sklearn.covariance import LedoitWolf
from torch import Tensor

from ..utils.validation import is_number

# Share of held-out in-distribution images below the threshold.
IN_DIST_QUANTILE = 0.995


class MahalanobisOOD:
    """Mahalanobis OOD detector with Ledoit-Wolf shrinkage (Lee et al., 2018).

    Args:
        mean: ``(D,)`` mean of the training features.
        precision: ``(D, D)`` inverse of their covariance.
        threshold: squared Mahalanobis distance above which an image is out of distribution.

    References:
        Lee et al. (2018), arXiv:1807.03888; shrinkage of Ledoit and Wolf (2004). The threshold from
        held-out images is ours.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> detector = MahalanobisOOD.fit(rng.normal(size=(200, 4)), rng.normal(size=(100, 4)))
        >>> bool(detector.scores(np.full((1, 4), 9.0))[0] > 1)
        True
    """

    def __init__(self, mean: np.ndarray, precision: np.ndarray, threshold: float) -> None:
        self.mean, self.precision, self.threshold = mean, precision, threshold

    @classmethod
    def fit(cls, train: np.ndarray, held_out: np.ndarray) -> Self:
        """Fit mean and shrunk covariance to ``(N, D)`` training features.

        Threshold: the 0.995 quantile of the squared distances of ``(V, D)`` held-out features.
        """
        estimator = LedoitWolf().fit(train)
        threshold = np.quantile(estimator.mahalanobis(held_out), IN_DIST_QUANTILE)
        return cls(estimator.location_, estimator.precision_, float(threshold))

    def state_dict(self, prefix: str = "ood.") -> dict[str, Tensor]:
        """Mean and precision as float32 tensors; the threshold goes to the config."""
        arrays = {"mean": self.mean, "precision": self.precision}
        return {f"{prefix}{n}": torch.as_tensor(x, dtype=torch.float32) for n, x in arrays.items()}

    @classmethod
    def from_state_dict(
        cls, state: dict[str, Tensor], threshold: float, width: int, prefix: str = "ood."
    ) -> Self:
        """Build a detector of D = ``width`` features from tensors of :meth:`state_dict`.

        Raises:
            ValueError: the tensors lack, are not of this width, or the threshold is not positive.
        """
        if not is_number(threshold) or threshold <= 0:
            name = prefix[len("ood.") : -1]
            field = f"ood_thresholds.{name}" if name else "ood_threshold"
            raise ValueError(f"{field} in config.json = {threshold!r:.60}: must be above 0")
        arrays = []
        for name, shape in (("mean", (width,)), ("precision", (width, width))):
            tensor = state.get(f"{prefix}{name}")
            if tensor is None or tuple(tensor.shape) != shape:
                given = "missing" if tensor is None else tuple(tensor.shape)
                raise ValueError(f"the tensor {prefix}{name} is {given}; it must be {shape}")
            arrays.append(tensor.float().numpy())
        return cls(*arrays, threshold)

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Return ``(N,)`` OOD scores: squared Mahalanobis distance divided by the threshold."""
        centered = features - self.mean
        return np.einsum("nd,de,ne->n", centered, self.precision, centered) / self.threshold


def read_ood_detectors(
    state: dict[str, Tensor], thresholds: dict[str, float], width: int
) -> dict[str, MahalanobisOOD]:
    """Build the detectors of several tasks by name, from tensors such as "ood.dating.mean"."""
    names = {name.removeprefix("ood.").rpartition(".")[0] for name in state}
    build = MahalanobisOOD.from_state_dict
    return {
        name: build(state, thresholds.get(name), width, f"ood.{name}.")
        for name in sorted(names.union(thresholds))
    }

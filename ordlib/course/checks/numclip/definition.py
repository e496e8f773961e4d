"""The weights by their definition, and answers as arrays: what the checks compare."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor


def array_of(answer: object) -> np.ndarray:
    """Return an answer as float64, wherever it lies."""
    if isinstance(answer, Tensor):
        answer = answer.detach().cpu()
    return np.asarray(answer, dtype=np.float64)


def weights_of(bins: Sequence[int], num_bins: int) -> np.ndarray:
    """Return the weights ``(B, d)`` by their definition, with 1 in the own bin."""
    rows = []
    for own in bins:
        total = sum(abs(own - j) for j in range(num_bins))
        rows.append([(num_bins - 1) * abs(own - j) / total if j != own else 1
                     for j in range(num_bins)])  # fmt: skip
    return np.array(rows)

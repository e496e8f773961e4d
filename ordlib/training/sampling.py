"""The rows of every step, in an order that the seed and the epoch alone decide."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from torch import Tensor

from ..models.image_side import Inputs


def epoch_rows(count: int, batch: int, seed: int, epoch: int) -> np.ndarray:
    """Shuffle pictures into full batches; those left over wait for another epoch.

    Args:
        count: pictures.
        batch: of a step; capped at ``count``.
        seed, epoch: decide the order.

    Returns:
        ``(steps, batch)`` int64 rows.

    Example:
        >>> epoch_rows(5, 2, seed=0, epoch=1).shape
        (2, 2)
    """
    batch = min(batch, count)
    order = np.random.default_rng([seed, epoch]).permutation(count)
    return order[: count // batch * batch].reshape(-1, batch)


def prefetched(inputs: Inputs, batches: np.ndarray) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Yield rows and inputs, the next batch being read while the present one is in use."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(inputs, batches[0])
        for now, after in zip(batches, [*batches[1:], None], strict=True):
            ready = coming.result()
            if after is not None:
                coming = reader.submit(inputs, after)
            yield now, ready

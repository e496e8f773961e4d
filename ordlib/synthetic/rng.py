"""Independent random generators, one per sample."""

import hashlib

import numpy as np


def generator(task: str, split: str, index: int) -> np.random.Generator:
    """Return the random generator of a sample.

    The name of the split is part of the seed, so splits share no samples. A sample depends on its
    task, split and index only, not on the order or the number of workers.

    Args:
        task: name of the task.
        split: name of the split.
        index: position in the split, >= 0.

    Returns:
        A fresh PCG64 generator.

    Raises:
        ValueError: ``index`` is negative.

    Example:
        >>> a, b = generator("counting", "val", 3), generator("counting", "val", 3)
        >>> bool(a.integers(1000) == b.integers(1000))
        True
    """
    if index < 0:
        raise ValueError(f"index = {index}: is negative; indices of {task}/{split} start at 0")
    name = hashlib.sha256(f"{task}/{split}".encode()).digest()
    return np.random.default_rng([int.from_bytes(name[:8], "little"), index])

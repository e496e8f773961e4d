"""One independent random stream for every picture."""

import hashlib

import numpy as np


def generator(task: str, split: str, index: int) -> np.random.Generator:
    """Return the random generator of one picture.

    The split's name is part of the seed, so no two splits share a picture, and a picture
    depends on nothing but its own address: any order and any number of workers agree.

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
        raise ValueError(f"index {index} of {task}/{split} is negative; pictures count from 0")
    name = hashlib.sha256(f"{task}/{split}".encode()).digest()
    return np.random.default_rng([int.from_bytes(name[:8], "little"), index])

"""Threads for reading: decoding images releases the interpreter lock."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

# Each thread holds one decoded image; more threads would need more memory than they save time.
NUM_THREADS = min(4, os.cpu_count() or 1)


def prefetch(load: Callable[[Any], Any], batches: Sequence) -> Iterator[Any]:
    """Yield ``load(batch)`` for every batch, loading the next one in a background thread.

    Example:
        >>> list(prefetch(sum, [(1, 2), (3, 4)]))
        [3, 7]
    """
    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(load, batches[0])
        for next_batch in [*batches[1:], None]:
            loaded = future.result()
            if next_batch is not None:
                future = executor.submit(load, next_batch)
            yield loaded

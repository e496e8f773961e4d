import threading

import numpy as np
import pytest
import torch

from ordlib.utils.threads import prefetch


def test_prefetch_loads_one_batch_ahead():
    batches, started = np.arange(9).reshape(3, 3), [threading.Event() for _ in range(3)]

    def load(rows):
        started[rows[0] // 3].set()
        return torch.tensor(rows) * 10

    loaded = prefetch(load, batches)
    first = next(loaded)
    assert started[1].wait(timeout=10)
    assert not started[2].is_set()
    assert [batch.tolist() for batch in (first, *loaded)] == (10 * batches).tolist()


def test_prefetch_raises_errors_of_loading():
    def load(rows):
        raise OSError(f"cannot read {rows}")

    with pytest.raises(OSError, match="cannot read"):
        list(prefetch(load, np.arange(4).reshape(2, 2)))

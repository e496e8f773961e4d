import threading

import numpy as np
import pytest
import torch

from ordlib.training.sampling import epoch_batches, prefetch


@pytest.mark.parametrize(("count", "batch_size", "shape"), [(24, 8, (3, 8)), (23, 5, (4, 5))])
def test_batches_are_full_and_no_row_comes_twice(count, batch_size, shape):
    rows = epoch_batches(count, batch_size, seed=0, epoch=0)
    assert rows.shape == shape
    assert len(set(rows.ravel().tolist())) == rows.size
    assert set(rows.ravel().tolist()) <= set(range(count))


def test_a_batch_is_never_more_than_there_is():
    assert sorted(epoch_batches(3, 64, seed=0, epoch=0).tolist()[0]) == [0, 1, 2]


def test_seed_and_epoch_decide_the_order():
    first = epoch_batches(24, 8, seed=0, epoch=0)
    assert np.array_equal(first, epoch_batches(24, 8, seed=0, epoch=0))
    assert not np.array_equal(first, epoch_batches(24, 8, seed=0, epoch=1))
    assert not np.array_equal(first, epoch_batches(24, 8, seed=1, epoch=0))


def test_rows_left_over_come_in_another_epoch():
    seen = {row for epoch in range(20) for row in epoch_batches(23, 5, 0, epoch).ravel().tolist()}
    assert seen == set(range(23))


def test_prefetched_gives_each_batch_its_own_inputs():
    batches = epoch_batches(12, 3, seed=0, epoch=0)
    found = list(prefetch(lambda rows: torch.tensor(rows) * 10, batches))
    assert [rows.tolist() for rows, _ in found] == batches.tolist()
    for rows, inputs in found:
        assert inputs.tolist() == [10 * row for row in rows.tolist()]


def test_the_next_batch_is_read_while_one_is_in_use():
    batches, reads = np.arange(9).reshape(3, 3), [threading.Event() for _ in range(3)]

    def read(rows):
        reads[rows[0] // 3].set()
        return torch.tensor(rows)

    coming = prefetch(read, batches)
    next(coming)
    assert reads[1].wait(timeout=10)
    assert not reads[2].is_set()
    assert len(list(coming)) == 2


def test_an_error_of_reading_reaches_the_loop():
    def read(rows):
        raise OSError(f"cannot read {rows}")

    with pytest.raises(OSError, match="cannot read"):
        list(prefetch(read, np.arange(4).reshape(2, 2)))

"""Ranks and bins of tensors are those that the task gives for arrays."""

import numpy as np
import pytest
import torch

from ordlib import OrdinalTask, load_task
from ordlib.methods.base import bin_targets, rank_targets

# Halves between these are no numbers of binary: rounding must not move a label that lies on one.
TENTHS = OrdinalTask(
    name="tenths",
    unit="units",
    values=tuple(k / 10 for k in range(1, 40, 3)),
    bin_edges=(0.05, 0.3, 0.7, 1.1, 2.3),
    bin_phrases=("a", "b", "c", "d", "e"),
)
NAMED = OrdinalTask(name="named", unit="u", values=("x", "y", "z"), positions=(-1, 0.1, 7.3))
TASKS = [*map(load_task, ("counting", "dating", "ageing", "quality")), TENTHS, NAMED]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_they_are_the_task_s(task):
    rank_values, edges = task.rank_values, np.array(task.bin_edges)
    low, high = task.range
    random = np.random.default_rng(0).uniform(low - 1, high + 1, 500).astype(np.float32)
    halves = (rank_values[:-1] + rank_values[1:]) / 2
    for values in (random, rank_values, edges, halves, np.array([low - 9, high + 9])):
        tensor = torch.tensor(values, dtype=torch.float32)
        assert rank_targets(task, tensor).tolist() == task.rank_index(values).tolist()
        assert bin_targets(task, tensor).tolist() == task.bin_index(values).tolist()

"""Batches of pairs, made ready by threads while the model trains on the ones before."""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .captioning import Captioner
from .config import Plan

READERS = 4
AHEAD = 8


class Batch(NamedTuple):
    """One process's share of a batch.

    Attributes:
        images: ``(n, side, side, 3)`` uint8.
        ids: ``(n, T)`` int64, cut to the longest caption alive; the text tower is causal, so
            what is cut cannot matter.
        counted: how many captions of the whole batch state the true count.
    """

    images: Tensor
    ids: Tensor
    counted: int


class Batches:
    """The batches of a run, each a function of the plan and the step alone.

    Args:
        plan, captioner: of the run.
        rank, processes: which share of each batch is wanted.
        workers: processes that caption; None takes every core.
        pin: whether to put batches where a GPU fetches them quickest.
    """

    def __init__(
        self,
        plan: Plan,
        captioner: Captioner,
        rank: int = 0,
        processes: int = 1,
        workers: int | None = None,
        pin: bool = False,
    ) -> None:
        self.plan, self.captioner, self.workers, self.pin = plan, captioner, workers, pin
        self.images = captioner.pool.open()
        self.share = slice(rank * plan.batch // processes, (rank + 1) * plan.batch // processes)
        self.waited = 0.0  # Seconds that the training waited for data.

    def start(self, step: int) -> Iterator[Batch]:
        """Yield the batches from a step to the last one."""
        # Apart, so that no reader waits for captions that wait for a reader.
        readers, speaker = ThreadPoolExecutor(READERS), ThreadPoolExecutor(1)
        epoch = lru_cache(2)(lambda number: speaker.submit(self._prepare, number))
        length, last = self.plan.steps_per_epoch, self.plan.steps - 1
        waiting: deque[Future] = deque()
        try:
            for ahead in range(step, last + 1):
                now = epoch(ahead // length)
                if ahead // length < last // length:
                    epoch(ahead // length + 1)  # Begun at once.
                waiting.append(readers.submit(self._read, ahead, now))
                if len(waiting) == AHEAD:
                    yield self._next(waiting)
            while waiting:
                yield self._next(waiting)
        finally:
            readers.shutdown(cancel_futures=True)
            speaker.shutdown(cancel_futures=True)

    def _next(self, waiting: deque[Future]) -> Batch:
        began = time.perf_counter()
        batch = waiting.popleft().result()
        self.waited += time.perf_counter() - began
        return batch

    def _prepare(self, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        ids, counted = self.captioner.epoch(epoch, self.workers)
        order = np.random.default_rng([self.plan.seed, epoch]).permutation(self.plan.pictures)
        return order, ids, counted

    def _read(self, step: int, epoch: Future) -> Batch:
        order, ids, counted = epoch.result()
        at = step % self.plan.steps_per_epoch * self.plan.batch
        rows = order[at : at + self.plan.batch]
        own = rows[self.share]
        texts = ids[own]
        # A caption's end token is followed by more of them; one must stay.
        alive = (texts != texts[:, -1:]).sum(1).max() + 1
        # In order, so that a disk can read ahead; pairs within a batch have no order.
        own, texts = own[np.argsort(own)], texts[np.argsort(own), :alive]
        images = torch.from_numpy(np.take(self.images, own, axis=0))
        texts = torch.from_numpy(texts.astype(np.int64))
        if self.pin:
            images, texts = images.pin_memory(), texts.pin_memory()
        return Batch(images, texts, int(counted[rows].sum()))

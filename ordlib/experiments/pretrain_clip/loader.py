"""PairLoader of pairs, made ready by threads while the model trains on the ones before."""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .captioning import CaptionGenerator
from .config import PretrainingConfig

NUM_WORKERS = 4
PREFETCH_FACTOR = 8


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


class PairLoader:
    """The batches of a run, each a function of the config and the step alone.

    Args:
        config, captioner: of the run.
        rank, processes: which share of each batch is wanted.
        workers: processes that caption; None takes every core.
        pin: whether to put batches where a GPU fetches them quickest.
    """

    def __init__(
        self,
        config: PretrainingConfig,
        captioner: CaptionGenerator,
        rank: int = 0,
        processes: int = 1,
        workers: int | None = None,
        pin: bool = False,
    ) -> None:
        self.config, self.captioner, self.workers, self.pin = config, captioner, workers, pin
        self.images = captioner.pool.open()
        self.share = slice(
            rank * config.batch_size // processes, (rank + 1) * config.batch_size // processes
        )
        self.data_wait_seconds = 0.0  # Seconds that the training waited for data.

    def start(self, step: int) -> Iterator[Batch]:
        """Yield the batches from a step to the last one."""
        # Apart, so that no reader waits for captions that wait for a reader.
        readers, caption_executor = ThreadPoolExecutor(NUM_WORKERS), ThreadPoolExecutor(1)
        epoch = lru_cache(2)(lambda number: caption_executor.submit(self._prepare, number))
        length, last = self.config.steps_per_epoch, self.config.steps - 1
        waiting: deque[Future] = deque()
        try:
            for ahead in range(step, last + 1):
                now = epoch(ahead // length)
                if ahead // length < last // length:
                    epoch(ahead // length + 1)  # Begun at once.
                waiting.append(readers.submit(self._read, ahead, now))
                if len(waiting) == PREFETCH_FACTOR:
                    yield self._next(waiting)
            while waiting:
                yield self._next(waiting)
        finally:
            readers.shutdown(cancel_futures=True)
            caption_executor.shutdown(cancel_futures=True)

    def _next(self, waiting: deque[Future]) -> Batch:
        began = time.perf_counter()
        batch = waiting.popleft().result()
        self.data_wait_seconds += time.perf_counter() - began
        return batch

    def _prepare(self, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        ids, counted = self.captioner.epoch(epoch, self.workers)
        order = np.random.default_rng([self.config.seed, epoch]).permutation(self.config.num_images)
        return order, ids, counted

    def _read(self, step: int, epoch: Future) -> Batch:
        order, ids, counted = epoch.result()
        at = step % self.config.steps_per_epoch * self.config.batch_size
        rows = order[at : at + self.config.batch_size]
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

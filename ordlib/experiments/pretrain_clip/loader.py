"""Prefetching loader of image-caption batches."""

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

NUM_THREADS = 4
PREFETCH_FACTOR = 8


class Batch(NamedTuple):
    """One process's part of a batch."""

    images: Tensor  # (n, image_size, image_size, 3) uint8
    # (n, T) int64, truncated to the longest caption; the causal text encoder ignores the padding.
    ids: Tensor
    num_count_captions: int  # captions of the whole batch that state the true count


class PairLoader:
    """Batches of image-caption pairs; each depends on the config and the step alone.

    ``world_size`` processes share each batch, and each captions with ``num_workers`` processes;
    None for all cores. Pinned batches are transferred faster to a GPU.
    """

    def __init__(
        self, config: PretrainingConfig, captioner: CaptionGenerator, rank: int = 0,
        world_size: int = 1, num_workers: int | None = None, pin_memory: bool = False,
    ) -> None:  # fmt: skip
        self.config, self.captioner = config, captioner
        self.num_workers, self.pin_memory = num_workers, pin_memory
        self.images = captioner.pool.open()
        bounds = (i * config.batch_size // world_size for i in (rank, rank + 1))
        self.rank_slice = slice(*bounds)
        self.data_wait_seconds = 0.0

    def start(self, step: int) -> Iterator[Batch]:
        """Yield the batches from a step to the last one."""
        # Separate executors: batches that wait for captions must not block captioning.
        batch_executor, caption_executor = ThreadPoolExecutor(NUM_THREADS), ThreadPoolExecutor(1)
        epoch = lru_cache(2)(lambda epoch: caption_executor.submit(self._prepare_epoch, epoch))
        length, last = self.config.steps_per_epoch, self.config.steps - 1
        queue: deque[Future] = deque()
        try:
            for next_step in range(step, last + 1):
                current = epoch(next_step // length)
                if next_step // length < last // length:
                    epoch(next_step // length + 1)  # prefetched
                queue.append(batch_executor.submit(self._load_batch, next_step, current))
                if len(queue) == PREFETCH_FACTOR:
                    yield self._wait_for_batch(queue)
            while queue:
                yield self._wait_for_batch(queue)
        finally:
            batch_executor.shutdown(cancel_futures=True)
            caption_executor.shutdown(cancel_futures=True)

    def _wait_for_batch(self, queue: deque[Future]) -> Batch:
        start = time.perf_counter()
        batch = queue.popleft().result()
        self.data_wait_seconds += time.perf_counter() - start
        return batch

    def _prepare_epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        ids, is_count_caption = self.captioner.epoch(epoch, self.num_workers)
        order = np.random.default_rng([self.config.seed, epoch]).permutation(self.config.num_images)
        return order, ids, is_count_caption

    def _load_batch(self, step: int, epoch: Future) -> Batch:
        order, ids, is_count_caption = epoch.result()
        start = step % self.config.steps_per_epoch * self.config.batch_size
        batch_rows = order[start : start + self.config.batch_size]
        # Sorted for sequential reads; the order within a batch does not matter.
        rows = np.sort(batch_rows[self.rank_slice])
        texts = ids[rows]
        # Padding consists of EOS tokens, of which the first is part of the caption.
        length = (texts != texts[:, -1:]).sum(1).max() + 1
        images = torch.from_numpy(np.take(self.images, rows, axis=0))
        texts = torch.from_numpy(texts[:, :length].astype(np.int64))
        if self.pin_memory:
            images, texts = images.pin_memory(), texts.pin_memory()
        return Batch(images, texts, int(is_count_caption[batch_rows].sum()))

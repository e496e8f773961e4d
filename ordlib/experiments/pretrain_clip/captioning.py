"""The captions of an epoch as token numbers: drawn anew each time, by all cores."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from joblib import Parallel, cpu_count, delayed
from tokenizers import Tokenizer

from ...synthetic.captions import captions
from ...utils.cache import content_hash
from .image_pool import ImagePool

# Blocks in one job: enough that starting it costs nothing beside it.
TOGETHER = 8


@dataclass(frozen=True)
class CaptionGenerator:
    """Says what is in the pool's pictures.

    Attributes:
        tokenizer: the fast tokenizer behind transformers' one.
        dose, spurious: as in :func:`ordlib.synthetic.captions.captions`.
    """

    pool: ImagePool
    tokenizer: Tokenizer
    count_caption_fraction: float
    distractor_number_fraction: float | None
    seed: int

    def epoch(self, number: int, workers: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Caption every picture, in other words each epoch.

        Runs of the same seed say the same at every dose, but for the captions that count.

        Returns:
            Token numbers ``(N, T)`` uint16, padded with end tokens, and ``(N,)`` bool: whether
            the dose made the caption state the true count.
        """
        jobs = (delayed(self._block)(block, number) for block in self.pool.blocks)
        done = Parallel(workers or cpu_count(), batch_size=TOGETHER)(jobs)
        rows, counted = zip(*done, strict=True)
        return _stack(rows), np.concatenate(counted)

    def _block(self, block: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        task, values, records = self.pool.labels(block)
        seed = int(content_hash(self.seed, epoch, block), 16)
        texts = captions(
            records,
            values,
            task,
            self.count_caption_fraction,
            seed,
            self.distractor_number_fraction,
        )
        counted = np.zeros(len(texts), bool)
        if self.count_caption_fraction and task == "counting":
            # Captions of two doses agree except where the larger one states the count.
            without = captions(records, values, task, 0.0, seed, self.distractor_number_fraction)
            counted = np.array(texts) != np.array(without)
        encoded = self.tokenizer.encode_batch_fast(texts)
        return _stack([np.array([each.ids], np.uint16) for each in encoded]), counted


def _stack(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Join rows of different lengths, padded with the end token that stands last in each."""
    width, end = max(part.shape[1] for part in parts), parts[0][0, -1]
    total = np.full((sum(map(len, parts)), width), end, np.uint16)
    at = 0
    for part in parts:
        total[at : at + len(part), : part.shape[1]] = part
        at += len(part)
    return total

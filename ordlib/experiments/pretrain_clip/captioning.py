"""Per-epoch caption sampling and tokenization."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from joblib import Parallel, cpu_count, delayed
from tokenizers import Tokenizer

from ...synthetic.captions import captions
from ...utils.cache import content_hash
from ...utils.processes import worker_processes
from .image_pool import ImagePool

# Enough that the overhead of starting a job is negligible.
BLOCKS_PER_JOB = 8


@dataclass(frozen=True)
class CaptionGenerator:
    """Samples and tokenizes a caption for every image of the pool.

    The fractions are those of :func:`ordlib.synthetic.captions.captions`; the tokenizer is the
    ``backend_tokenizer`` of one in transformers.
    """

    pool: ImagePool
    tokenizer: Tokenizer
    count_caption_fraction: float
    distractor_number_fraction: float | None
    seed: int

    def epoch(self, epoch: int, num_workers: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Sample new captions for all images: ``(N, T)`` uint16 token ids, padded with EOS.

        Also return a mask ``(N,)`` bool of the captions that state the true count. With the same
        seed, all count-caption fractions give the same captions, except for those.
        """
        jobs = (delayed(self._block)(block, epoch) for block in self.pool.blocks)
        with worker_processes():
            blocks = Parallel(num_workers or cpu_count(), batch_size=BLOCKS_PER_JOB)(jobs)
        ids, is_count_caption = zip(*blocks, strict=True)
        return _pad_and_concatenate(ids), np.concatenate(is_count_caption)

    def _block(self, block: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        task, values, metadata = self.pool.labels(block)
        seed = int(content_hash(self.seed, epoch, block), 16)
        fraction, distractors = self.count_caption_fraction, self.distractor_number_fraction
        texts = captions(metadata, values, task, fraction, seed, distractors)
        is_count_caption = np.zeros(len(texts), bool)
        if fraction and task == "counting":
            # Captions of fraction 0 differ exactly where the true count is stated.
            without = captions(metadata, values, task, 0.0, seed, distractors)
            is_count_caption = np.array(texts) != np.array(without)
        encoded = self.tokenizer.encode_batch_fast(texts)
        ids = _pad_and_concatenate([np.array([text.ids], np.uint16) for text in encoded])
        return ids, is_count_caption


def _pad_and_concatenate(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Concatenate token ids of different lengths, padded with the EOS token that ends each."""
    width, eos = max(part.shape[1] for part in parts), parts[0][0, -1]
    ids = np.full((sum(map(len, parts)), width), eos, np.uint16)
    start = 0
    for part in parts:
        ids[start : start + len(part), : part.shape[1]] = part
        start += len(part)
    return ids

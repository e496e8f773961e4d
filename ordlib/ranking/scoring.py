"""Chunked, cached scoring of image files."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from ..data import ImageData
from ..methods.ranking_adapter.model import RankingAdapter
from ..utils.cache import content_hash
from .image_files import ImageValidationCache

CHUNK_SIZE = 256
MAX_PIXELS_PER_BATCH = 100_000_000  # about 400 MB


def chunks(files: Sequence[str], size: int = CHUNK_SIZE) -> Iterator[list[str]]:
    """Split sorted names into chunks of about ``size``, at most twice as many.

    Boundaries depend on the names alone (content-defined chunking): a new image changes one chunk,
    and the others stay cached.
    """
    chunk = []
    for file in files:
        chunk.append(file)
        is_boundary = int(content_hash(file.encode(errors="replace")), 16) % size == 0
        if is_boundary or len(chunk) == 2 * size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def score_files(
    adapter: RankingAdapter, prompt: str, task: str | None, files: Sequence[str], batch_size: int
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Score sorted files by a prompt, in bounded memory.

    Features are cached on disk, so another prompt needs no image. The OOD score depends on the
    ``task`` of the prompt: photographs are in-distribution for quality, but not for counting.

    Returns:
        One row per valid file with ``path``, ``score`` and ``ood_score`` (1 is the threshold,
        ``nan`` without an OOD detector), and the reasons by path of the invalid files.
    """
    tables, errors = [], {}
    with tqdm(None, "scoring images", len(files), leave=False, delay=2, unit="image") as progress:
        for chunk in chunks(files):
            cache = ImageValidationCache(chunk)
            score = partial(_score_valid, adapter, prompt, task, cache, batch_size)
            try:
                table = score()
            except OSError:
                # An image passed validation but cannot be decoded: decode all, go on without it.
                num_errors = len(cache.errors)
                cache.validate(cache.valid_files, full_decode=True)
                if len(cache.errors) == num_errors:
                    raise
                table = score()
            cache.save()
            tables += [table] if len(table) else []
            errors |= cache.errors
            progress.update(len(chunk))
    return pd.concat(tables, ignore_index=True) if tables else table, errors


def _score_valid(
    adapter: RankingAdapter,
    prompt: str,
    task: str | None,
    cache: ImageValidationCache,
    batch_size: int,
) -> pd.DataFrame:
    files = cache.valid_files
    table = pd.DataFrame({"path": files, "score": np.nan, "ood_score": np.nan})
    if not files:
        return table
    any_task = next(iter(adapter.tasks.values()))
    data = ImageData(
        task=any_task,
        images=[Path(file) for file in files],
        values=np.full(len(files), any_task.range[0], float),  # unused
        metadata=table,
        fingerprint=cache.fingerprint,
        split="all",
    )
    max_pixels = max(cache.pixels[file] for file in files)
    batch_size = max(1, min(batch_size, MAX_PIXELS_PER_BATCH // max_pixels))
    table["score"] = adapter.predict_scores(data, prompt, batch_size)
    if adapter.ood_detectors:
        table["ood_score"] = adapter.ood_score(data, task, batch_size)
    return table

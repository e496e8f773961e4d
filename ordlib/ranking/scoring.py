"""Scores of any number of files, a chunk at a time."""

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

CHUNK = 256  # files, about
MAX_PIXELS_PER_BATCH = 100_000_000  # pixels in memory at once, about 400 MB


def chunks(files: Sequence[str], size: int = CHUNK) -> Iterator[list[str]]:
    """Sorted names in chunks of about ``size``, never of more than twice as many.

    Their ends hang on the names alone: a picture that is added to a folder changes one chunk, and
    the others are found in the cache.
    """
    chunk = []
    for file in files:
        chunk.append(file)
        if (
            len(chunk) == 2 * size
            or int(content_hash(file.encode(errors="replace")), 16) % size == 0
        ):
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def score_files(
    adapter: RankingAdapter, prompt: str, task: str | None, files: Sequence[str], batch_size: int
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Scores of sorted files by a sentence, in bounded memory, and what is wrong with the others.

    What is strange depends on the ``task`` that the sentence asks for: photographs are nothing
    new where quality was learned, and yet are where counting was. Features are kept on disk, so
    that another sentence needs no picture again. Of large pictures a batch has fewer.

    Returns:
        A row for each of the sound files: ``path``, ``score``, and ``ood_score``, 1 being the
        limit and ``nan`` what the adapter cannot tell; and the faults of the others, by path.
    """
    tables, faults = [], {}
    with tqdm(None, "ordering pictures", len(files), leave=False, delay=2, unit="picture") as bar:
        for chunk in chunks(files):
            checks = ImageValidationCache(chunk)
            score = partial(_score_sound, adapter, prompt, task, checks, batch_size)
            try:
                table = score()
            except OSError:
                # A picture that seemed sound was not: look at each all the way, go on without it.
                before = len(checks.faults)
                checks.validate(checks.valid_files, full_decode=True)
                if len(checks.faults) == before:
                    raise
                table = score()
            checks.save()
            tables += [table] if len(table) else []
            faults |= checks.faults
            bar.update(len(chunk))
    return pd.concat(tables, ignore_index=True) if tables else table, faults


def _score_sound(
    adapter: RankingAdapter,
    prompt: str,
    task: str | None,
    checks: ImageValidationCache,
    batch_size: int,
) -> pd.DataFrame:
    files = checks.valid_files
    table = pd.DataFrame({"path": files, "score": np.nan, "ood_score": np.nan})
    if not files:
        return table
    any_task = next(iter(adapter.tasks.values()))
    data = ImageData(
        task=any_task,
        images=[Path(file) for file in files],
        values=np.full(len(files), any_task.range[0], float),  # nobody looks at them
        metadata=table,
        fingerprint=checks.key,
        split="all",
    )
    largest = max(checks.pixels[file] for file in files)
    batch_size = max(1, min(batch_size, MAX_PIXELS_PER_BATCH // largest))
    table["score"] = adapter.predict_scores(data, prompt, batch_size)
    if adapter.ood_detectors:
        table["ood_score"] = adapter.ood_score(data, task, batch_size)
    return table

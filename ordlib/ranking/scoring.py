"""Scores of any number of files, a chunk at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from ..data import ImageData
from ..methods.ranking_adapter.model import RankingAdapter
from ..utils.cache import digest
from .image_validation import Checks
from .prompt_parsing import asked_task

CHUNK = 256  # files, about
DECODED = 100_000_000  # pixels in memory at once, about 400 MB


@dataclass(frozen=True)
class Scored:
    """What came of some files.

    Attributes:
        files: K sound ones.
        scores: ``(K,)`` float64.
        strangeness: ``(K,)`` float64, 1 being the limit; ``nan`` if the adapter cannot tell.
        faults: of the others, by name.
    """

    files: list[str]
    scores: np.ndarray
    strangeness: np.ndarray
    faults: dict[str, str]


def chunks(files: Sequence[str], size: int = CHUNK) -> Iterator[list[str]]:
    """Cut a list of files into chunks whose ends hang on the files' names alone.

    So a picture that is added to a folder changes one chunk, and the others are found in the
    cache.

    Args:
        files: N names, sorted.
        size: a chunk has about so many, and never more than twice as many.

    Yields:
        Chunks, in order.

    Example:
        >>> names = [f"{i}.png" for i in range(1000)]
        >>> parts = list(chunks(names, 100))
        >>> sum(parts, []) == names, max(map(len, parts)) <= 200
        (True, True)
    """
    chunk = []
    for file in files:
        chunk.append(file)
        if len(chunk) == 2 * size or int(digest(file.encode(errors="replace")), 16) % size == 0:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def score_files(
    adapter: RankingAdapter, prompt: str, files: Sequence[str], batch_size: int = 64
) -> Scored:
    """Score files by a sentence, in bounded memory.

    Features are kept on disk, so that another sentence needs no picture again.

    Args:
        adapter: what scores.
        prompt: the sentence.
        files: N picture files, sorted, sound or not.
        batch_size: pictures in memory at once; fewer, where they are large.

    Returns:
        Scores of those that could be read, and what is wrong with the others.
    """
    parts = []
    with tqdm(
        total=len(files), desc="ordering pictures", unit="picture", leave=False, delay=2
    ) as bar:
        for chunk in chunks(files):
            parts.append(_score_chunk(adapter, prompt, chunk, batch_size))
            bar.update(len(chunk))
    return Scored(
        [file for part in parts for file in part.files],
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.strangeness for part in parts]),
        {file: fault for part in parts for file, fault in part.faults.items()},
    )


def _score_chunk(adapter: RankingAdapter, prompt: str, files: list[str], batch_size: int) -> Scored:
    checks = Checks(files)
    try:
        scored = _score_sound(adapter, prompt, checks, batch_size)
    except OSError:
        # A picture that seemed sound was not: look at each all the way, and go on without it.
        before = len(checks.faults)
        checks.look(checks.sound, thoroughly=True)
        if len(checks.faults) == before:
            raise
        scored = _score_sound(adapter, prompt, checks, batch_size)
    checks.keep()
    return scored


def _score_sound(adapter: RankingAdapter, prompt: str, checks: Checks, batch_size: int) -> Scored:
    files = checks.sound
    if not files:
        return Scored([], np.empty(0), np.empty(0), checks.faults)
    task = next(iter(adapter.tasks.values()))
    data = ImageData(
        task=task,
        images=[Path(file) for file in files],
        values=np.full(len(files), task.range[0], float),  # nobody looks at them
        records=pd.DataFrame(index=range(len(files))),
        key=checks.key,
        split="all",
    )
    largest = max(checks.pixels[file] for file in files)
    batch_size = max(1, min(batch_size, DECODED // largest))
    scores = adapter.scores(data, prompt, batch_size)
    strange = np.full(len(files), np.nan)
    if adapter.likeness:
        # Photographs are nothing new where quality was learned, and yet are where counting was.
        asked = asked_task(prompt, adapter.wordings)
        strange = adapter.strangeness(data, asked, batch_size)
    return Scored(files, scores, strange, checks.faults)

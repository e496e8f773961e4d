"""Render samples and splits, with a disk cache."""

import importlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm.auto import tqdm

from ..utils.cache import atomic_write, cache_dir
from .rng import generator
from .sample import Sample

TASKS = ("counting", "dating", "ageing", "quality")
SPLIT_SIZES = {"train": 2000, "val": 400, "test": 1000, "distractors": 1000}
CHUNK = 50
# Part of every key of cached images, features and cards. To be changed whenever images change; a
# test compares some with what they were.
DATASET_VERSION = "34875e83c1c98a53"


@dataclass(frozen=True)
class RenderedSplit:
    """Images, labels and metadata of a rendered split.

    Attributes:
        images: ``(N, side, side, 3)`` uint8, read from disk as needed.
        values: ``(N,)`` float64 labels on the task's number line.
        metadata: ``N`` rows of generator parameters.
        fingerprint: key of the content; equal fingerprints mean equal images.
    """

    images: np.ndarray
    values: np.ndarray
    metadata: pd.DataFrame
    fingerprint: str


def validate_sample_id(task: str, split: str, side: int) -> None:
    """Raise ``ValueError`` for an unknown task or split, or a size out of range."""
    if task not in TASKS:
        raise ValueError(f"task = {task!r}: must be one of {', '.join(TASKS)}")
    if split != "pretrain" and split not in SPLIT_SIZES:
        splits = ", ".join(["pretrain", *SPLIT_SIZES])
        raise ValueError(f"split = {split!r}: must be one of {splits}")
    if split == "distractors" and task != "counting":
        raise ValueError(f"split = {split!r}: only counting has this split, not {task}")
    if not 64 <= side <= 336:
        raise ValueError(f"side = {side}: must be between 64 and 336 pixels")


def render(task: str, split: str, index: int, side: int = 96) -> Sample:
    """Render one sample.

    Args:
        task: "counting", "dating", "ageing" or "quality".
        split: "pretrain", "train", "val", "test", or "distractors" (counting only).
        index: position in the split, >= 0.
        side: pixels, 64 to 336. The same address shows the same scene at every side.

    Returns:
        The image, its label and its record.

    Raises:
        ValueError: unknown task or split, side out of range, negative index.

    Example:
        >>> sample = render("counting", "val", 0, side=64)
        >>> sample.image.shape, 1 <= sample.value <= 20
        ((64, 64, 3), True)
    """
    validate_sample_id(task, split, side)
    painter = importlib.import_module(f"{__package__}.{task}")
    return painter.draw(generator(task, split, index), split, side)


def render_many(
    task: str, split: str, indices: Sequence[int], side: int = 96, workers: int | None = None
) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Render samples in parallel.

    Args:
        task, split, side: as in :func:`render`.
        indices: positions in the split.
        workers: processes; None takes every core this process may use.

    Returns:
        Images ``(N, side, side, 3)`` uint8, labels ``(N,)`` float64, and the records.

    Raises:
        ValueError: unknown address, no indices, or a negative one.

    Example:
        >>> images, values, records = render_many("counting", "val", range(2), 64, workers=1)
        >>> images.shape, len(records)
        ((2, 64, 64, 3), 2)
    """
    validate_sample_id(task, split, side)
    if len(indices) == 0:
        raise ValueError(f"indices = []: pass one or more indices of {task}/{split}")
    if min(indices) < 0:
        raise ValueError(
            f"indices: {min(indices)} of {task}/{split} is negative; indices start at 0"
        )
    chunks = [indices[i : i + CHUNK] for i in range(0, len(indices), CHUNK)]
    workers = 1 if len(chunks) < 2 else workers or _cores()
    jobs = (delayed(_render_chunk)(task, split, chunk, side) for chunk in chunks)
    done = Parallel(n_jobs=workers, return_as="generator")(jobs)
    bar = tqdm(done, f"rendering {task}/{split}", len(chunks), leave=False, delay=2, unit="chunk")
    images, values, records = zip(*bar, strict=True)
    frame = pd.DataFrame([row for rows in records for row in rows])
    return np.concatenate(images), np.concatenate(values), frame


def render_split(
    task: str, split: str, side: int = 96, size: int | None = None, workers: int | None = None
) -> RenderedSplit:
    """Return the first images of a split, rendered or from the disk cache.

    Args:
        task, split, side, workers: as in :func:`render_many`.
        size: number of images; None takes the whole split (required for pretrain).

    Returns:
        The rendered split; ``images`` is a read-only memory map.

    Raises:
        ValueError: unknown address, no size given for "pretrain", or a size below one.

    Example:
        >>> render_split("counting", "val", side=64, size=2).images.shape
        (2, 64, 64, 3)
    """
    validate_sample_id(task, split, side)
    if size is None and split not in SPLIT_SIZES:
        raise ValueError("size = None: the pretrain split is unlimited; pass size=")
    size = SPLIT_SIZES[split] if size is None else size
    if size < 1:
        raise ValueError(f"size = {size}: must be 1 or more")
    key = f"{task}-{split}-{size}-{side}-{DATASET_VERSION}"
    folder = cache_dir() / "rendered" / key
    if not folder.is_dir():
        images, values, records = render_many(task, split, range(size), side, workers)
        with atomic_write(folder) as temporary:
            temporary.mkdir()
            np.save(temporary / "images.npy", images)
            np.save(temporary / "values.npy", values)
            (temporary / "records.json").write_text(json.dumps(records.to_dict("list")))
    return RenderedSplit(
        images=np.load(folder / "images.npy", mmap_mode="r"),
        values=np.load(folder / "values.npy"),
        metadata=pd.DataFrame(json.loads((folder / "records.json").read_text())),
        fingerprint=key,
    )


def _render_chunk(task: str, split: str, indices: Sequence[int], side: int) -> tuple:
    samples = [render(task, split, int(index), side) for index in indices]
    return (
        np.stack([sample.image for sample in samples]),
        np.array([sample.value for sample in samples], dtype=np.float64),
        [sample.record for sample in samples],
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

"""Pictures by address, whole splits by all cores, and the disk cache of them."""

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
    """A rendered split.

    Attributes:
        images: ``(N, side, side, 3)`` uint8, read from disk as needed.
        values: ``(N,)`` float64 labels on the task's number line.
        records: ``N`` rows of what was drawn.
        fingerprint: names the content; equal keys mean equal pictures.
    """

    images: np.ndarray
    values: np.ndarray
    metadata: pd.DataFrame
    fingerprint: str


def validate_sample_id(task: str, split: str, side: int) -> None:
    """Raise ``ValueError`` unless the world holds such a task, split and size."""
    if task not in TASKS:
        raise ValueError(f"no rendered task {task!r}; there are {', '.join(TASKS)}")
    if split != "pretrain" and split not in SPLIT_SIZES:
        known = ", ".join(["pretrain", *SPLIT_SIZES])
        raise ValueError(f"no split {split!r}; there are {known}")
    if split == "distractors" and task != "counting":
        raise ValueError(f"only counting has the split 'distractors', not {task}")
    if not 64 <= side <= 336:
        raise ValueError(f"side {side} is outside 64 to 336 pixels")


def render(task: str, split: str, index: int, side: int = 96) -> Sample:
    """Draw one picture of the rendered world.

    Args:
        task: "counting", "dating", "ageing" or "quality".
        split: "pretrain", "train", "val", "test", or "distractors" (counting only).
        index: position in the split, >= 0.
        side: pixels, 64 to 336. The same address shows the same scene at every side.

    Returns:
        The picture, its label and its record.

    Raises:
        ValueError: unknown task or split, side out of range, negative index.

    Example:
        >>> picture = render("counting", "val", 0, side=64)
        >>> picture.image.shape, 1 <= picture.value <= 20
        ((64, 64, 3), True)
    """
    validate_sample_id(task, split, side)
    painter = importlib.import_module(f"{__package__}.{task}")
    return painter.draw(generator(task, split, index), split, side)


def render_many(
    task: str, split: str, indices: Sequence[int], side: int = 96, workers: int | None = None
) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Draw many pictures with all cores.

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
        raise ValueError(f"no pictures of {task}/{split} to render: ask for one or more")
    if min(indices) < 0:
        raise ValueError(f"{task}/{split}: index {min(indices)} is negative; pictures count from 0")
    chunks = [indices[i : i + CHUNK] for i in range(0, len(indices), CHUNK)]
    workers = 1 if len(chunks) < 2 else workers or _cores()
    jobs = (delayed(_render_chunk)(task, split, chunk, side) for chunk in chunks)
    done = Parallel(n_jobs=workers, return_as="generator")(jobs)
    # tqdm shows the bar only for what takes more than two seconds.
    bar = tqdm(done, f"rendering {task}/{split}", len(chunks), leave=False, delay=2, unit="chunk")
    images, values, records = zip(*bar, strict=True)
    frame = pd.DataFrame([row for rows in records for row in rows])
    return np.concatenate(images), np.concatenate(values), frame


def render_split(
    task: str, split: str, side: int = 96, size: int | None = None, workers: int | None = None
) -> RenderedSplit:
    """Return the first pictures of a split, from the disk cache where it holds them.

    Args:
        task, split, side, workers: as in :func:`render_many`.
        size: number of pictures; None takes the split's own size (pretrain has none).

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
        raise ValueError("the pretrain split has no end: say how many pictures with size=")
    size = SPLIT_SIZES[split] if size is None else size
    if size < 1:
        raise ValueError(f"size {size} is below one picture")
    key = f"{task}-{split}-{size}-{side}-{DATASET_VERSION}"
    folder = cache_dir() / "world" / key
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
    pictures = [render(task, split, int(index), side) for index in indices]
    return (
        np.stack([picture.image for picture in pictures]),
        np.array([picture.value for picture in pictures], dtype=np.float64),
        [picture.record for picture in pictures],
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

"""One pool of pictures for all pretraining runs, rendered once by all cores and kept on disk.

The pool has no end: blocks of one family each follow in turn, so the first pictures of a large
pool are those of a small one, and asking for more later renders only what is missing. Images lie
in one file of plain bytes; a block counts as done once the file of its labels is there.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, cpu_count, delayed
from tqdm.auto import tqdm

from ...synthetic.rendering import DATASET_VERSION, render, validate_sample_id
from ...utils.cache import atomic_write, cache_dir, content_hash

BLOCK = 500
# Half of the pictures are of counted objects: the family with the most names to tell apart.
BLOCK_TASKS = ("counting", "dating", "counting", "ageing", "counting", "quality")
IMAGES = "images.u8"


@dataclass(frozen=True)
class ImagePool:
    """N rendered pictures with labels and records, in a folder whose name says which they are."""

    folder: Path
    size: int
    image_size: int

    def open(self) -> np.ndarray:
        """The images, ``(N, image_size, image_size, 3)`` uint8, read from disk as needed."""
        shape = (self.size, self.image_size, self.image_size, 3)
        return np.memmap(self.folder / IMAGES, np.uint8, "r", shape=shape)

    @property
    def blocks(self) -> range:
        """Numbers of the blocks; block k holds the ``BLOCK`` pictures from ``k * BLOCK`` on."""
        return range(self.size // BLOCK)

    def labels(self, block: int) -> tuple[str, list[float], pd.DataFrame]:
        """The task, the labels and the records of a block's pictures."""
        known = json.loads(_labels_file(self.folder, block).read_text("utf-8"))
        return task_of(block), known["values"], pd.DataFrame(known["records"])


def task_of(block: int) -> str:
    """The family whose pictures a block holds."""
    return BLOCK_TASKS[block % len(BLOCK_TASKS)]


def render_pool(size: int, image_size: int, workers: int | None = None) -> ImagePool:
    """Render the first pictures of the pool, or what is still missing of them.

    An interrupted rendering goes on where it stopped. Several processes may render at once:
    they write the same bytes to the same places.

    Raises:
        ValueError: a size that is no multiple of ``6 * BLOCK``, or a side out of range.
        OSError: the disk cannot hold the pictures (said before any is rendered).
    """
    validate_sample_id(BLOCK_TASKS[0], "pretrain", image_size)
    share = BLOCK * len(BLOCK_TASKS)
    if size < 1 or size % share:
        fits = max(round(size / share), 1) * share
        raise ValueError(
            f"a pool of {size} pictures does not hold whole turns of {len(BLOCK_TASKS)} blocks of "
            f"{BLOCK}: take a multiple of {share}, such as {fits}"
        )
    folder = (
        cache_dir() / "pool" / f"{image_size}-{content_hash(DATASET_VERSION, BLOCK, BLOCK_TASKS)}"
    )
    pool = ImagePool(folder, size, image_size)
    missing = [block for block in pool.blocks if not _labels_file(folder, block).is_file()]
    if missing:
        _allocate(pool)
        jobs = (delayed(_render_block)(folder, block, image_size) for block in missing)
        done = Parallel(workers or cpu_count(), return_as="generator_unordered")(jobs)
        with tqdm(total=size, desc="rendering the pool", unit="picture", smoothing=0.01) as bar:
            bar.initial = bar.n = size - len(missing) * BLOCK
            for _ in done:
                bar.update(BLOCK)
    return pool


def _allocate(pool: ImagePool) -> None:
    """Stretch the file of images to its length, which takes no space before it is filled."""
    pool.folder.mkdir(parents=True, exist_ok=True)
    file = pool.folder / IMAGES
    file.touch()
    picture, done = pool.image_size**2 * 3, len(list(pool.folder.glob("*.json"))) * BLOCK
    total, needed = pool.size * picture, (pool.size - done) * picture
    free = shutil.disk_usage(pool.folder).free
    if needed > free:
        raise OSError(
            f"{pool.folder} has {free / 1e9:.1f} GB free; the pool of {pool.size} pictures needs "
            f"{needed / 1e9:.1f} GB more. Ask for fewer, or name a larger disk in ORDLIB_CACHE"
        )
    if file.stat().st_size < total:
        os.truncate(file, total)


def _render_block(folder: Path, block: int, image_size: int) -> None:
    task, (turn, place) = task_of(block), divmod(block, len(BLOCK_TASKS))
    before = turn * BLOCK_TASKS.count(task) + BLOCK_TASKS[:place].count(task)
    first = before * BLOCK
    pictures = [render(task, "pretrain", first + i, image_size) for i in range(BLOCK)]
    images = np.stack([picture.image for picture in pictures])
    # Written, not memory-mapped: a full disk is then an error and not a crash.
    with open(folder / IMAGES, "r+b") as file:
        file.seek(block * images.nbytes)
        file.write(images.tobytes())
        file.flush()
        os.fsync(file.fileno())
    records = pd.DataFrame([picture.record for picture in pictures]).to_dict("list")
    known = {"values": [float(picture.value) for picture in pictures], "records": records}
    with atomic_write(_labels_file(folder, block)) as temporary:
        temporary.write_text(json.dumps(known), "utf-8")


def _labels_file(folder: Path, block: int) -> Path:
    return folder / f"{block:06d}.json"

"""Memory-mapped pool of pretraining images, rendered once and cached on disk.

The pool is a sequence of blocks of one task each. A smaller pool is a prefix of a larger one, so
that only missing blocks are rendered. All images are in one raw file; a block is complete once its
label file exists.
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
from ...utils.processes import worker_processes

BLOCK = 500
# Half of the images are of counting, the task with the most classes.
BLOCK_TASKS = ("counting", "dating", "counting", "ageing", "counting", "quality")
IMAGES = "images.u8"


@dataclass(frozen=True)
class ImagePool:
    """N rendered images with labels and metadata, in a folder named by their content."""

    folder: Path
    size: int
    image_size: int

    def open(self) -> np.ndarray:
        """Memory-map the images, ``(N, image_size, image_size, 3)`` uint8."""
        shape = (self.size, self.image_size, self.image_size, 3)
        return np.memmap(self.folder / IMAGES, np.uint8, "r", shape=shape)

    @property
    def blocks(self) -> range:
        """Block indices; block k holds images ``k * BLOCK`` to ``(k + 1) * BLOCK - 1``."""
        return range(self.size // BLOCK)

    def labels(self, block: int) -> tuple[str, list[float], pd.DataFrame]:
        """Return the task, the labels and the metadata of a block."""
        stored = json.loads(_label_file(self.folder, block).read_text("utf-8"))
        return task_of(block), stored["values"], pd.DataFrame(stored["records"])


def task_of(block: int) -> str:
    """Return the task of a block."""
    return BLOCK_TASKS[block % len(BLOCK_TASKS)]


def render_pool(size: int, image_size: int, num_workers: int | None = None) -> ImagePool:
    """Render the missing blocks of the pool's first ``size`` images.

    An interrupted call resumes. Concurrent processes are safe: they write identical bytes.

    Raises:
        ValueError: size is not a multiple of ``6 * BLOCK``, or image_size is out of range.
        OSError: not enough disk space (checked before rendering).
    """
    validate_sample_id(BLOCK_TASKS[0], "pretrain", image_size)
    cycle = BLOCK * len(BLOCK_TASKS)
    if size < 1 or size % cycle:
        raise ValueError(
            f"num_images = {size}: must be a multiple of {cycle} ({len(BLOCK_TASKS)} blocks of "
            f"{BLOCK}), such as {max(round(size / cycle), 1) * cycle}"
        )
    key = content_hash(DATASET_VERSION, BLOCK, BLOCK_TASKS)
    folder = cache_dir() / "pool" / f"{image_size}-{key}"
    pool = ImagePool(folder, size, image_size)
    missing = [block for block in pool.blocks if not _is_rendered(pool, block)]
    if missing:
        _allocate(pool)
        jobs = (delayed(_render_block)(folder, block, image_size) for block in missing)
        bar = tqdm(total=size, desc="rendering the pool", unit="image", smoothing=0.01)
        with worker_processes(), bar:
            blocks = Parallel(num_workers or cpu_count(), return_as="generator_unordered")(jobs)
            bar.initial = bar.n = size - len(missing) * BLOCK
            for _ in blocks:
                bar.update(BLOCK)
    return pool


def _allocate(pool: ImagePool) -> None:
    """Extend the image file to its final length, sparsely."""
    pool.folder.mkdir(parents=True, exist_ok=True)
    file = pool.folder / IMAGES
    file.touch()
    image_bytes = pool.image_size**2 * 3
    num_rendered = len(list(pool.folder.glob("*.json"))) * BLOCK
    total, needed = pool.size * image_bytes, (pool.size - num_rendered) * image_bytes
    free = shutil.disk_usage(pool.folder).free
    if needed > free:
        raise OSError(
            f"num_images = {pool.size}: needs {needed / 1e9:.1f} GB more, but {pool.folder} has "
            f"{free / 1e9:.1f} GB free; lower --num-images or set ORDLIB_CACHE to a larger disk"
        )
    if file.stat().st_size < total:
        os.truncate(file, total)


def _render_block(folder: Path, block: int, image_size: int) -> None:
    task, (cycle, position) = task_of(block), divmod(block, len(BLOCK_TASKS))
    earlier_blocks = cycle * BLOCK_TASKS.count(task) + BLOCK_TASKS[:position].count(task)
    start = earlier_blocks * BLOCK
    samples = [render(task, "pretrain", start + i, image_size) for i in range(BLOCK)]
    images = np.stack([sample.image for sample in samples])
    # Written instead of memory-mapped, because a full disk would crash a memory map.
    with open(folder / IMAGES, "r+b") as file:
        file.seek(block * images.nbytes)
        file.write(images.tobytes())
        file.flush()
        os.fsync(file.fileno())
    metadata = pd.DataFrame([sample.record for sample in samples]).to_dict("list")
    labels = {"values": [float(sample.value) for sample in samples], "records": metadata}
    with atomic_write(_label_file(folder, block)) as temporary:
        temporary.write_text(json.dumps(labels), "utf-8")


def _is_rendered(pool: ImagePool, block: int) -> bool:
    """Whether a block's labels can be read and its images have not been cut off."""
    try:
        end = (block + 1) * BLOCK * pool.image_size**2 * 3
        is_whole = (pool.folder / IMAGES).stat().st_size >= end
        return is_whole and len(pool.labels(block)[1]) == BLOCK
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _label_file(folder: Path, block: int) -> Path:
    return folder / f"{block:06d}.json"

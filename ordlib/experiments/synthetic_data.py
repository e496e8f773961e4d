"""Load a split of a synthetic task from a cache that may be damaged, full or read-only."""

from errno import ENOSPC
from functools import wraps

from ..data import ImageData
from ..data.rendered_cache import is_intact, prepare_split, seal_split
from ..synthetic import SPLIT_SIZES, TASKS
from ..synthetic.load import load_data as load_rendered
from ..synthetic.rendering import DATASET_VERSION
from ..tasks import OrdinalTask
from ..utils.cache import cache_dir
from ..utils.processes import worker_processes
from ..utils.validation import check_count


@wraps(load_rendered)
def load_data(  # noqa: D103
    task: str | OrdinalTask,
    split: str = "train",
    image_size: int = 96,
    num_images: int | None = None,
    num_workers: int | None = None,
) -> ImageData:
    if not isinstance(task, str | OrdinalTask):
        raise TypeError(f"task = {task!r}: must be an OrdinalTask or the name of one")
    check_count("image_size", image_size, None)
    if num_images is not None:
        check_count("num_images", num_images, None)
    name = task if isinstance(task, str) else getattr(task, "name", None)
    size = SPLIT_SIZES.get(split) if num_images is None else num_images
    arguments = (task, split, image_size, num_images, num_workers)
    if name not in TASKS or size is None or size < 1:
        return load_rendered(*arguments)  # Raises.
    folder = cache_dir() / "rendered" / f"{name}-{split}-{size}-{image_size}-{DATASET_VERSION}"
    prepare_split(folder, size, image_size)
    try:
        with worker_processes():
            data = load_rendered(*arguments)
    except ValueError as error:
        if not folder.is_dir() or is_intact(folder, size, image_size):
            raise
        # Numpy has written less than it should.
        prepare_split(folder, size, image_size)
        problem = "the cache cannot be written; free space with `ordlib cache`, or set ORDLIB_CACHE"
        raise OSError(ENOSPC, problem, str(folder)) from error
    seal_split(folder)
    return data

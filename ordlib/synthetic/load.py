"""The splits of the rendered world as data."""

from ..data.dataset import ImageData
from ..tasks import OrdinalTask, load_task
from . import TASKS, render_split


def load_data(
    task: str | OrdinalTask,
    split: str = "train",
    side: int = 96,
    size: int | None = None,
    workers: int | None = None,
) -> ImageData:
    """Return a split of the rendered world, drawn now or taken from the disk cache.

    Args:
        task: "counting", "dating", "ageing" or "quality", or an OrdinalTask of that name
            (the same pictures under your own words, bins or templates).
        split: "train" (2,000 pictures), "val" (400), "test" (1,000), "distractors" (1,000,
            counting only), or "pretrain" (as many as ``size`` says).
        side: pixels, 64 to 336.
        size: the first so many pictures; None takes the whole split.
        workers: processes that draw; None takes every core.

    Returns:
        The pictures and labels. In quality, pictures of one photograph form a group.

    Raises:
        ValueError: unknown task or split, or a side out of range.

    Example:
        >>> load_data("quality", "val", side=64, size=4)
        ImageData(quality, val: 4 pictures, labels ... to ...)
    """
    name = task if isinstance(task, str) else task.name
    if name not in TASKS:
        raise ValueError(
            f"no rendered task {name!r}; there are {', '.join(TASKS)} "
            "(pictures of your own come in by load_folder)"
        )
    task = load_task(task) if isinstance(task, str) else task
    rendered = render_split(name, split, side, size, workers)
    scenes = rendered.records.get("scene_id")
    return ImageData(
        task=task,
        images=rendered.images,
        values=rendered.values,
        records=rendered.records,
        key=rendered.key,
        split=split,
        groups=None if scenes is None else scenes.to_numpy(dtype=str),
    )

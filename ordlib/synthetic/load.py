"""Load a split of a synthetic task."""

from ..data.dataset import ImageData
from ..tasks import OrdinalTask, load_task
from . import TASKS, render_split


def load_data(
    task: str | OrdinalTask,
    split: str = "train",
    image_size: int = 96,
    num_images: int | None = None,
    num_workers: int | None = None,
) -> ImageData:
    """Load a split of a synthetic task, rendered or from the disk cache.

    Args:
        task: "counting", "dating", "ageing" or "quality", or an OrdinalTask of that name
            (the same images with your own rank names, bins or templates).
        split: "train" (2,000 images), "val" (400), "test" (1,000), "distractors" (1,000,
            counting only), or "pretrain" (``num_images`` is required).
        image_size: pixels, 64 to 336.
        num_images: number of images; None takes the whole split.
        num_workers: processes; None takes every core.

    Returns:
        Images and labels. In quality, the images of one photograph form a group.

    Raises:
        ValueError: unknown task or split, or ``image_size`` out of range.

    Example:
        >>> load_data("quality", "val", image_size=64, num_images=4)
        ImageData(quality, val: 4 images, labels ... to ...)
    """
    name = task if isinstance(task, str) else task.name
    if name not in TASKS:
        raise ValueError(
            f"task = {name!r}: must be one of {', '.join(TASKS)}; "
            "load your own images with load_folder"
        )
    task = load_task(task) if isinstance(task, str) else task
    rendered = render_split(name, split, image_size, num_images, num_workers)
    scenes = rendered.metadata.get("scene_id")
    return ImageData(
        task=task,
        images=rendered.images,
        values=rendered.values,
        metadata=rendered.metadata,
        fingerprint=rendered.fingerprint,
        split=split,
        groups=None if scenes is None else scenes.to_numpy(dtype=str),
    )

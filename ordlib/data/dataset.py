"""Pictures, their labels and what else is known of them, wherever they come from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from ..tasks import OrdinalTask
from ..utils.cache import content_hash
from .image_io import load_image


@dataclass(frozen=True, eq=False)
class ImageData:
    """A data set of pictures with ordinal labels.

    Indexing gives a picture: ``data[0]`` is a PIL image in RGB, read when asked for.

    Attributes:
        task: what the labels mean.
        images: N pictures, each a ``(height, width, 3)`` uint8 array or the path of a file.
        values: ``(N,)`` float64 labels on the task's number line.
        metadata: N rows of what else is known: what the world drew, or the caller's own table.
        fingerprint: names the content for caches; equal keys mean equal pictures and labels.
        split: "train", "val", ..., or "all".
        groups: ``(N,)`` the unit that pictures share (a person, a scene), or None.

    Raises:
        ValueError: no pictures, lengths that differ, or a label outside the task's range.

    Example:
        >>> from ordlib.tasks import load_task
        >>> white = np.full((2, 64, 64, 3), 255, dtype=np.uint8)
        >>> data = ImageData(
        ...     task=load_task("counting"), images=white, values=np.array([3.0, 20.0]),
        ...     metadata=pd.DataFrame({"colour": ["red", "blue"]}), fingerprint="two", split="train",
        ... )
        >>> data
        ImageData(counting, train: 2 pictures, labels 3 to 20)
        >>> len(data), data[0].size, data.ranks
        (2, (64, 64), array([ 2, 19]))
    """

    task: OrdinalTask
    images: Sequence[np.ndarray | Path]
    values: np.ndarray
    metadata: pd.DataFrame
    fingerprint: str
    split: str
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        where = f"{self.task.name}/{self.split}"
        if len(self.images) == 0:
            raise ValueError(f"{where} holds no pictures")
        lengths = {
            "images": len(self.images),
            "values": len(self.values),
            "metadata": len(self.metadata),
            "groups": len(self.images) if self.groups is None else len(self.groups),
        }
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{count} {name}" for name, count in lengths.items())
            raise ValueError(f"{where} has {told}; there must be one of each per picture")
        low, high = self.task.range
        wrong = np.flatnonzero(~((self.values >= low) & (self.values <= high)))
        if len(wrong):
            raise ValueError(
                f"{where}: label {self.values[wrong[0]]:g} of picture {wrong[0]} is outside "
                f"{low:g} to {high:g}"
            )

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.images)

    def __getitem__(self, index: int) -> Image.Image:
        """One picture as RGB."""
        image = self.images[index]
        return Image.fromarray(image) if isinstance(image, np.ndarray) else load_image(image)

    def __repr__(self) -> str:
        low, high = self.values.min(), self.values.max()
        return (
            f"ImageData({self.task.name}, {self.split}: {len(self)} picture{'s'[: len(self) > 1]}, "
            f"labels {low:g} to {high:g})"
        )

    @property
    def ranks(self) -> np.ndarray:
        """The index of the rank nearest to each label: ``(N,)`` int, 0 to M-1."""
        return self.task.rank_index(self.values)

    def subset(self, indices: Sequence[int] | np.ndarray, split: str | None = None) -> "ImageData":
        """Some of the pictures in the order given, by positions or a mask of N booleans.

        The new set has a key of its own; None keeps the name of the split.

        Raises:
            ValueError: nothing chosen.
            IndexError: a position that does not exist.

        Example:
            >>> from ordlib import load_data
            >>> data = load_data("counting", "train", image_size=64, num_images=50)
            >>> many = data.subset(data.values > 10, "many")
            >>> many.split, many.values.min() > 10
            ('many', np.True_)
        """
        chosen = np.arange(len(self))[np.asarray(indices, dtype=None if len(indices) else int)]
        stored = isinstance(self.images, np.ndarray)
        return replace(
            self,
            images=self.images[chosen] if stored else [self.images[i] for i in chosen],
            values=self.values[chosen],
            metadata=self.metadata.iloc[chosen].reset_index(drop=True),
            fingerprint=content_hash(self.fingerprint, chosen.tobytes()),
            split=split or self.split,
            groups=None if self.groups is None else self.groups[chosen],
        )

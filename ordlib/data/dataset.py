"""Labelled images with per-image metadata."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from ..tasks import OrdinalTask
from ..utils.cache import content_hash
from ..utils.validation import listed
from .image_index import content_hashes, inspect_images
from .image_io import check_bit_depth, load_image, unknown_depth


@dataclass(frozen=True, eq=False)
class ImageData:
    """Dataset of images with ordinal labels; ``data[0]`` is a PIL image in RGB, loaded on demand.

    Attributes:
        task: the task that defines the labels.
        images: N images, each a ``(height, width, 3)`` uint8 array or a file path.
        values: ``(N,)`` float64 labels in the task's unit.
        metadata: N rows of further information, such as rendering parameters or a label table.
        fingerprint: content identifier for caches; equal if images and labels are equal.
        split: "train", "val", ..., or "all".
        groups: ``(N,)`` group of each image (a person, a scene), or None.
        bit_depth: of image files with more than 8 bits per channel; None takes it from the files.

    Raises:
        ValueError: no images, different lengths, or a label outside the task's range.

    Example:
        >>> from ordlib.tasks import load_task
        >>> white = np.full((2, 64, 64, 3), 255, dtype=np.uint8)
        >>> data = ImageData(
        ...     task=load_task("counting"), images=white, values=np.array([3.0, 20.0]),
        ...     metadata=pd.DataFrame({"name": ["a", "b"]}), fingerprint="two", split="train",
        ... )
        >>> data
        ImageData(counting, train: 2 images, labels 3 to 20)
        >>> len(data), data[0].size, data.ranks
        (2, (64, 64), array([ 2, 19]))
        >>> data.subset(data.values > 10, "many")
        ImageData(counting, many: 1 image, labels 20 to 20)
    """

    task: OrdinalTask
    images: Sequence[np.ndarray | Path]
    values: np.ndarray
    metadata: pd.DataFrame
    fingerprint: str
    split: str
    groups: np.ndarray | None = None
    bit_depth: int | None = None

    def __post_init__(self) -> None:
        where = f"{self.task.name}/{self.split}"
        check_bit_depth(self.bit_depth)
        if len(self.images) == 0:
            raise ValueError(f"{where}: contains no images")
        fields = {"images": self.images, "values": self.values, "metadata": self.metadata}
        if self.groups is not None:
            fields["groups"] = self.groups
        if len({len(field) for field in fields.values()}) > 1:
            counts = ", ".join(f"{len(field)} {name}" for name, field in fields.items())
            raise ValueError(f"{where}: {counts}; each needs one entry per image")
        low, high = self.task.range
        invalid = np.flatnonzero(~((self.values >= low) & (self.values <= high)))
        if len(invalid):
            raise ValueError(
                f"{where}: label {self.values[invalid[0]]:g} of image {invalid[0]} is outside "
                f"{low:g} to {high:g}"
            )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Image.Image:
        return self.load(index)

    def __repr__(self) -> str:
        labels = f"labels {self.values.min():g} to {self.values.max():g}"
        count = f"{len(self)} image{'s'[: len(self) > 1]}"
        return f"ImageData({self.task.name}, {self.split}: {count}, {labels})"

    def load(self, index: int, min_side: int | None = None) -> Image.Image:
        """Load an image as RGB; JPEG files may be reduced to a shorter side of ``min_side``."""
        image = self.images[index]
        if isinstance(image, np.ndarray):
            return Image.fromarray(image)
        return load_image(image, min_side, self.bit_depth)

    @property
    def is_on_disk(self) -> bool:
        """Whether any image is a file."""
        return any(not isinstance(image, np.ndarray) for image in self.images)

    def check_files(self) -> None:
        """Raise OSError that names the image files that cannot be used, if there are any.

        What :func:`load_folder` or an earlier call has decoded is not decoded again.
        """
        files = [image for image in self.images if not isinstance(image, np.ndarray)]
        errors = []
        reports = inspect_images(files, bit_depth=self.bit_depth)
        for file, report in zip(files, reports, strict=True):
            if report.error or not report.bit_depth:
                problem = report.error or unknown_depth(report.max_value)
                errors.append(f"{str(file)!r} {problem}")
        if errors:
            where = f"{self.task.name}/{self.split}"
            count = f"{len(errors)} image{'s'[: len(errors) > 1]}"
            raise OSError(f"{where}: {count} cannot be read:{listed(errors)}")

    @property
    def image_keys(self) -> list[str]:
        """Content hash of each image for caches, independent of labels, splits and file names."""
        if not self.is_on_disk:
            return self._array_keys
        files = iter(content_hashes([x for x in self.images if not isinstance(x, np.ndarray)]))
        depth = f"-{self.bit_depth}" if self.bit_depth else ""
        return [
            _array_hash(x) if isinstance(x, np.ndarray) else next(files) + depth
            for x in self.images
        ]

    @cached_property
    def _array_keys(self) -> list[str]:
        """Keys of images in memory, which are hashed once: they must not be edited."""
        return [_array_hash(image) for image in self.images]

    @cached_property
    def image_ids(self) -> np.ndarray:
        """``(N,)`` int64, equal for the rows of one file; each array in memory has its own."""
        keys = [i if isinstance(x, np.ndarray) else str(x) for i, x in enumerate(self.images)]
        return pd.factorize(np.array(keys, dtype=object))[0]

    @property
    def ranks(self) -> np.ndarray:
        """``(N,)`` int64 index of the rank nearest to each label, 0 to M-1."""
        return self.task.rank_index(self.values)

    def subset(self, indices: Sequence[int] | np.ndarray, split: str | None = None) -> "ImageData":
        """Subset, with its own fingerprint, by indices in the given order or by an (N,) bool mask.

        Raises:
            ValueError: empty selection.
            IndexError: index out of range.
        """
        chosen = np.arange(len(self))[np.asarray(indices, dtype=None if len(indices) else int)]
        in_memory = isinstance(self.images, np.ndarray)
        return replace(
            self,
            images=self.images[chosen] if in_memory else [self.images[i] for i in chosen],
            values=self.values[chosen],
            metadata=self.metadata.iloc[chosen].reset_index(drop=True),
            fingerprint=content_hash(self.fingerprint, chosen.tobytes()),
            split=split or self.split,
            groups=None if self.groups is None else self.groups[chosen],
        )


def _array_hash(image: np.ndarray) -> str:
    digest = hashlib.blake2b(repr((image.shape, image.dtype.str)).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()

"""Labelled images with per-image metadata."""

import hashlib
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from ..metrics.ordinal_checks import as_floats
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
        values: ``(N,)`` float64 labels in the task's unit; also given as a list or Series.
        metadata: N rows of further information, such as rendering parameters or a label table.
        fingerprint: content identifier for caches; equal if images and labels are equal.
        split: "train", "val", ..., or "all".
        groups: ``(N,)`` group of each image (a person, a scene), or None.
        bit_depth: of image files with more than 8 bits per channel; None takes it from the files.

    Raises:
        TypeError: a field of another type.
        ValueError: no images, different lengths, another shape, an image that is no RGB array, a
            label outside the task's range, or a missing group.

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
        if not isinstance(self.task, OrdinalTask):
            raise TypeError(f"task = {self.task!r}: must be an OrdinalTask, as load_task returns")
        if not isinstance(self.metadata, pd.DataFrame):
            raise TypeError(f"metadata = {self.metadata!r:.80}: must be a DataFrame of N rows")
        where = f"{self.task.name}/{self.split}"
        check_bit_depth(self.bit_depth)
        # Arrays: rows of a Series are selected by their index, not by position.
        object.__setattr__(self, "images", _as_images(self.images, where))
        object.__setattr__(self, "values", as_floats(f"{where}: values", self.values))
        fields = {"images": self.images, "values": self.values, "metadata": self.metadata}
        if self.groups is not None:
            # As objects: in an array of text, a missing one would be "nan".
            missing = pd.isna(np.asarray(self.groups, dtype=object))
            object.__setattr__(self, "groups", np.asarray(self.groups))
            fields["groups"] = self.groups
        for name in fields.keys() & {"values", "groups"}:
            if fields[name].ndim != 1:
                raise ValueError(f"{where}: {name} have shape {fields[name].shape}; expected (N,)")
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
        if self.groups is not None and missing.any():
            raise ValueError(f"{where}: the group of image {missing.argmax()} is missing; add it")

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
        try:
            image = self.images[operator.index(index)]
        except TypeError:
            raise TypeError(
                f"data[{index!r}]: must be one index; data.subset(indices) selects several images"
            ) from None
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
            TypeError: neither integers nor a mask.
            ValueError: empty selection.
            IndexError: index out of range.
        """
        rows = np.asarray(indices)
        if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "biu"):
            raise TypeError(f"indices = {indices!r:.80}: must be a list of indices or a mask")
        chosen = np.arange(len(self))[rows if rows.size else rows.astype(int)]
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


def _as_images(images: Sequence, where: str) -> Sequence[np.ndarray | Path]:
    """Validate images; paths given as text become Paths."""
    if not hasattr(images, "__len__") or isinstance(images, str | bytes):
        raise TypeError(f"{where}: images = {images!r:.80}: must be a list of paths or arrays")
    if len(images) == 0:
        raise ValueError(f"{where}: contains no images")
    if isinstance(images, np.ndarray) and images.dtype != object:
        _check_image(images[0], f"{where}: images[0]")  # All have one shape.
        return images
    images = [Path(image) if isinstance(image, str) else image for image in images]
    for index, image in enumerate(images):
        if not isinstance(image, Path):
            _check_image(image, f"{where}: images[{index}]")
    return images


def _check_image(image: object, name: str) -> None:
    shape, dtype = getattr(image, "shape", ()), getattr(image, "dtype", None)
    is_rgb = len(shape) == 3 and shape[2] == 3 and min(shape) > 0 and dtype == np.uint8
    if not (isinstance(image, np.ndarray) and is_rgb):
        kind = f"{type(image).__name__}{f' {tuple(shape)} {dtype}' * bool(shape)}"
        raise ValueError(
            f"{name}: is a {kind}, not a path or a uint8 array (height, width, 3); "
            "np.asarray(image.convert('RGB')) makes one of a PIL image"
        )


def _array_hash(image: np.ndarray) -> str:
    digest = hashlib.blake2b(repr((image.shape, image.dtype.str)).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()

"""A folder of your own pictures as data, with every fault named before any work is lost."""

import os
import warnings
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ..tasks import OrdinalTask, load_task
from ..utils.cache import content_hash
from .dataset import ImageData
from .label_files import read_labels
from .splits import split_indices
from .validation import validate_samples


def load_folder(
    path: str | os.PathLike,
    labels: str | os.PathLike | None = None,
    task: str | OrdinalTask | None = None,
    *,
    image_column: str = "path",
    label_column: str = "label",
    group_column: str | None = None,
    split_column: str | None = None,
    splits: Mapping[str, float] | None = None,
    seed: int = 0,
) -> ImageData | dict[str, ImageData]:
    """Data set of a folder of your own, labelled by a table, a list or its subfolders.

    Everything is checked before anything is returned: each picture can be opened, each label
    is a rank of the task. Up to ten faults are told at once, each with its row. Pictures are
    decoded when used: upright, RGB, 16 bits scaled to 8, see-through parts on white.

    Args:
        path: the folder; paths of pictures are relative to it and may not leave it.
        labels: a table (.csv or .tsv, a header and one row a picture), or a list (any other
            text file: lines of a path, a blank and a label), looked for inside the folder
            first. None: the pictures lie in subfolders named after their rank.
        task: what the labels mean: an OrdinalTask or the name of a built-in one.
        image_column, label_column: the table's columns of paths and labels.
        group_column: the table's column of what pictures share (a person, a scene): splits that are
            made never tear a group apart, and intervals resample groups.
        split_column: the table's column that says to which split a picture belongs.
        splits: shares of the splits to make, such as ``{"train": 0.7, "val": 0.1, "test":
            0.2}``: stratified over ranks, whole groups.
        seed: of the splits made.

    Returns:
        All pictures as one ImageData; a dict of one for each split where splits are given
        or made.

    Raises:
        FileNotFoundError, NotADirectoryError: no such folder or label file.
        TypeError: no task.
        ValueError: faults in the table or the pictures, each named with row, field and value.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ("a.png", "b.png"):
        ...     Image.new("RGB", (64, 64)).save(root / name)
        >>> _ = (root / "counts.csv").write_text("file,n\\na.png,3\\nb.png,7\\n")
        >>> columns = {"image_column": "file", "label_column": "n"}
        >>> load_folder(root, "counts.csv", "counting", **columns)
        ImageData(counting, all: 2 pictures, labels 3 to 7)
        >>> halves = {"train": 0.5, "test": 0.5}
        >>> load_folder(root, "counts.csv", "counting", **columns, splits=halves)["train"]
        ImageData(counting, train: 1 picture, labels ... to ...)
    """
    if split_column is not None and splits is not None:
        raise ValueError(
            "give split_column= (splits you have) or splits= (splits to make), not both"
        )
    task = _task(task)
    root = _folder(path)
    listing = read_labels(root, _label_file(root, labels), image_column, label_column)
    units = None if group_column is None else listing.column(group_column)
    homes = None if split_column is None else listing.column(split_column)
    files, values = validate_samples(root, listing, task, filled=(units, homes))
    stats = [file.stat() for file in files]
    data = ImageData(
        task=task,
        images=files,
        values=values,
        metadata=listing.metadata,
        fingerprint=content_hash(
            task.name,
            *(file.relative_to(root).as_posix() for file in files),
            *((stat.st_size, stat.st_mtime_ns) for stat in stats),
            values.tobytes(),
        ),
        split="all",
        groups=None if units is None else units.to_numpy(dtype=str),
    )
    if homes is not None:
        _warn_group_leakage(units, homes)
        return {name: data.subset((homes == name).to_numpy(), name) for name in homes.unique()}
    if splits is None:
        return data
    parts = split_indices(data.ranks, splits, data.groups, seed)
    return {name: data.subset(part, name) for name, part in parts.items()}


def _task(task: object) -> OrdinalTask:
    if not isinstance(task, str | OrdinalTask):
        raise TypeError(
            f"load_folder needs task=, an OrdinalTask or the name of one, not {task!r}: "
            "it says what the labels mean"
        )
    return load_task(task) if isinstance(task, str) else task


def _folder(path: str | os.PathLike) -> Path:
    # Not resolved: pictures may be links to files elsewhere.
    root = Path(os.path.abspath(path))
    if not root.exists():
        raise FileNotFoundError(f"there is no folder {root}")
    if not root.is_dir():
        raise NotADirectoryError(f"{root} is a file; path= is the folder that holds the pictures")
    return root


def _label_file(root: Path, labels: str | os.PathLike | None) -> Path | None:
    if labels is None:
        return None
    for place in (root / labels, Path(labels)):
        if place.is_file():
            return place
    raise FileNotFoundError(
        f"there is no label file {labels}, neither in {root} nor in {Path.cwd()}"
    )


def _warn_group_leakage(units: pd.Series | None, homes: pd.Series) -> None:
    """Splits as given are kept, but a group in two of them flatters the result."""
    if units is None:
        return
    torn = homes.groupby(units).nunique()
    torn = torn.index[torn > 1]
    if len(torn):
        warnings.warn(
            f"{len(torn)} values of {units.name!r} are in more than one split ({torn[0]!r}, ...): "
            "results will look better than they are",
            stacklevel=3,
        )

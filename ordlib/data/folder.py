"""A folder of your own pictures as data, with every fault named before any work is lost."""

import os
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from ..storage import digest
from ..tasks import OrdinalTask, load_task
from .dataset import ImageData
from .listing import Listing, read_listing
from .pictures import picture_fault
from .splitting import split_indices

FAULTS_TOLD = 10


def load_folder(
    path: str | os.PathLike,
    labels: str | os.PathLike | None = None,
    task: str | OrdinalTask | None = None,
    *,
    image_column: str = "path",
    label_column: str = "label",
    group: str | None = None,
    split_column: str | None = None,
    splits: Mapping[str, float] | None = None,
    seed: int = 0,
) -> ImageData | dict[str, ImageData]:
    """Load a folder of pictures of your own, labelled by a table, a list or its subfolders.

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
        group: the table's column of what pictures share (a person, a scene); no group is
            then torn between splits, and intervals resample groups.
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
        ImageData(counting, train: 1 pictures, labels ... to ...)
    """
    if split_column is not None and splits is not None:
        raise ValueError(
            "give split_column= (splits you have) or splits= (splits to make), not both"
        )
    task = _task(task, labels)
    root = _folder(path)
    listing = read_listing(root, _label_file(root, labels), image_column, label_column)
    units = None if group is None else listing.column(group)
    homes = None if split_column is None else listing.column(split_column)
    data = _checked(root, listing, task, {group: units, split_column: homes})
    if homes is not None:
        _warn_of_torn_groups(units, homes, group)
        return {name: data.subset((homes == name).to_numpy(), name) for name in homes.unique()}
    if splits is None:
        return data
    parts = split_indices(data.ranks, splits, data.groups, seed)
    return {name: data.subset(part, name) for name, part in parts.items()}


def _task(task: str | OrdinalTask | None, labels: object) -> OrdinalTask:
    if task is None or isinstance(labels, OrdinalTask):
        raise TypeError("load_folder needs to know what the labels mean: give task=")
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
    places = [root / labels, Path(labels)]
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(
        f"there is no label file {labels}, neither in {root} nor in {Path.cwd()}"
    )


def _checked(root: Path, listing: Listing, task: OrdinalTask, columns: Mapping) -> ImageData:
    """Check every entry, then make the data; raise with all that is wrong otherwise."""
    faults: list[list[str]] = [[] for _ in listing.paths]
    files = _locate_all(root, listing, faults)
    values = np.full(len(files), np.nan)
    for index, label in enumerate(listing.labels):
        try:
            values[index] = _parse(task, label, _place(listing, index, listing.label_field))
        except ValueError as error:
            faults[index].append(str(error))
    for name, column in columns.items():
        for index in [] if column is None else np.flatnonzero(column == ""):
            faults[index].append(f"{_place(listing, index, f'column {name!r}')} is empty")
    _check_pictures(listing, files, faults)
    _raise_faults(listing.source, [fault for row in faults for fault in row])
    units = columns[next(iter(columns))]
    stats = [file.stat() for file in files]
    content = [
        f"{file.relative_to(root).as_posix()}|{stat.st_size}|{stat.st_mtime_ns}|{value!r}"
        for file, stat, value in zip(files, stats, values.tolist(), strict=True)
    ]
    return ImageData(
        task=task,
        images=files,
        values=values,
        records=listing.records,
        key=digest(task.name, *content),
        split="all",
        groups=None if units is None else units.to_numpy(dtype=str),
    )


def _place(listing: Listing, index: int, field: str) -> str:
    row = listing.rows[index] or listing.paths[index]
    return f"{row}, {field}"


def _parse(task: OrdinalTask, label: str, place: str) -> float:
    if not label:
        raise ValueError(f"{place} is empty")
    return task.parse(label, where=place)


def _locate_all(root: Path, listing: Listing, faults: list[list[str]]) -> list[Path | None]:
    """Find each file; where one is missing, outside, or listed twice, note it and give None."""
    files: list[Path | None] = []
    first: dict[Path, int] = {}
    for index, name in enumerate(listing.paths):
        file = Path(os.path.normpath(root / name))
        if os.sep == "/" and "\\" in name and not file.is_file():
            file = Path(os.path.normpath(root / name.replace("\\", "/")))
        if not name:
            fault = "is empty"
        elif not file.is_relative_to(root):
            fault = f"{name!r} leaves the folder {root}; give a folder that holds all pictures"
        elif file in first:
            fault = f"{name!r} stands in {listing.rows[first[file]]} already"
        elif not os.path.isfile(file):
            fault = f"{name!r} is missing: there is no file {file}"
        else:
            first[file] = index
            files.append(file)
            continue
        files.append(None)
        faults[index].append(f"{_place(listing, index, listing.path_field)}: {fault}")
    return files


def _check_pictures(listing: Listing, files: list[Path | None], faults: list[list[str]]) -> None:
    """Open every picture that was found; threads, since this waits for the disk."""
    found = [index for index, file in enumerate(files) if file is not None]
    with ThreadPoolExecutor() as pool:
        told = pool.map(picture_fault, (files[index] for index in found))
        bar = tqdm(told, "checking pictures", len(found), leave=False, delay=2, unit="picture")
        for index, fault in zip(found, bar, strict=True):
            if fault:
                place = _place(listing, index, listing.path_field)
                faults[index].append(f"{place}: {listing.paths[index]!r} {fault}")


def _raise_faults(source: str, faults: list[str]) -> None:
    if not faults:
        return
    told = "".join(f"\n  {fault}" for fault in faults[:FAULTS_TOLD])
    more = len(faults) - FAULTS_TOLD
    rest = f"\n  and {more} more" if more > 0 else ""
    raise ValueError(f"{source} has {len(faults)} fault{'s' * (len(faults) > 1)}:{told}{rest}")


def _warn_of_torn_groups(units, homes, name: str | None) -> None:
    """Splits as given are kept, but a group in two of them flatters the result."""
    if units is None:
        return
    torn = homes.groupby(units).nunique()
    torn = torn.index[torn > 1]
    if len(torn):
        warnings.warn(
            f"{len(torn)} values of {name!r} are in more than one split ({torn[0]!r}, ...): "
            "results will look better than they are",
            stacklevel=3,
        )

"""Load a folder of images with labels from CSV/TSV, a list file, or class folders."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from ..tasks import OrdinalTask, load_task
from ..utils.cache import content_hash, file_signature
from ..utils.validation import check_choice, check_count, check_path, is_number
from .dataset import ImageData
from .image_io import check_bit_depth
from .label_files import SPLIT_NAMES, LabelTable, read_labels
from .leakage import warn_about_copies, warn_about_labels, warn_about_splits
from .splits import split_indices
from .validation import validate_samples

SYNONYMS = {"train": SPLIT_NAMES[:2], "val": SPLIT_NAMES[2:5]}
# Names of splits that are given as so many fractions.
SPLITS = {2: ("train", "test"), 3: ("train", "val", "test")}


def load_folder(
    path: str | os.PathLike,
    labels: str | os.PathLike | pd.DataFrame | Sequence[tuple] | None = None,
    task: str | OrdinalTask | None = None,
    *,
    image_column: str = "path",
    label_column: str = "label",
    group_column: str | None = None,
    group_pattern: str | None = None,
    split_column: str | None = None,
    split_pattern: str | None = None,
    splits: Mapping[str, float] | Sequence[float] | None = None,
    seed: int = 0,
    first_label: int | None = None,
    bit_depth: int | None = None,
    check: Literal["decode", "header"] = "decode",
) -> ImageData | dict[str, ImageData]:
    """Load an image folder, labelled by a table, a list file or class folders.

    All images and labels are validated first, and an image that passed is not decoded again to
    check it. Warnings name groups and images in two splits, and ranks without training images.

    Args:
        path: image folder; image paths are relative to it and must stay inside.
        labels: label file, relative to the folder or the working directory: a table (.csv, .tsv,
            .xlsx, metadata.jsonl) or a list (other text files: path, tab or blank, label); or a
            DataFrame, or (path, label) pairs. None: subfolders named after ranks.
        task: an OrdinalTask or the name of a built-in one.
        image_column, label_column: columns of paths and labels.
        group_column: column of groups (a person, a scene), for splits and confidence intervals.
        group_pattern: regular expression for the image path instead of a column; its first capture
            group, such as in ``r"person(\\d+)_"``, is the group.
        split_column: column of existing splits; the default for class folders in split folders
            (train, val, test).
        split_pattern: regular expression as ``group_pattern``, for the split.
        splits: fractions of new splits, such as ``{"train": 0.8, "test": 0.2}``, stratified by
            rank; groups stay together. Two or three numbers are (train, test) or
            (train, val, test).
        seed: random seed of new splits.
        first_label: for named ranks, the number of the lowest one in the labels (1 for grades
            1 to 5); None accepts a number only where it equals a name or a position.
        bit_depth: of images with more than 8 bits per channel, 12 or 16 for example, where the
            files do not state it; one for all, so that their brightness stays comparable.
        check: "decode" decodes each new image once (JPEG files at an eighth of their size);
            "header" opens it, and a damaged one is named later, before training starts.

    Returns:
        One ImageData, or a dict of ImageData by split if splits are given or created.

    Raises:
        FileNotFoundError, NotADirectoryError: the folder or label file does not exist.
        ValueError: invalid table or images; lists up to ten errors with row, field and value.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> root = Path(tempfile.mkdtemp())
        >>> for name, color in {"a.png": "red", "b.png": "blue"}.items():
        ...     Image.new("RGB", (64, 64), color).save(root / name)
        >>> _ = (root / "counts.csv").write_text("file,n\\na.png,3\\nb.png,7\\n")
        >>> columns = {"image_column": "file", "label_column": "n"}
        >>> load_folder(root, "counts.csv", "counting", **columns)
        ImageData(counting, all: 2 images, labels 3 to 7)
        >>> load_folder(root, "counts.csv", "counting", **columns, splits={"a": 0.5, "b": 0.5})["a"]
        ImageData(counting, a: 1 image, labels ... to ...)
    """
    check_choice("check", check, ("decode", "header"))
    splits = _named_fractions(splits)
    check_count("seed", seed, 0)
    check_bit_depth(bit_depth)
    check_path("path", path)
    if first_label is not None:
        check_count("first_label", first_label, None)
    task = _task(task)
    root = _image_folder(path)
    columns = (image_column, label_column)
    table = read_labels(root, _label_file(root, labels), *columns, task.label_names)
    if labels is None and split_column is split_pattern is None and "split" in table.metadata:
        split_column = "split"
    groups = _column_or_match(table, "group", group_column, group_pattern)
    split_names = _column_or_match(table, "split", split_column, split_pattern)
    if split_names is not None and splits is not None:
        raise ValueError("splits = ...: there are splits already; drop splits=, or split_column=")
    groups = None if groups is None else _merge_spellings(groups)
    split_names = None if split_names is None else _merge_cases(split_names)
    files, values, bit_depth = validate_samples(
        root, table, task, (groups, split_names), first_label, check == "decode", bit_depth
    )
    data = ImageData(
        task=task,
        images=files,
        values=values,
        metadata=table.metadata,
        # The real paths: two folders may hold files of equal names, sizes and times.
        fingerprint=content_hash(task.name, *map(file_signature, files), values.tobytes()),
        split="all",
        groups=None if groups is None else groups.to_numpy(dtype=str),
        bit_depth=bit_depth,
    )
    warn_about_labels(data)
    if check == "decode":  # The images have been read.
        warn_about_copies(data)
    if split_names is not None:
        indices = {name: np.flatnonzero(split_names == name) for name in split_names.unique()}
    elif splits is not None:
        indices = split_indices(data.ranks, splits, data.groups, seed)
    else:
        return data
    parts = {name: data.subset(part, name) for name, part in indices.items()}
    warn_about_splits(parts)
    return parts


def _named_fractions(splits: object) -> Mapping[str, float] | None:
    named = splits
    if isinstance(splits, Sequence) and len(splits) in SPLITS:
        named = dict(zip(SPLITS[len(splits)], splits, strict=True))
    is_mapping = isinstance(named, Mapping) and all(isinstance(name, str) for name in named)
    if splits is not None and not (is_mapping and all(map(is_number, named.values()))):
        raise ValueError(
            f"splits = {splits!r}: must be a dict of fractions, such as "
            '{"train": 0.6, "val": 0.2, "test": 0.2}, or two or three fractions'
        )
    return named


def _task(task: object) -> OrdinalTask:
    if not isinstance(task, str | OrdinalTask):
        raise TypeError(f"task = {task!r}: must be an OrdinalTask or the name of a built-in one")
    return load_task(task) if isinstance(task, str) else task


def _image_folder(path: str | os.PathLike) -> Path:
    # Not resolved: images may be symbolic links to files elsewhere.
    root = Path(os.path.abspath(path))
    if not root.exists():
        raise FileNotFoundError(f"path = {str(root)!r}: no such folder")
    if not root.is_dir():
        raise NotADirectoryError(f"path = {str(root)!r}: is a file; give the folder of the images")
    return root


def _label_file(root: Path, labels: object) -> object:
    """Path of the label file; rows in memory, or None for class folders, as they are."""
    if not isinstance(labels, str | os.PathLike):
        return labels
    for file in (root / labels, Path(labels)):
        if file.is_file():
            return file
    raise FileNotFoundError(f"labels = {str(labels)!r}: no such file in {root} or {Path.cwd()}")


def _column_or_match(
    table: LabelTable, kind: str, column: str | None, pattern: str | None
) -> pd.Series | None:
    """Group or split of each entry, from a column or from its path; None without either."""
    if pattern is None:
        return None if column is None else table.column(column)
    if column is not None:
        raise ValueError(f"{kind}_column and {kind}_pattern exclude each other; give one")
    try:
        regex = re.compile(pattern)
        found = [regex.search(path) for path in table.paths]
    except (re.error, TypeError) as error:
        raise ValueError(
            f"{kind}_pattern = {pattern!r}: invalid regular expression: {error}"
        ) from error
    if not regex.groups:
        raise ValueError(f"{kind}_pattern = {pattern!r}: has no capture group; add parentheses")
    unmatched = [path for path, match in zip(table.paths, found, strict=True) if not match]
    if unmatched:
        raise ValueError(f"{kind}_pattern = {pattern!r}: does not match the path {unmatched[0]!r}")
    return pd.Series([match[1] or "" for match in found], name=f"{kind}_pattern", dtype=str)


def _merge_spellings(groups: pd.Series) -> pd.Series:
    """Groups "7" and "7.0" are one: pandas writes integers as floats where some are missing.

    Names that look alike are one, too, in whichever Unicode form they are.
    """
    return groups.str.normalize("NFC").str.replace(r"^([+-]?\d+)\.0+$", r"\1", regex=True)


def _merge_cases(split_names: pd.Series) -> pd.Series:
    """Splits "Train" and "train" are one; in lower case if it is a usual name of a split."""
    folded = split_names.str.casefold()
    for standard, synonyms in SYNONYMS.items():
        if len(found := [name for name in synonyms if (folded == name).any()]) > 1:
            raise ValueError(
                f"{split_names.name!r}: {', '.join(map(repr, found))} all mean {standard!r}; use "
                "one name"
            )
    first_spelling = split_names.groupby(folded).transform("first")
    return first_spelling.mask(folded.isin(SPLIT_NAMES), folded).rename(split_names.name)

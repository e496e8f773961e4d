"""Helpers of the readers: images without a list, labels in file names, splits of several lists."""

import os
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from .dataset_folder import DatasetFolder, may_be
from .list_formats import read_id_split, read_list

SPLIT_NAMES = {"training": "train", "validation": "val", "valid": "val"}
STACKLEVEL = 5  # The caller of load_published.


def read_split_lists(
    folder: DatasetFolder, lists: Mapping[str, str], columns: Mapping[str, object] | None = None
) -> pd.DataFrame:
    """Join list files, each of which is a split: ``lists`` maps their names to splits."""
    files = folder.find_lists(lists)
    parts = [
        read_list(file).assign(split=split, **(columns or {}))
        for file, split in zip(files, lists.values(), strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


def read_folds(folder: DatasetFolder, names: Sequence[str], fold: int) -> pd.DataFrame:
    """Join list files, each of which is a fold; one is the test split, the others train."""
    splits = {name: "test" if i == fold else "train" for i, name in enumerate(names)}
    return read_split_lists(folder, splits)


def read_names(folder: DatasetFolder, pattern: str, what: str) -> pd.DataFrame:
    """All images with a matching file name, without extension; columns are the named groups.

    Others are left out, and a warning counts them.
    """
    regex = re.compile(pattern, re.IGNORECASE)
    found = {path: regex.fullmatch(_stem(path)) for path in folder.images}
    others = [path for path, match in found.items() if match is None]
    rows = [
        {"path": path, "origin": path, **match.groupdict()}
        for path, match in found.items()
        if match is not None
    ]
    if not rows:
        raise FileNotFoundError(
            f"no image in {folder.root} has a name of the form {what} ({len(others)} others)"
        )
    if others:
        leave_out(others, f"have no name of the form {what}")
    frame = pd.DataFrame(rows)
    check_unique(frame, list(regex.groupindex))
    return frame


def check_unique(frame: pd.DataFrame, columns: Sequence[str]) -> None:
    """Raise ValueError if two images of a folder are the same by these columns."""
    keys = frame[list(columns)].fillna("").agg("|".join, axis=1).str.casefold()
    again = keys.duplicated()
    if again.any():
        row = int(again.argmax())
        first = int((keys == keys[row]).argmax())
        both = frame["path"][first], frame["path"][row]
        raise ValueError(
            f"{again.sum()} images are there twice: {os.path.basename(both[0])!r} {may_be(both)}"
        )


def parse_floats(frame: pd.DataFrame, column: str, minimum: float) -> pd.Series:
    """A column of numbers above a minimum; an error names file, row and column."""
    numbers = pd.to_numeric(frame[column], errors="coerce")
    invalid = ~((numbers > minimum) & (numbers < float("inf")))
    if invalid.any():
        row = int(invalid.argmax())
        raise ValueError(
            f"{frame['origin'][row]}, column {column!r}: {frame[column][row]!r}: must be a number "
            f"above {minimum:g}"
        )
    return numbers


def parse_splits(frame: pd.DataFrame, column: str) -> pd.Series:
    """A column of splits, under the names train, val and test."""
    splits = frame[column].str.strip().str.lower().replace(SPLIT_NAMES)
    invalid = ~splits.isin(("train", "val", "test"))
    if invalid.any():
        row = int(invalid.argmax())
        raise ValueError(
            f"{frame['origin'][row]}, column {column!r}: {frame[column][row]!r}: must be train, "
            "val or test"
        )
    return splits


def warn_about_names(frame: pd.DataFrame, labels: pd.Series, names: pd.Series) -> None:
    """Warn of labels that differ from what the file names say."""
    differs = (labels != names).to_numpy()
    if differs.any():
        row = int(differs.argmax())
        warnings.warn(
            f"{differs.sum()} labels differ from the file names ({frame['origin'][row]}: "
            f"{labels.iloc[row]}, {frame['path'][row]}): the lists are followed",
            stacklevel=STACKLEVEL + 1,
        )


def add_name_parts(frame: pd.DataFrame, pattern: str, what: str) -> pd.DataFrame:
    """Add a column for each named group of a pattern that file names, without extension, match."""
    regex = re.compile(pattern)
    matches = [regex.fullmatch(_stem(path)) for path in frame["path"]]
    for origin, path, match in zip(frame["origin"], frame["path"], matches, strict=True):
        if match is None:
            raise ValueError(f"{origin}: {path!r} is not of the form {what}")
    parts = pd.DataFrame([match.groupdict() for match in matches], index=frame.index)
    return frame.assign(**parts)


def read_labelled_ids(folder: DatasetFolder, split: Path, labels: pd.DataFrame) -> pd.DataFrame:
    """Labels of the images of an id split; ids without a label are left out with a warning."""
    ids = read_id_split(split)
    own = labels.assign(stem=labels["path"].map(_stem).str.casefold())
    again = own["stem"].duplicated()
    if again.any():
        row = int(again.argmax())
        first = own["origin"][int((own["stem"] == own["stem"][row]).argmax())]
        raise ValueError(
            f"{own['path'][row]!r} is in {first} and in {own['origin'][row]}; remove one"
        )
    own = own.drop(columns=["origin", "split"], errors="ignore")
    merged = ids.assign(stem=ids["path"].str.casefold()).merge(
        own.rename(columns={"path": "listed"}), on="stem", how="left"
    )
    missing = merged["listed"].isna()
    if missing.all():
        raise ValueError(
            f"{split}: none of its {len(ids)} ids has a label, such as {ids['path'][0]!r}; the "
            f"labels are of {labels['path'][0]!r}, ..."
        )
    if missing.any():
        leave_out(merged.loc[missing, "path"].tolist(), f"of {split.name} have no label")
    merged = merged[~missing].drop(columns=["stem", "path"])
    return merged.rename(columns={"listed": "path"}).reset_index(drop=True)


def parent_folder(path: str) -> str:
    """Name of the folder of a listed image."""
    return re.split(r"[\\/]+", path)[-2] if re.search(r"[\\/]", path) else ""


def leave_out(images: Sequence[str], reason: str) -> None:
    """Warn that images are left out."""
    count = f"{len(images)} image{'s'[: len(images) > 1]}"
    warnings.warn(f"{count} left out ({images[0]}, ...): {reason}", stacklevel=STACKLEVEL)


def _stem(path: str) -> str:
    return os.path.splitext(re.split(r"[\\/]+", path)[-1])[0]

"""Load the published data sets of the papers, with their splits."""

import os
import warnings
from collections.abc import Iterable

import numpy as np
import pandas as pd

from ...tasks import OrdinalTask
from ...utils.cache import content_hash, file_signature
from ...utils.validation import check_choice, listed
from ..dataset import ImageData
from .choose import choose_protocol
from .dataset_folder import DatasetFolder
from .faces import FACES
from .object_counts import COCO_COUNT
from .own_splits import leave_one_group_out, stratified_folds
from .photographs import PHOTOGRAPHS
from .protocol import LEAVE_ONE_GROUP_OUT, Protocol, PublishedDataset

DATASETS = {dataset.name: dataset for dataset in (*FACES, *PHOTOGRAPHS, COCO_COUNT)}
STACKLEVEL = 3  # The caller of load_published.


class PublishedSplits(dict[str, ImageData]):
    """The splits of a published data set, by name, and which choices they follow.

    Attributes:
        dataset: what is known of the data set.
        protocol: the protocol of the splits.
        fold: number of the fold, or None for a single split.
        num_folds: number of folds; 0 for a single split.
        category, label: the subset (None for all) and the label.
    """

    def __init__(self, splits, dataset, protocol, fold, num_folds, category, label):
        super().__init__(splits)
        self.dataset: PublishedDataset = dataset
        self.protocol: Protocol = protocol
        self.fold: int | None = fold
        self.num_folds: int = num_folds
        self.category: str | None = category
        self.label: str = label

    def __repr__(self) -> str:
        fold = "" if self.fold is None else f", fold {self.fold} of {self.num_folds}"
        category = "" if self.category is None else f", category {self.category!r}"
        sizes = ", ".join(f"{name} {len(data)}" for name, data in self.items())
        origin = "published" if self.protocol.splits == "published" else "none published; ours"
        return (
            f"PublishedSplits({self.dataset.name}, protocol {self.protocol.name!r}{fold}"
            f"{category}, label {self.label!r}: {sizes} images; splits {origin})"
        )


def list_published() -> pd.DataFrame:
    """The data sets that :func:`~ordlib.load_published` reads, a row for each protocol.

    Returns:
        Columns: name, title, protocol, folds (0: a single split; -1: one a group), splits
        ("published" or "ours"), labels, tasks, lists, description, source.

    Example:
        >>> table = list_published()
        >>> table.loc[table["name"] == "morph", "protocol"].tolist()
        ['D', 'A', 'B', 'C', 'OrdinalCLIP']
    """
    return pd.DataFrame([
        {
            "name": dataset.name, "title": dataset.title, "protocol": protocol.name,
            "folds": protocol.folds, "splits": protocol.splits,
            "labels": ", ".join(protocol.labels),
            "tasks": ", ".join(dict.fromkeys(protocol.labels.values())),
            "lists": ", ".join(protocol.lists), "description": protocol.description,
            "source": dataset.source,
        }
        for dataset in DATASETS.values()
        for protocol in dataset.protocols
    ])  # fmt: skip


def load_published(
    name: str,
    root: str | os.PathLike,
    *,
    protocol: str | None = None,
    split: str | None = None,
    fold: int | None = None,
    category: str | None = None,
    label: str | None = None,
    skip_missing: bool = False,
) -> PublishedSplits | ImageData:
    """Load a data set of the papers, with the splits of one of its protocols.

    Lists and images may lie anywhere under the root folder. An image is found by its name; if
    several have that name, folders decide as far as they agree, and two equal matches are an error.
    Images are opened when they are used, or by ``ordlib data check NAME ROOT``. Warnings say how
    many test images share a group, such as a person, with training images.

    Args:
        name: one of `list_published`: "adience", "morph", "utkface", "clap2015", "clap2016",
            "fgnet", "cacd", "hci", "aesthetics", "koniq", "ava", "aadb", "coco_count".
        root: folder with the images and lists, which you download yourself.
        protocol: which splits; default: the first one with all of its lists, with a warning if
            one before it lacks some of its lists.
        split: "train", "val" or "test"; None returns all.
        fold: number of the fold; None is the first one, and the only choice for a protocol with a
            single split.
        category: subset of "aesthetics" or kind of object of "coco_count"; None takes all, and
            ``metadata["category"]`` has the name.
        label: which label, where there are several: "apparent" or "real" (clap2016); "MOS" or
            "MOS_zscore" (koniq; its protocol "sets" has only MOS, on a scale to 100).
        skip_missing: whether images that are not found are left out, with a warning.

    Returns:
        The splits by name, which also name the choices made, or one of them. Metadata has all
        columns of the lists, with the path in "path", labels in columns of their names and, where
        there is one, the standard deviation in "std"; groups are subjects where there are any.

    Raises:
        FileNotFoundError, NotADirectoryError, PermissionError: the folder, lists or images are
            missing or cannot be read; says which and where they were looked for.
        ValueError: an unknown option, or invalid entries of a list.

    References:
        ``list_published()`` gives the origin of each protocol.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> root = Path(tempfile.mkdtemp())
        >>> for age in range(20, 30):
        ...     Image.new("RGB", (8, 8)).save(root / f"{age}_0_1_201701161745063{age}.jpg.chip.jpg")
        >>> load_published("utkface", root)
        PublishedSplits(utkface, protocol 'names', fold 0 of 5, label 'age': train 8, test 2
        images; splits none published; ours)
    """
    check_choice("name", name, DATASETS)
    dataset, folder = DATASETS[name], DatasetFolder(root)
    _check_fold(fold)
    chosen = choose_protocol(dataset, folder, protocol, fold or 0, label)
    label = next(iter(chosen.labels)) if label is None else label
    check_choice(f"label of protocol {chosen.name!r}", label, chosen.labels)
    fold, frame = _read(dataset, folder, chosen, fold)
    frame = _select_category(dataset, frame, category)
    try:
        data = _as_data(dataset, folder, chosen, frame, label, skip_missing)
        splits, num_folds = _split(chosen, data, fold)
    except ValueError as error:
        subset = "" if category is None else f", category {category!r}"
        where = f"{dataset.name}, protocol {chosen.name!r}{subset}"
        raise ValueError(f"{where}: {error} (in {folder.root})") from error
    if split is not None:
        check_choice(f"split of protocol {chosen.name!r}", split, splits)
    _warn_about_leaks(splits, chosen)
    fold = fold if num_folds else None
    result = PublishedSplits(splits, dataset, chosen, fold, num_folds, category, label)
    return result if split is None else result[split]


def _check_fold(fold: object) -> None:
    if isinstance(fold, bool) or not isinstance(fold, int | None):
        raise ValueError(f"fold = {fold!r}: must be a whole number, or None")


def _read(
    dataset: PublishedDataset, folder: DatasetFolder, protocol: Protocol, fold: int | None
) -> tuple[int, pd.DataFrame]:
    """Number of the fold, and the entries of the lists."""
    if fold is not None and not protocol.folds:
        raise ValueError(f"fold = {fold!r}: protocol {protocol.name!r} has a single split")
    fold = 0 if fold is None else fold
    if protocol.folds > 0:
        check_choice(f"fold of protocol {protocol.name!r}", fold, range(protocol.folds))
    try:
        return fold, protocol.read(folder, fold).reset_index(drop=True)
    except FileNotFoundError as error:
        message = f"{dataset.name}, protocol {protocol.name!r}: {error}"
        raise FileNotFoundError(f"{message}\n{dataset.layout()}") from None


def _select_category(
    dataset: PublishedDataset, frame: pd.DataFrame, category: str | None
) -> pd.DataFrame:
    if category is None:
        return frame
    if "category" not in frame:
        raise ValueError(f"category = {category!r}: {dataset.name} has no categories")
    check_choice(f"category of {dataset.name}", category, sorted(frame["category"].unique()))
    return frame[frame["category"] == category].reset_index(drop=True)


def _as_data(
    dataset: PublishedDataset,
    folder: DatasetFolder,
    protocol: Protocol,
    frame: pd.DataFrame,
    label: str,
    skip_missing: bool,
) -> ImageData:
    """All images of the lists, in their order, with the split in the metadata."""
    files, missing = [], []
    for origin, path in zip(frame["origin"], frame["path"], strict=True):
        try:
            files.append(folder.root / folder.find_image(path))
        except LookupError as error:
            files.append(None)
            missing.append(f"{origin}: {error.args[0]}")
    if missing:
        message = (
            f"{dataset.name}, protocol {protocol.name!r}: {len(missing)} of {len(frame)} images "
            f"are missing or ambiguous among the {len(folder.images)} under {folder.root}:"
            f"{listed(missing)}"
        )
        if not skip_missing or len(missing) == len(frame):
            raise FileNotFoundError(f"{message}\n(skip_missing=True leaves them out)")
        warnings.warn(f"left out: {message}", stacklevel=STACKLEVEL + 1)
    frame = _without_copies(frame.assign(file=files).dropna(subset="file"), label)
    files = frame.pop("file").tolist()
    frame = frame.reset_index(drop=True)
    task = dataset.make_task(protocol.labels[label], _largest(frame[label]))
    values = _parse_labels(task, protocol, frame, label)
    groups = frame["group"].to_numpy(dtype=str) if "group" in frame else None
    return ImageData(
        task=task, images=files, values=values, metadata=frame, split="all", groups=groups,
        fingerprint=content_hash(task.name, *map(file_signature, files), values.tobytes()),
    )  # fmt: skip


def _without_copies(frame: pd.DataFrame, label: str) -> pd.DataFrame:
    """Drop entries of an image that repeat another one of the same split and category.

    An image in two splits stays in both, as published, and is warned of.
    """
    keys = [name for name in ("file", "split", "category") if name in frame]
    again = frame.duplicated(keys)
    if not again.any():
        return frame
    repeated = frame[frame.duplicated(keys, keep=False)]
    different = repeated.groupby(keys, sort=False)[label].nunique() > 1
    for key in different.index[different][:1]:
        same = repeated.set_index(keys).loc[[key]]
        rows = zip(same["origin"], same[label], strict=True)
        both = " and ".join(f"{origin}: {value}" for origin, value in rows)
        raise ValueError(f"an image has two labels ({both}); remove one")
    first = frame[again].iloc[0]
    warnings.warn(
        f"{again.sum()} entries repeat an image with the same label ({first['origin']}, ...): they "
        "are left out",
        stacklevel=STACKLEVEL + 2,
    )
    return frame[~again]


def _largest(labels: pd.Series) -> float:
    return float(pd.to_numeric(labels, errors="coerce").max())


def _parse_labels(
    task: OrdinalTask, protocol: Protocol, frame: pd.DataFrame, label: str
) -> np.ndarray:
    values, errors = np.full(len(frame), np.nan), []
    for index, (origin, text) in enumerate(zip(frame["origin"], frame[label], strict=True)):
        try:
            values[index] = task.parse_label(text, origin, first_label=protocol.first_label)
        except ValueError as error:
            errors.append(str(error))
    if errors:
        lowest = protocol.first_label
        codes = "" if lowest is None else f", and {lowest} to {lowest + task.num_ranks - 1} in it"
        raise ValueError(
            f"{len(errors)} of {len(frame)} labels are invalid: remove these entries from the list "
            f"(valid are the task's labels{codes}):{listed(errors)}"
        )
    return values


def _split(protocol: Protocol, data: ImageData, fold: int) -> tuple[dict[str, ImageData], int]:
    """Splits by name, and the number of folds."""
    num_folds = protocol.folds
    if protocol.splits == "published":
        names = data.metadata["split"]
        indices = {name: np.flatnonzero(names == name) for name in names.unique()}
        missing = [name for name in ("train", "test") if name not in indices]
        if missing:
            raise ValueError(f"the lists have no images for {' and '.join(missing)}")
        indices = {name: indices[name] for name in ("train", "val", "test") if name in indices}
    elif num_folds == LEAVE_ONE_GROUP_OUT:
        indices, num_folds = leave_one_group_out(data, fold, protocol.group)
    else:
        indices = stratified_folds(data, fold, num_folds)
    return {name: data.subset(part, name) for name, part in indices.items()}, num_folds


def _warn_about_leaks(splits: dict[str, ImageData], protocol: Protocol) -> None:
    """Warn of test images of a group that is in train, and of images in both."""
    train, test = splits["train"], splits["test"]
    if train.groups is not None:
        _warn_shared(test.groups, train.groups, f"a {protocol.group} that is in train")
    elif protocol.splits == "published":
        _warn_shared(test.images, train.images, "an entry in train")


def _warn_shared(test: Iterable, train: Iterable, what: str) -> None:
    test, train = list(test), set(train)
    shared = sum(item in train for item in test)
    if shared:
        share = f"{shared:,} of {len(test):,} test images ({shared / len(test):.0%})"
        warnings.warn(
            f"{share} have {what}: results on them will be too optimistic",
            stacklevel=STACKLEVEL + 1,
        )

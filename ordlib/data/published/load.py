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
    """The data sets that :func:`load_published` reads, a row for each protocol.

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
) -> PublishedSplits | ImageData:
    """Load a data set of the papers, with the splits of one of its protocols.

    Lists and images may lie anywhere under the root folder; paths in lists are matched by their
    longest tail that exists there. Images are opened when they are used, or by
    ``ordlib data check NAME ROOT``. Warnings say how many test images share a group, such as a
    person, with training images.

    Args:
        name: one of `list_published`: "adience", "morph", "utkface", "clap2015", "clap2016",
            "fgnet", "cacd", "hci", "aesthetics", "koniq", "ava", "aadb", "coco_count".
        root: folder with the images and lists, which you download yourself.
        protocol: which splits; default: the first one whose lists are there.
        split: "train", "val" or "test"; None returns all.
        fold: number of the fold, of protocols with folds; default: 0.
        category: subset of "aesthetics" or kind of object of "coco_count"; None takes all, and
            ``metadata["category"]`` tells them apart.
        label: which label, where there are several: "MOS" or "MOS_zscore" (koniq), "apparent" or
            "real" (clap2016).

    Returns:
        The splits by name, which also name the choices made, or one of them. Metadata has all
        columns of the lists; groups are subjects where the data set has any.

    Raises:
        FileNotFoundError: lists or images are missing; says which and where they were looked for.
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
    chosen = _choose_protocol(dataset, folder, protocol)
    label = next(iter(chosen.labels)) if label is None else label
    check_choice(f"label of protocol {chosen.name!r}", label, chosen.labels)
    fold, frame = _read(dataset, folder, chosen, fold)
    frame = _select_category(dataset, frame, category)
    data = _as_data(dataset, folder, chosen, frame, label)
    splits, num_folds = _split(chosen, data, fold)
    if split is not None:
        check_choice(f"split of protocol {chosen.name!r}", split, splits)
    _warn_about_leaks(splits, chosen)
    fold = fold if num_folds else None
    result = PublishedSplits(splits, dataset, chosen, fold, num_folds, category, label)
    return result if split is None else result[split]


def check_published(name: str, root: str | os.PathLike) -> list[str]:
    """Check which protocols of a data set can be loaded from a folder, and decode all images.

    Returns:
        Lines of a report: for each protocol, its splits or what is missing.

    Raises:
        FileNotFoundError: no protocol can be loaded; the message shows the expected layout.
        OSError: an image cannot be read.
    """
    check_choice("name", name, DATASETS)
    dataset, folder = DATASETS[name], DatasetFolder(root)
    lines, loaded = [f"{len(folder.images)} images in {folder.root}"], []
    for protocol in dataset.protocols:
        try:
            with warnings.catch_warnings(record=True, action="always") as caught:
                splits = load_published(name, root, protocol=protocol.name)
        except (OSError, ValueError) as error:
            problem = str(error).removesuffix(f"\n{dataset.layout()}")
            lines.append(f"protocol {protocol.name!r}: not complete: {problem}")
            continue
        loaded.append(splits)
        lines.append(f"protocol {protocol.name!r}: {splits}")
        lines += [f"  {warning.message}" for warning in caught]
    if not loaded:
        raise FileNotFoundError("\n".join([*lines, "", dataset.layout()]))
    for data in loaded[0].values():
        data.check_files()
    return [*lines, "all images of the first of them can be decoded"]


def _choose_protocol(
    dataset: PublishedDataset, folder: DatasetFolder, name: str | None
) -> Protocol:
    protocols = {protocol.name: protocol for protocol in dataset.protocols}
    if name is not None:
        check_choice(f"protocol of {dataset.name}", name, protocols)
        return protocols[name]
    complete = [p for p in dataset.protocols if folder.has_lists(p.list_names())]
    if complete:
        return complete[0]
    try:  # Names what the first protocol lacks, then shows the layout.
        folder.find_lists(dataset.protocols[0].list_names())
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{dataset.name}: {error}\n{dataset.layout()}") from None
    raise AssertionError("has_lists and find_lists disagree")


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
) -> ImageData:
    """All images of the lists, in their order, with the split in the metadata."""
    task = dataset.make_task(protocol.labels[label], _largest(frame[label]))
    files, missing = [], []
    for origin, path in zip(frame["origin"], frame["path"], strict=True):
        try:
            files.append(folder.root / folder.find_image(path))
        except LookupError as error:
            missing.append(f"{origin}: {error.args[0]}")
    if missing:
        raise FileNotFoundError(
            f"{dataset.name}, protocol {protocol.name!r}: {len(missing)} of {len(frame)} images "
            f"are not found among the {len(folder.images)} under {folder.root}:{listed(missing)}"
        )
    values = _parse_labels(task, protocol, frame, label)
    groups = frame["group"].to_numpy(dtype=str) if "group" in frame else None
    return ImageData(
        task=task, images=files, values=values, metadata=frame, split="all", groups=groups,
        fingerprint=content_hash(task.name, *map(file_signature, files), values.tobytes()),
    )  # fmt: skip


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
        count = f"{len(errors)} of {len(frame)} labels"
        raise ValueError(f"protocol {protocol.name!r}: {count} are invalid:{listed(errors)}")
    return values


def _split(protocol: Protocol, data: ImageData, fold: int) -> tuple[dict[str, ImageData], int]:
    """Splits by name, and the number of folds."""
    num_folds = protocol.folds
    if protocol.splits == "published":
        names = data.metadata["split"]
        indices = {name: np.flatnonzero(names == name) for name in names.unique()}
        indices = {name: indices[name] for name in ("train", "val", "test") if name in indices}
    elif num_folds == LEAVE_ONE_GROUP_OUT:
        indices, num_folds = leave_one_group_out(data, fold, protocol.group)
    else:
        indices = stratified_folds(data, fold, num_folds)
    return {name: data.subset(part, name) for name, part in indices.items()}, num_folds


def _warn_about_leaks(splits: dict[str, ImageData], protocol: Protocol) -> None:
    """Warn of test images of a group that is in train, and of images in both."""
    if not {"train", "test"} <= splits.keys():
        return
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

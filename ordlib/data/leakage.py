"""Warnings about labels, groups and splits that make results misleading."""

import warnings
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..tasks import OrdinalTask
from .dataset import ImageData
from .image_index import content_hashes

STACKLEVEL = 4  # The caller of load_folder or fit.


def warn_about_labels(data: ImageData) -> None:
    """Warn of integer labels that are no rank, and of groups that repeat the labels."""
    task, values = data.task, data.values
    between = np.setdiff1d(values, task.rank_values)
    if len(between) and (values == values.round()).all():
        count = int(np.isin(values, between).sum())
        _warn(
            f"label {between[0]:g} of task {task.name!r} is no rank; {count} such labels count as "
            "the nearest rank: add them to values if they are ranks"
        )
    if data.groups is not None:
        pairs = {(group, value) for group, value in zip(data.groups, values, strict=True)}
        if len(pairs) == len(set(data.groups)) == len(set(values)) < len(values):
            _warn("each group has one label and each label one group: is it the label column?")


def warn_about_copies(data: ImageData) -> None:
    """Warn of copies of an image (by content) with different labels, and of two names of a file.

    Example:
        >>> from ordlib import load_data
        >>> warn_about_copies(load_data("dating", "val", num_images=20))
    """
    files = {i: image for i, image in enumerate(data.images) if isinstance(image, Path)}
    status = {i: file.stat() for i, file in files.items()}
    by_file = _same({i: (s.st_dev, s.st_ino) for i, s in status.items()})
    if by_file:
        names = " and ".join(str(files[i]) for i in by_file[0][:2])
        _warn(f"{len(by_file)} files have two names ({names}, ...): they count twice")
    alike = [i for group in _same({i: s.st_size for i, s in status.items()}) for i in group]
    contents = dict(zip(alike, content_hashes([files[i] for i in alike]), strict=True))
    copies = [group for group in _same(contents) if len(set(data.values[group])) > 1]
    if copies:
        labels = " and ".join(f"{files[i]}: {data.values[i]:g}" for i in copies[0])
        _warn(f"{len(copies)} images have copies (by content) with other labels ({labels}, ...)")


def _same(keys: Mapping[int, Hashable]) -> list[list[int]]:
    """Indices with equal keys, if there are several."""
    groups = defaultdict(list)
    for index, key in keys.items():
        groups[key].append(index)
    return [group for group in groups.values() if len(group) > 1]


def warn_about_splits(parts: Mapping[str, ImageData]) -> None:
    """Warn of groups and images (by content) in two splits, and of ranks without training images.

    Example:
        >>> from ordlib import load_data
        >>> data = load_data("dating", "val", num_images=20)
        >>> warn_about_splits({"train": data.subset(range(10)), "test": data.subset([10, 11])})
    """
    groups = {name: set(() if p.groups is None else p.groups) for name, p in parts.items()}
    _warn_shared(groups, "groups")
    files = {name: [f for f in p.images if isinstance(f, Path)] for name, p in parts.items()}
    _warn_shared(_content_by_split(files), "images (by content)")
    train = next((part for name, part in parts.items() if name.lower().startswith("train")), None)
    if train is not None:
        _warn_unused_ranks(train.task, train.ranks)


def warn_about_validation(train: Iterable[ImageData], val: Iterable[ImageData]) -> None:
    """Warn of validation images that are all training images: selection would reward overfitting.

    Example:
        >>> from ordlib import load_data
        >>> data = load_data("dating", "val", num_images=20)
        >>> warn_about_validation([data.subset(range(10))], [data.subset([10, 11])])
    """
    fingerprints = {data.fingerprint for data in train}
    paths = {path for data in train for path in data.images if isinstance(path, Path)}
    for data in val:
        if data.fingerprint in fingerprints or paths.issuperset(map(_path_or_none, data.images)):
            _warn(
                f"all validation images of task {data.task.name!r} are training images: the epoch "
                "that fits them best is not the one that generalizes best; validate on others"
            )


def warn_about_calibration(seen: Iterable[ImageData], calibration: Iterable[ImageData]) -> None:
    """Warn of calibration images that training or early stopping sees: intervals too narrow.

    Example:
        >>> from ordlib import load_data
        >>> data = load_data("dating", "val", num_images=20)
        >>> warn_about_calibration([data.subset(range(10))], [data.subset([10, 11])])
    """
    keys = {key for data in seen for key in data.image_keys}
    for data in calibration:
        if count := sum(key in keys for key in data.image_keys):
            _warn(
                f"{count} of {len(data)} calibration images of task {data.task.name!r} are also "
                "training or validation images: the prediction intervals will be too narrow"
            )


def _path_or_none(image: np.ndarray | Path) -> Path | None:
    return image if isinstance(image, Path) else None


def _warn_unused_ranks(task: OrdinalTask, ranks: np.ndarray) -> None:
    unused = [task.rank_label(r) for r in np.setdiff1d(np.arange(task.num_ranks), ranks)]
    if unused:
        _warn(
            f"{len(unused)} of {task.num_ranks} ranks of task {task.name!r} have no training "
            f"images: {', '.join(unused[:10])}{' ...' * (len(unused) > 10)}"
        )


def _warn_shared(members: Mapping[str, set | Mapping], what: str) -> None:
    names = list(members)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            shared = sorted(set(members[a]) & set(members[b]))
            if shared:
                first = shared[0]
                if isinstance(members[a], Mapping):
                    first = f"{members[a][first]} and {members[b][first]}"
                _warn(
                    f"{len(shared)} {what} are in both {a!r} and {b!r} ({first}, ...): "
                    "results on one will be too optimistic"
                )


def _content_by_split(files: Mapping[str, Sequence[Path]]) -> dict[str, dict[str, str]]:
    """File name by content hash, per split, of files of a size that occurs in another split."""
    splits_by_size = defaultdict(set)
    for name, paths in files.items():
        for path in paths:
            splits_by_size[path.stat().st_size].add(name)
    contents = {}
    for name, paths in files.items():
        alike = [path for path in paths if len(splits_by_size[path.stat().st_size]) > 1]
        names = [path.name for path in alike]
        contents[name] = dict(zip(content_hashes(alike), names, strict=True))
    return contents


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=STACKLEVEL)

"""What is known of a published data set: its files, protocols, labels and origin."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from ...tasks import OrdinalTask, load_task
from .dataset_folder import DatasetFolder

LEAVE_ONE_GROUP_OUT = -1
Reader = Callable[[DatasetFolder, int], pd.DataFrame]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a paper or a release splits and labels a data set.

    Attributes:
        name: name of the protocol.
        description: where it comes from, and what is special about it.
        lists: list files that it needs, found by name; ``{fold}`` stands for the number of a fold.
        read: reads them for a fold: a row for each image, with the columns "path" and "origin", a
            column for each label, and optionally "split", "group", "category", "std" and others.
        labels: task by label; the first is the default.
        folds: number of folds; 0 for a single split, -1 for as many as there are groups.
        splits: "published", or "ours" where none are: stratified folds, with groups kept together.
        group: what a group is, for messages.
        first_label: of named ranks, the number of the lowest one.
    """

    name: str
    description: str
    read: Reader
    labels: Mapping[str, str]
    lists: tuple[str, ...] = ()
    folds: int = 0
    splits: Literal["published", "ours"] = "published"
    group: str = "group"
    first_label: int | None = None

    def list_names(self, fold: int = 0) -> list[str]:
        """Names of the list files of a fold."""
        return [name.format(fold=fold) for name in self.lists]


@dataclass(frozen=True, kw_only=True)
class PublishedDataset:
    """A data set of the papers.

    Attributes:
        name: short name, as in ``load_published(name, root)``.
        title: full name.
        source: what to download and from whom.
        images: how the images are named.
        protocols: the first one with all of its list files is the default.
        categories: names of the subsets on which papers train and report separately.
        make_task: task of a label name and the largest label.
    """

    name: str
    title: str
    source: str
    images: str
    protocols: tuple[Protocol, ...]
    categories: tuple[str, ...] = ()
    make_task: Callable[[str, float], OrdinalTask] = lambda name, largest: load_task(name)

    def layout(self) -> str:
        """What a complete folder contains, as text."""
        lines = [f"{self.title}: {self.source}", f"  images: {self.images}"]
        for protocol in self.protocols:
            lists = ", ".join(name.replace("{fold}", "<fold>") for name in protocol.lists)
            lists = lists or "no list"
            lines.append(f"  protocol {protocol.name!r}: {lists}. {protocol.description}")
        return "\n".join(lines)

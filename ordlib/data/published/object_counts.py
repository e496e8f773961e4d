"""Published object counts: COCO, as a table or as annotation files.

[release]: read from a list of a paper's release; [data]: the data set's own format; [ours]: our
choice, where none is published.
"""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ...tasks import OrdinalTask, load_task
from ...tasks.builtin import in_words
from .dataset_folder import DatasetFolder
from .list_formats import read_columns
from .protocol import Protocol, PublishedDataset

_FIELDS = ("images", "annotations", "categories")


def _table(folder: DatasetFolder, fold: int) -> pd.DataFrame:
    """A row for each image and kind of object; an image may have several."""
    (file,) = folder.find_lists(["example-count-df.csv"])
    columns = ["filepath", "title", "cname", "value", "sample_weights_by_class"]
    frame = read_columns(file, columns)
    names = {"title": "prompt", "cname": "category", "sample_weights_by_class": "weight"}
    frame = frame.rename(columns=names).astype({"weight": float})
    return frame.assign(group=frame["path"])


def _annotations(*names: str):
    """Reader of annotation files, the first of which is the training split."""

    def read(folder: DatasetFolder, fold: int) -> pd.DataFrame:
        files = folder.find_lists(names)
        parts = [
            count_objects(file).assign(split=split)
            for file, split in zip(files, ("train", "test"), strict=True)
        ]
        return pd.concat(parts, ignore_index=True)

    return read


def count_objects(file: Path) -> pd.DataFrame:
    """Number of objects of each kind in each image of a COCO annotation file.

    Crowds (``iscrowd``) are regions of many objects, which nobody counted: an image with one is
    left out for that kind. Kinds that an image does not show have no row.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        images = {image["id"]: image["file_name"] for image in content["images"]}
        names = {category["id"]: category["name"] for category in content["categories"]}
        pairs = [(a["image_id"], a["category_id"]) for a in content["annotations"]]
        crowds = {
            (a["image_id"], a["category_id"]) for a in content["annotations"] if a.get("iscrowd")
        }
        rows = [
            (images[image], file.name, names[category], count, images[image])
            for (image, category), count in sorted(Counter(pairs).items())
            if (image, category) not in crowds
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{file}: is no COCO annotation file ({type(error).__name__}: {error}); it must have "
            f"{', '.join(_FIELDS)}"
        ) from error
    if not rows:
        raise ValueError(f"{file}: contains no annotations")
    return pd.DataFrame(rows, columns=["path", "origin", "category", "value", "group"])


def _make_task(name: str, largest: float) -> OrdinalTask:
    """Counts up to the largest label, which may exceed 20."""
    task = load_task(name)
    if largest <= task.range[1]:
        return task
    ranks = range(int(largest) + 1)
    names = {"values": tuple(ranks), "rank_names": in_words(ranks), "upper_edge": ranks[-1]}
    return replace(task, **names)


def _coco(name: str, description: str, *lists: str, **settings) -> Protocol:
    return Protocol(
        name=name, description=description, lists=lists, labels={"value": "object_count"},
        group="image", **settings,
    )  # fmt: skip


COCO_COUNT = PublishedDataset(
    name="coco_count",
    title="Object counts in COCO (Lin et al., 2014)",
    source="images of COCO 2017; the table from the release of the ranking-aware adapter, or "
    "annotations of COCO or COCO-ReM (Singh et al., 2024)",
    images="<12 digits>.jpg, in any folder",
    protocols=(
        _coco(
            "table", "The ranking-aware adapter's example table; its split is not published.",
            "example-count-df.csv", read=_table, folds=5, splits="ours",
        ),
        _coco(
            "COCO-ReM", "Counts of its annotations; val2017 is the test split.",
            "instances_trainrem.json", "instances_valrem.json",
            read=_annotations("instances_trainrem.json", "instances_valrem.json"),
        ),
        _coco(
            "COCO", "Counts of its annotations; val2017 is the test split.",
            "instances_train2017.json", "instances_val2017.json",
            read=_annotations("instances_train2017.json", "instances_val2017.json"),
        ),
    ),
    make_task=_make_task,
)  # fmt: skip

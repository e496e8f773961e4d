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
from ..text_files import read_text
from .dataset_folder import DatasetFolder
from .list_formats import read_columns
from .protocol import Protocol, PublishedDataset
from .readers import parse_floats

MAX_COUNT = 999  # the largest number that has a name in prompts
_FIELDS = ("images", "annotations", "categories")


def _table(folder: DatasetFolder, fold: int) -> pd.DataFrame:
    """A row for each image and kind of object; an image may have several."""
    (file,) = folder.find_lists(["example-count-df.csv"])
    columns = ["filepath", "title", "cname", "value", "sample_weights_by_class"]
    frame = read_columns(file, columns)
    names = {"title": "prompt", "cname": "category", "sample_weights_by_class": "weight"}
    frame = frame.rename(columns=names)
    weight, counts = parse_floats(frame, "weight", -1), parse_floats(frame, "value", -1)
    check_counts(frame["origin"], counts)
    return frame.assign(weight=weight, group=frame["path"])


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
        content = json.loads(read_text(file))
        images = {image["id"]: str(image["file_name"]) for image in content["images"]}
        names = {category["id"]: category["name"] for category in content["categories"]}
        pairs = [
            (a["image_id"], a["category_id"], bool(a.get("iscrowd")))
            for a in content["annotations"]
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{file}: is no COCO annotation file ({type(error).__name__}: {error}); it must have "
            f"{', '.join(_FIELDS)}"
        ) from error
    for index, (image, category, _) in enumerate(pairs):
        for name, value, known in (("image_id", image, images), ("category_id", category, names)):
            if value not in known:
                kind = "images" if known is images else "categories"
                raise ValueError(f"{file}, annotation {index}: {name} {value!r} is not in {kind}")
    crowds = {(image, category) for image, category, is_crowd in pairs if is_crowd}
    counts = Counter((image, category) for image, category, _ in pairs)
    rows = [
        (images[image], file.name, names[category], count, images[image])
        for (image, category), count in counts.items()
        if (image, category) not in crowds
    ]
    if not rows:
        raise ValueError(f"{file}: contains no annotations")
    frame = pd.DataFrame(rows, columns=["path", "origin", "category", "value", "group"])
    check_counts(frame["origin"], frame["value"])
    return frame.sort_values(["path", "category"], ignore_index=True)


def check_counts(origins: pd.Series, counts: pd.Series) -> None:
    """Raise ValueError for counts that are not whole, or that nobody can have counted."""
    invalid = (counts != counts.round()) | (counts > MAX_COUNT)
    if invalid.any():
        row = int(invalid.argmax())
        raise ValueError(
            f"{origins[row]}, value {counts[row]:g}: must be a whole number from 0 to {MAX_COUNT}"
        )


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

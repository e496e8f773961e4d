"""Published data sets of photographs: decades, aesthetics, quality.

[release]: read from a list of a paper's release; [data]: the data set's own format; [ours]: our
choice, where none is published.
"""

import re

import numpy as np
import pandas as pd

from ...tasks.builtin import DECADES
from .dataset_folder import DatasetFolder
from .list_formats import read_columns, read_id_split, read_list, read_numbers
from .protocol import Protocol, PublishedDataset
from .readers import (
    check_unique,
    leave_out,
    parse_floats,
    parse_splits,
    read_labelled_ids,
    read_split_lists,
    warn_about_names,
)

_DECADE = re.compile(r"19[3-7]0s")
_SPLITS = ("train", "val", "test")


def _hci_lists(folder: DatasetFolder, fold: int) -> pd.DataFrame:
    files = folder.find_lists(f"{decade}.txt" for decade in DECADES)
    return _with_decades(pd.concat(map(read_list, files), ignore_index=True))


def _hci_fold(folder: DatasetFolder, fold: int) -> pd.DataFrame:
    lists = {f"fold_{fold}/{split}.txt": split for split in _SPLITS}
    return _with_decades(read_split_lists(folder, lists))


def _with_decades(frame: pd.DataFrame) -> pd.DataFrame:
    """Compare the labels with the decades in the file names, where these have any."""
    codes = {str(k): decade for k, decade in enumerate(DECADES, start=1)}
    named = frame["path"].str.extract(rf"({_DECADE.pattern})_[^\\/]*$")[0]
    rows = frame[named.notna()].reset_index(drop=True)
    warn_about_names(rows, rows["label"].replace(codes), named.dropna().reset_index(drop=True))
    return frame


def _hci_images(folder: DatasetFolder, fold: int) -> pd.DataFrame:
    decades = {path: _DECADE.findall(path) for path in folder.images}
    others = [path for path, found in decades.items() if not found]
    if len(others) == len(decades):
        raise FileNotFoundError(f"no image in {folder.root} has a decade in its path: 1930s/a.jpg")
    if others:
        leave_out(others, "have no decade in their path")
    for path, found in decades.items():
        if len(set(found)) > 1:
            raise ValueError(f"{path!r}: names two decades; move it to one folder")
    rows = [(path, path, found[-1]) for path, found in decades.items() if found]
    frame = pd.DataFrame(rows, columns=["path", "origin", "label"])
    check_unique(frame.assign(name=frame["path"].str.rpartition("/")[2]), ["name"])
    return frame


def _hci_ids(folder: DatasetFolder, fold: int) -> pd.DataFrame:
    """Ids such as decade_<hex>, where images may be named 1930s_decade_<hex>.jpg."""
    (split,) = folder.find_lists(["HCI-split.json"])
    images = _hci_images(folder, fold)
    ids = images["path"].str.extract(r"(decade_[0-9a-fA-F]+)\.\w+$")[0].str.casefold()
    by_id = images.assign(path=images["path"], id=ids).dropna(subset="id").set_index("id")
    frame = read_id_split(split)
    missing = frame.loc[~frame["path"].str.casefold().isin(by_id.index), "path"].tolist()
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(frame)} images of {split.name} are not in {folder.root}: "
            f"{missing[0]}, ..."
        )
    found = by_id.loc[frame["path"].str.casefold()]
    return frame.assign(path=found["path"].to_numpy(), label=found["label"].to_numpy())


HCI = PublishedDataset(
    name="hci",
    title="Historical Color Images (Palermo, Hays and Efros, 2012)",
    source="images from the authors at Carnegie Mellon University; lists from the releases of "
    "NumCLIP, L2RCLIP and the ranking-aware adapter",
    images="1930s_decade_<32 hex digits>.jpg, or in folders 1930s to 1970s",
    protocols=(
        Protocol(
            name="NumCLIP",
            description="NumCLIP's folds (one of them is in its release); labels 1 to 5, as its "
            "code subtracts 1.",
            lists=tuple(f"fold_{{fold}}/{split}.txt" for split in _SPLITS), read=_hci_fold,
            labels={"label": "hci"}, folds=10, first_label=1,
        ),
        Protocol(
            name="ranking adapter", description="The ranking-aware adapter's split.",
            lists=("HCI-split.json",), read=_hci_ids, labels={"label": "hci"},
        ),
        Protocol(
            name="L2RCLIP",
            description="L2RCLIP's five lists have no split; the papers use ten folds.",
            lists=tuple(f"{decade}.txt" for decade in DECADES), read=_hci_lists,
            labels={"label": "hci"}, folds=10, splits="ours",
        ),
        Protocol(
            name="images", description="No list: the decade is in the path; ten folds.",
            read=_hci_images, labels={"label": "hci"}, folds=10, splits="ours",
        ),
    ),
)  # fmt: skip
AESTHETIC_CATEGORIES = ("animals", "nature", "people", "urban")


def _aesthetics(folder: DatasetFolder, fold: int) -> pd.DataFrame:
    return pd.concat(
        [
            read_split_lists(
                folder,
                {f"{category}_{split}.txt": split for split in ("train", "test")},
                {"category": category},
            )
            for category in AESTHETIC_CATEGORIES
        ],
        ignore_index=True,
    )


AESTHETICS = PublishedDataset(
    name="aesthetics",
    title="Image aesthetics, Flickr (Schifanella, Redi and Aiello, 2015)",
    source="images from Flickr, by the ids of the authors; lists from L2RCLIP's release",
    images="<photo>.png",
    categories=AESTHETIC_CATEGORIES,
    protocols=(
        Protocol(
            name="L2RCLIP",
            description="L2RCLIP's split; grades 1.0 to 5.0. The papers train one model per "
            "category.",
            lists=tuple(f"{c}_{s}.txt" for c in AESTHETIC_CATEGORIES for s in ("train", "test")),
            read=_aesthetics, labels={"label": "aesthetics"}, first_label=1,
        ),
    ),
)  # fmt: skip
_KONIQ_SCORES = "koniq10k_scores_and_distributions.csv"
_KONIQ_SETS = "koniq10k_distributions_sets.csv"
_KONIQ_LABELS = {"MOS": "koniq", "MOS_zscore": "koniq_100"}


def _koniq_sets(folder: DatasetFolder, fold: int) -> pd.DataFrame:
    (file,) = folder.find_lists([_KONIQ_SETS])
    frame = read_columns(file, ["image_name", "MOS", "SD", "set"])
    split, std = parse_splits(frame, "set"), parse_floats(frame, "SD", -1)
    return frame.assign(split=split, std=std)


def _koniq_scores(folder: DatasetFolder, fold: int) -> pd.DataFrame:
    (file,) = folder.find_lists([_KONIQ_SCORES])
    frame = read_columns(file, ["image_name", "MOS", "SD", "MOS_zscore"])
    return frame.assign(std=parse_floats(frame, "SD", -1))


def _koniq_ids(folder: DatasetFolder, fold: int) -> pd.DataFrame:
    (split,) = folder.find_lists(["koniqa-split.json"])
    return read_labelled_ids(folder, split, _koniq_scores(folder, fold))


KONIQ = PublishedDataset(
    name="koniq",
    title="KonIQ-10k (Hosu, Lin, Sziranyi and Saupe, 2020)",
    source="images and tables from the University of Konstanz; a split from the release of the "
    "ranking-aware adapter",
    images="<number>.jpg",
    protocols=(
        Protocol(
            name="sets",
            description="The data set's own splits. Here MOS is on a scale to 100, by a reader's "
            "notes.",
            lists=(_KONIQ_SETS,), read=_koniq_sets, labels={"MOS": "koniq_100"},
        ),
        Protocol(
            name="ranking adapter", description="The ranking-aware adapter's split.",
            lists=("koniqa-split.json", _KONIQ_SCORES), read=_koniq_ids, labels=_KONIQ_LABELS,
        ),
        Protocol(
            name="scores", description="The table without splits.", lists=(_KONIQ_SCORES,),
            read=_koniq_scores, labels=_KONIQ_LABELS, folds=5, splits="ours",
        ),
    ),
)  # fmt: skip
MAX_VOTES = 1_000_000  # of an image for a score: more is a mistake
_AVA_COLUMNS = (
    "index",
    "image",
    *(f"votes_{k}" for k in range(1, 11)),
    "tag_1",
    "tag_2",
    "challenge",
)


def _ava(folder: DatasetFolder, fold: int) -> pd.DataFrame:
    """Mean and standard deviation of the votes from 1 to 10."""
    (file,) = folder.find_lists(["AVA.txt"])
    frame = read_numbers(file, _AVA_COLUMNS)
    votes, scores = frame.filter(like="votes_").to_numpy(), np.arange(1, 11)
    counts = votes.sum(axis=1)
    valid = ((votes >= 0) & (votes <= MAX_VOTES) & (votes == votes.round())).all(axis=1)
    valid &= counts > 0
    if not valid.all():
        row = int(np.argmin(valid))
        raise ValueError(
            f"{frame['origin'][row]}: votes {votes[row].tolist()}: must be whole numbers from 0 to "
            f"{MAX_VOTES:,}, not all 0"
        )
    mean = votes @ scores / counts
    variance = (votes * (scores - mean[:, None]) ** 2).sum(axis=1) / counts
    return pd.DataFrame({
        "path": frame["image"].astype(int).astype(str) + ".jpg", "origin": frame["origin"],
        "mean": mean, "std": np.sqrt(variance), "num_votes": counts.astype(int),
        "challenge": frame["challenge"].astype(int),
    })  # fmt: skip


def _ava_ids(folder: DatasetFolder, fold: int) -> pd.DataFrame:
    (split,) = folder.find_lists(["AVA-split.json"])
    return read_labelled_ids(folder, split, _ava(folder, fold))


AVA = PublishedDataset(
    name="ava",
    title="AVA (Murray, Marchesotti and Perronnin, 2012)",
    source="images by their ids, and AVA.txt, from the authors; a split from the release of the "
    "ranking-aware adapter",
    images="<image id>.jpg",
    protocols=(
        Protocol(
            name="ranking adapter", description="The ranking-aware adapter's split.",
            lists=("AVA-split.json", "AVA.txt"), read=_ava_ids, labels={"mean": "ava"},
        ),
        Protocol(
            name="votes", description="The table without a split.", lists=("AVA.txt",), read=_ava,
            labels={"mean": "ava"}, folds=5, splits="ours",
        ),
    ),
)  # fmt: skip
_AADB_LISTS = {
    "imgListTrainRegression_score.txt": "train",
    "imgListValidationRegression_score.txt": "val",
    "imgListTestNewRegression_score.txt": "test",
}
AADB = PublishedDataset(
    name="aadb",
    title="AADB (Kong, Shen, Lin, Mech and Fowlkes, 2016)",
    source="images and lists from the project page of the authors",
    images="<name>.jpg",
    protocols=(
        Protocol(
            name="lists", description="The data set's own splits; scores from 0 to 1.",
            lists=tuple(_AADB_LISTS), labels={"label": "aadb"},
            read=lambda folder, fold: read_split_lists(folder, _AADB_LISTS),
        ),
    ),
)  # fmt: skip
PHOTOGRAPHS = (HCI, AESTHETICS, KONIQ, AVA, AADB)

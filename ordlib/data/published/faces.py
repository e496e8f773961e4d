"""Published data sets of faces: Adience, MORPH II, UTKFace, CLAP, FG-NET, CACD.

[release]: read from a list of a paper's release; [data]: the data set's own format; [ours]: our
choice, where none is published.
"""

import pandas as pd

from .dataset_folder import DatasetFolder
from .list_formats import read_columns
from .protocol import LEAVE_ONE_GROUP_OUT, Protocol, PublishedDataset
from .readers import (
    add_name_parts,
    leave_out,
    parent_folder,
    parse_floats,
    parse_splits,
    read_folds,
    read_labelled_ids,
    read_names,
    read_split_lists,
    warn_about_names,
)

# L2RCLIP's loader leaves older persons out [release]; above the second it is no age.
MAX_MORPH_AGE, MAX_AGE = 77, 120
_MORPH_NAME = r"(?P<subject>[^_]+)_(?P<photo>\w*?)(?P<sex>[MF])(?P<age_in_name>\d+)"
_ADIENCE_LISTS = tuple(f"simplified_adience_{k}.txt" for k in range(5))


def _adience(folder: DatasetFolder, fold: int) -> pd.DataFrame:
    frame = read_folds(folder, _ADIENCE_LISTS, fold)
    return frame.assign(group=frame["path"].map(parent_folder))


def _adience_ids(folder: DatasetFolder, fold: int) -> pd.DataFrame:
    (split,) = folder.find_lists(["Adience-split.json"])
    return read_labelled_ids(folder, split, _adience(folder, fold))


ADIENCE = PublishedDataset(
    name="adience",
    title="Adience (Eidinger, Enbar and Hassner, 2014)",
    source="aligned faces from the Open University of Israel; lists from the releases of L2RCLIP "
    "and of the ranking-aware adapter",
    images="<flickr user>/landmark_aligned_face.<face>.<photo>_o.jpg",
    protocols=(
        Protocol(
            name="five folds",
            description="L2RCLIP's lists: leave one fold out, no Flickr user in two folds.",
            lists=_ADIENCE_LISTS, read=_adience, labels={"label": "adience"}, folds=5,
            group="Flickr user", first_label=0,
        ),
        Protocol(
            name="ranking adapter",
            description="The ranking-aware adapter's split; labels from L2RCLIP's lists.",
            lists=("Adience-split.json", *_ADIENCE_LISTS), read=_adience_ids,
            labels={"label": "adience"}, group="Flickr user", first_label=0,
        ),
    ),
)  # fmt: skip


def _with_morph_names(frame: pd.DataFrame) -> pd.DataFrame:
    """Subject and sex from the name: the lists code the sex in opposite ways."""
    frame = add_name_parts(frame, _MORPH_NAME, "<subject>_<photo>{M,F}<age>.JPG")
    ages = pd.to_numeric(frame["age"], errors="coerce")
    warn_about_names(frame, ages, frame["age_in_name"].astype(float))
    return frame.assign(group=frame["subject"])


def _morph_a(folder: DatasetFolder, fold: int) -> pd.DataFrame:
    names = [f"Setting_A_fold{fold}_{split}.txt" for split in ("train", "test")]
    parts = [read_columns(file, ["filename", "age"]) for file in folder.find_lists(names)]
    return _with_morph_names(
        pd.concat(
            [parts[0].assign(split="train"), parts[1].assign(split="test")], ignore_index=True
        )
    )


def _morph_b(folder: DatasetFolder, fold: int) -> pd.DataFrame:
    files = folder.find_lists(f"Setting_B_fold{k}.txt" for k in range(3))
    parts = [
        read_columns(file, ["filename", "age"]).assign(split="train" if k == fold else "test")
        for k, file in enumerate(files)
    ]
    return _with_morph_names(pd.concat(parts, ignore_index=True))


def _morph_folds(setting: str):
    def read(folder: DatasetFolder, fold: int) -> pd.DataFrame:
        frame = read_folds(folder, _morph_lists(setting), fold).rename(columns={"label": "age"})
        ages = parse_floats(frame, "age", -1)
        old = (ages > MAX_MORPH_AGE) & (ages <= MAX_AGE)
        if old.any():
            leave_out(frame.loc[old, "path"].tolist(), f"are older than {MAX_MORPH_AGE} years")
        return _with_morph_names(frame[~old].reset_index(drop=True))

    return read


def _morph_lists(setting: str) -> tuple[str, ...]:
    return tuple(f"morph_{setting}_0{k}.txt" for k in range(5))


def _morph_ordinalclip(folder: DatasetFolder, fold: int) -> pd.DataFrame:
    """Several labels an image: the middle one, as OrdinalCLIP takes it in tests."""
    lists = {"ET_proto_train.txt": "train", "ET_proto_val.txt": "test"}
    frame = read_split_lists(folder, lists).rename(columns={"label": "labels"})
    labels = frame["labels"].str.split()
    return _with_morph_names(frame.assign(age=[row[len(row) // 2] for row in labels]))


def _morph(name: str, description: str, lists, read, task: str = "morph", folds: int = 0):
    return Protocol(
        name=name, description=description, lists=lists, read=read, labels={"age": task},
        folds=folds, group="subject",
    )  # fmt: skip


MORPH = PublishedDataset(
    name="morph",
    title="MORPH Album 2 (Ricanek and Tesafaye, 2006)",
    source="images from the University of North Carolina Wilmington, under its licence; lists from "
    "the releases of L2RCLIP (A to D) and OrdinalCLIP",
    images="<subject>_<photo>{M,F}<age>.JPG",
    protocols=(
        _morph(
            "D", "L2RCLIP: five folds by subject, leave one out; 1.3 to 1.7 % of the test images "
            "have a subject in train.", _morph_lists("D"), _morph_folds("D"), folds=5,
        ),
        _morph(
            "A", "L2RCLIP: five folds, each a random 80 % for training, the rest for testing; "
            "most test images have a subject in train.",
            ("Setting_A_fold{fold}_train.txt", "Setting_A_fold{fold}_test.txt"), _morph_a, folds=5,
        ),
        _morph(
            "B", "L2RCLIP: three folds. We train on one and test on the other two; the lists do "
            "not say which.", tuple(f"Setting_B_fold{k}.txt" for k in range(3)), _morph_b, folds=3,
        ),
        _morph(
            "C", "L2RCLIP: five random folds, leave one out; 96 % of the images have a subject in "
            "other folds.", _morph_lists("C"), _morph_folds("C"), folds=5,
        ),
        _morph(
            "OrdinalCLIP", "OrdinalCLIP: 101 ranks. Its release validates on the test images.",
            ("ET_proto_train.txt", "ET_proto_val.txt"), _morph_ordinalclip,
            "morph_101",
        ),
    ),
)  # fmt: skip


def _utkface(folder: DatasetFolder, fold: int) -> pd.DataFrame:
    pattern = (
        r"(?P<age>\d+)_(?P<gender>[01])_(?:(?P<race>[0-4])_)?(?P<taken>\d+)(?:\.jpg)?(?:\.chip)?"
    )
    return read_names(folder, pattern, "<age>_<gender>_<race>_<time>.jpg").fillna({"race": ""})


UTKFACE = PublishedDataset(
    name="utkface",
    title="UTKFace (Zhang, Song and Qi, 2017)",
    source="aligned and cropped faces from the project page of the authors (not the photographs in "
    "the wild beside them)",
    images="<age>_<gender>_<race>_<time>.jpg, also .jpg.chip.jpg",
    protocols=(
        Protocol(
            name="names",
            description="Labels in the file names. We have read no list of splits.",
            read=_utkface, labels={"age": "utkface"}, folds=5, splits="ours",
        ),
    ),
)  # fmt: skip


def _clap2015(folder: DatasetFolder, fold: int) -> pd.DataFrame:
    (file,) = folder.find_lists(["total_2015.csv"])
    frame = read_columns(file, ["filename", "age", "stdv", "database"])
    split, std = parse_splits(frame, "database"), parse_floats(frame, "stdv", 0)
    return frame.assign(split=split, std=std)


CLAP2015 = PublishedDataset(
    name="clap2015",
    title="ChaLearn LAP 2015, apparent age (Escalera et al., 2015)",
    source="images from ChaLearn; total_2015.csv from L2RCLIP's release",
    images="in any folder, under the names of the list",
    protocols=(
        Protocol(
            name="challenge",
            description="The challenge's splits. Metrics: MAE and epsilon-error with 'std'.",
            lists=("total_2015.csv",), read=_clap2015, labels={"age": "clap2015"},
        ),
    ),
)  # fmt: skip


def _clap2016(folder: DatasetFolder, fold: int) -> pd.DataFrame:
    splits, parts = ("train", "valid", "test"), []
    for split, file in zip(
        splits, folder.find_lists(map("gt_avg_{}.csv".format, splits)), strict=True
    ):
        frame = read_columns(
            file, ["file_name", "apparent_age_avg", "apparent_age_std", "real_age"]
        )
        path = f"{split}/" + frame["path"] + "_face.jpg"
        std = parse_floats(frame, "apparent_age_std", 0)
        parts.append(frame.assign(path=path, std=std, split="val" if split == "valid" else split))
    frame = pd.concat(parts, ignore_index=True)
    return frame.rename(columns={"apparent_age_avg": "apparent", "real_age": "real"})


CLAP2016 = PublishedDataset(
    name="clap2016",
    title="APPA-REAL, used by ChaLearn LAP 2016 (Agustsson et al., 2017)",
    source="images and tables from ChaLearn",
    images="{train,valid,test}/<file_name>_face.jpg",
    protocols=(
        Protocol(
            name="challenge",
            description="The data set's splits. Metrics: MAE and epsilon-error with 'std'.",
            lists=("gt_avg_train.csv", "gt_avg_valid.csv", "gt_avg_test.csv"), read=_clap2016,
            labels={"apparent": "clap2016", "real": "clap2016"},
        ),
    ),
)  # fmt: skip


def _fgnet(folder: DatasetFolder, fold: int) -> pd.DataFrame:
    frame = read_names(folder, r"(?P<group>\d{3})A(?P<age>\d{2})(?P<photo>[a-z]?)", "001A02.JPG")
    return frame


FGNET = PublishedDataset(
    name="fgnet",
    title="FG-NET Aging Database",
    source="images from the FG-NET project",
    images="<subject>A<age>.JPG, such as 001A02.JPG",
    protocols=(
        Protocol(
            name="leave one subject out", description="Fold k tests on the k-th of the subjects.",
            read=_fgnet, labels={"age": "fgnet"}, folds=LEAVE_ONE_GROUP_OUT, splits="ours",
            group="subject",
        ),
    ),
)  # fmt: skip


def _cacd(folder: DatasetFolder, fold: int) -> pd.DataFrame:
    return read_names(folder, r"(?P<age>\d+)_(?P<group>.+)_(?P<photo>\d+)", "53_Name_0001.jpg")


CACD = PublishedDataset(
    name="cacd",
    title="Cross-Age Celebrity Dataset (Chen, Chen and Hsu, 2014)",
    source="images from the project page of the authors",
    images="<age>_<name>_<number>.jpg",
    protocols=(
        Protocol(
            name="names",
            description="Labels in the file names. We have read no list of splits.",
            read=_cacd, labels={"age": "cacd"}, folds=5, splits="ours", group="person",
        ),
    ),
)  # fmt: skip
FACES = (ADIENCE, MORPH, UTKFACE, CLAP2015, CLAP2016, FGNET, CACD)

"""The photographs of notebook 06: what was planted is there, and nothing else."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ordlib.course import photo_folder
from ordlib.course.photo_folder import make_photo_folder, planted_faults
from ordlib.data.image_index import content_hashes, inspect_images


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_photo_folder(tmp_path_factory.mktemp("made") / "folder")


@pytest.fixture(scope="module")
def table(folder):
    return pd.read_csv(folder / "photos" / "labels.csv")


@pytest.fixture(scope="module")
def files(folder, table):
    return [folder / "photos" / name for name in table["path"]]


def test_folder_has_the_images_of_the_table_and_new_ones(folder, files, table):
    assert len(table) == 400
    assert sorted(files) == sorted((folder / "photos").glob("*.jpg"))
    assert len(list((folder / "new").glob("*.jpg"))) == 24
    assert table["count"].between(1, 8).all()
    assert table["session"].nunique() == 40  # 39, one of them in two spellings
    assert make_photo_folder(folder) == folder


def test_only_the_damaged_file_cannot_be_decoded(files):
    reports = inspect_images(files)
    assert [f.name for f, r in zip(files, reports, strict=True) if r.error] == [
        planted_faults()["damaged"]
    ]


def test_only_the_rotated_file_has_another_size(files):
    sizes = pd.Series({file.name: Image.open(file).size for file in files})
    assert sizes[sizes != (320, 240)].to_dict() == {planted_faults()["rotated"]: (240, 320)}


def test_only_the_duplicate_is_there_twice(files):
    hashes = pd.Series(content_hashes(files), [file.name for file in files])
    assert tuple(hashes[hashes.duplicated(keep=False)].index) == planted_faults()["duplicate"]


def test_torn_session_and_wrong_label_are_in_the_table(table):
    kept, torn = planted_faults()["torn group"]
    sizes = table["session"].value_counts()
    assert kept in sizes
    assert sizes[torn] + sizes[kept] in (10, 11)
    spellings = table["session"].str.casefold().str.replace(" ", "-")
    assert spellings.nunique() == 39
    wrong = table.set_index("path").loc[planted_faults()["wrong label"], "count"]
    assert wrong == photo_folder.WRONG_VALUE


def test_number_of_objects_is_the_label():
    """Counted: the connected regions of one object's color, objects apart from each other."""
    from scipy import ndimage

    session = photo_folder._sessions()[0]
    plain = photo_folder.Session(
        session.name, session.scene, photo_folder.OBJECTS[0], (0, 0, 255), 4, session.box,
        np.ones(3),
    )  # fmt: skip
    rng = np.random.default_rng(3)
    for count in range(1, 9):
        pixels = np.asarray(photo_folder._draw(rng, plain, count)).astype(int)
        blue = (pixels[..., 2] > 200) & (pixels[..., 0] < 60) & (pixels[..., 1] < 60)
        assert ndimage.label(ndimage.binary_opening(blue, iterations=2))[1] == count


def test_images_are_the_same_whenever_they_are_made(folder, table, tmp_path, monkeypatch):
    """Those of the first session, and the new ones."""
    photo_folder._write_new(tmp_path)
    monkeypatch.setattr(photo_folder, "NUM_SESSIONS", 1)
    monkeypatch.setattr(photo_folder, "NUM_IMAGES", 11)
    monkeypatch.setattr(photo_folder, "_plant_faults", lambda _, table: table)
    photo_folder._write_photos(tmp_path)
    assert pd.read_csv(tmp_path / "labels.csv").equals(table[:11])
    for name in ("photos/IMG_0007.jpg", "new/DSC_003.jpg"):
        assert (tmp_path / name.split("/")[1]).read_bytes() == (folder / name).read_bytes()

import pytest
from published_fixtures import write_image, write_list

from ordlib.data.published.dataset_folder import DatasetFolder


def make(root, *paths):
    for path in paths:
        write_image(root, path)
    return DatasetFolder(root)


LISTED = (
    "a/1.jpg",
    "./a/1.jpg",
    "../../x/a/1.jpg",
    "/home/x/a/1.jpg",
    r"C:\data\a\1.jpg",
    "A/1.JPG",
)


@pytest.mark.parametrize("listed", LISTED)
def test_find_image_takes_the_longest_tail(tmp_path, listed):
    folder = make(tmp_path, "deep/a/1.jpg", "deep/b/1.jpg", "deep/b/a/2.jpg")
    assert folder.find_image(listed) == "deep/a/1.jpg"


def test_find_image_without_extension(tmp_path):
    folder = make(tmp_path, "x/face.1.22_o.jpg")
    assert folder.find_image("face.1.22_o") == "x/face.1.22_o.jpg"


def test_find_image_rejects_ambiguous_names(tmp_path):
    folder = make(tmp_path, "a/1.jpg", "b/1.jpg")
    with pytest.raises(LookupError, match=r"'c/1.jpg': may be 'a/1.jpg' or 'b/1.jpg'"):
        folder.find_image("c/1.jpg")


@pytest.mark.parametrize("listed", ["../secret.jpg", "secret.jpg", "", "..", "/"])
def test_nothing_outside_the_root_is_found(tmp_path, listed):
    write_image(tmp_path, "secret.jpg")
    folder = make(tmp_path / "root", "a.jpg")
    with pytest.raises(LookupError, match="no such image"):
        folder.find_image(listed)


def test_links_out_of_the_root_are_not_followed(tmp_path):
    write_image(tmp_path, "outside/secret.jpg")
    folder = make(tmp_path / "root", "a.jpg")
    (folder.root / "linked").symlink_to(tmp_path / "outside")
    (folder.root / "secret.jpg").symlink_to(tmp_path / "outside/secret.jpg")
    (folder.root / "same.jpg").symlink_to(folder.root / "a.jpg")
    assert folder.files == ["a.jpg", "same.jpg"]
    with pytest.raises(LookupError, match=r"no such image .*\(2 links are not followed"):
        folder.find_image("secret.jpg")


def test_find_lists_by_tail_and_rejects_two(tmp_path):
    for name in ("x/fold_0/train.txt", "x/fold_1/train.txt"):
        write_list(tmp_path, name, ["a 1"])
    folder = DatasetFolder(tmp_path)
    assert folder.find_lists(["fold_1/train.txt"]) == [tmp_path / "x/fold_1/train.txt"]
    with pytest.raises(ValueError, match=r"'train.txt' may be 'x/fold_0/train.txt' or"):
        folder.find_lists(["train.txt"])
    with pytest.raises(FileNotFoundError, match=r"no file 'y.txt', 'z.txt' in .* 3 subfolders"):
        folder.find_lists(["train.txt", "y.txt", "z.txt"])

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ordlib import ImageData, load_data, load_task


def make_data(count=6, **changes):
    fields = {
        "task": load_task("counting"),
        "images": np.arange(count, dtype=np.uint8)[:, None, None, None].repeat(3, axis=3),
        "values": np.arange(1.0, count + 1),
        "metadata": pd.DataFrame({"name": [f"n{i}" for i in range(count)]}),
        "fingerprint": "made",
        "split": "train",
        "groups": np.array(list("aabbcc"))[:count],
    }
    return ImageData(**fields | changes)


def test_subset_selects_all_fields():
    data = make_data()
    for chosen in ([4, 0], np.array([4, 0])):
        part = data.subset(chosen, "val")
        assert [image.getpixel((0, 0))[0] for image in part] == [4, 0]
        assert part.values.tolist() == [5, 1]
        assert part.metadata["name"].tolist() == ["n4", "n0"]
        assert part.groups.tolist() == ["c", "a"]
        assert part.split == "val"
    assert data.subset(data.values > 4).values.tolist() == [5, 6]
    assert make_data(groups=None).subset([1]).groups is None
    subsets = (data, *map(data.subset, ([1, 2], [1, 2], [2, 1])))
    assert len({subset.fingerprint for subset in subsets}) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": np.arange(1.0, 6)}, "6 images, 5 values"),
        ({"groups": np.array(["a"])}, "1 groups"),
        ({"values": np.array([1, 2, 3, 4, 5, 21.0])}, "label 21 of image 5 is outside 1 to 20"),
        ({"values": np.array([1, 2, np.nan, 4, 5, 6.0])}, "label nan of image 2"),
    ],
)
def test_image_data_invalid_fields(changes, message):
    with pytest.raises(ValueError, match=message):
        make_data(**changes)


@pytest.mark.parametrize(("chosen", "error"), [([], ValueError), ([6], IndexError)])
def test_subset_invalid_indices(chosen, error):
    with pytest.raises(error, match=r"counting/train|6"):
        make_data().subset(chosen)


def test_load_data_returns_image_data():
    data = load_data("counting", "val", image_size=64, num_images=8)
    assert len(data) == 8
    assert data[3].size == (64, 64)
    assert np.array_equal(np.asarray(data[3]), data.images[3])
    assert data.ranks.tolist() == (data.values - 1).astype(int).tolist()
    assert data.groups is None
    same = load_data(load_task("counting"), "val", image_size=64, num_images=8)
    assert same.fingerprint == data.fingerprint
    crops = load_data("quality", "train", image_size=64, num_images=8)
    assert crops.groups.tolist() == crops.metadata["scene_id"].tolist()


@pytest.mark.parametrize(
    ("task", "split", "message"),
    [("morph", "val", "'morph'.*counting"), ("counting", "validation", "'validation'")],
)
def test_load_data_invalid_arguments(task, split, message):
    with pytest.raises(ValueError, match=message):
        load_data(task, split)


def test_image_keys_depend_on_pixels_alone(tmp_path):
    data = make_data()
    assert len(set(data.image_keys)) == 6
    assert make_data(values=np.full(6, 9.0), fingerprint="x").image_keys == data.image_keys
    assert data.subset([3, 1]).image_keys == [data.image_keys[3], data.image_keys[1]]
    reshaped = make_data(images=np.zeros((6, 2, 8, 3), np.uint8))
    assert reshaped.image_keys != make_data(images=np.zeros((6, 4, 4, 3), np.uint8)).image_keys
    files = [tmp_path / f"{i}.png" for i in range(6)]
    for i, file in enumerate(files):
        Image.new("L", (8, 8), i // 2).save(file)
    keys = make_data(images=files).image_keys
    assert keys[::2] == keys[1::2]
    assert len(set(keys)) == 3
    mixed = make_data(images=[*data.images[:3], *files[3:]])
    assert mixed.image_keys == data.image_keys[:3] + keys[3:]
    assert make_data(images=files, bit_depth=12).image_keys != keys


def test_load_reduces_files(tmp_path):
    Image.new("RGB", (800, 600)).save(tmp_path / "a.jpg")
    data = make_data(1, images=[tmp_path / "a.jpg"])
    assert (data[0].size, data.load(0, min_side=100).size) == ((800, 600), (200, 150))


def test_check_files_names_images_of_unknown_bit_depth(tmp_path):
    Image.fromarray(np.full((8, 8), 3000, np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(OSError, match=r"a\.png' has more than 8 bits .*set bit_depth=12"):
        make_data(1, images=[tmp_path / "a.png"]).check_files()
    make_data(1, images=[tmp_path / "a.png"], bit_depth=12).check_files()

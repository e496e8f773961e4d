import numpy as np
import pandas as pd
import pytest

from ordlib import ImageData, load_data, load_task


def make(count=6, **changes):
    images = np.arange(count, dtype=np.uint8)[:, None, None, None] + np.zeros(
        (1, 8, 8, 3), np.uint8
    )
    fields = {
        "task": load_task("counting"),
        "images": images,
        "values": np.arange(1.0, count + 1),
        "records": pd.DataFrame({"name": [f"n{i}" for i in range(count)]}),
        "key": "made",
        "split": "train",
        "groups": np.array(list("aabbcc"))[:count],
    }
    return ImageData(**fields | changes)


def test_a_subset_keeps_everything_together():
    data = make()
    for chosen in ([4, 0], np.array([4, 0])):
        part = data.subset(chosen, "val")
        assert [picture.getpixel((0, 0))[0] for picture in part] == [4, 0]
        assert part.values.tolist() == [5, 1]
        assert part.records["name"].tolist() == ["n4", "n0"]
        assert part.groups.tolist() == ["c", "a"]
        assert part.split == "val"
    assert data.subset(data.values > 4).values.tolist() == [5, 6]
    assert make(groups=None).subset([1]).groups is None


def test_keys_of_subsets():
    data = make()
    assert data.subset([1, 2]).key == data.subset([1, 2]).key
    assert len({data.key, data.subset([1, 2]).key, data.subset([2, 1]).key}) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": np.arange(1.0, 6)}, "6 images, 5 values"),
        ({"groups": np.array(["a"])}, "1 groups"),
        ({"values": np.array([1, 2, 3, 4, 5, 21.0])}, "label 21 of picture 5 is outside 1 to 20"),
        ({"values": np.array([1, 2, np.nan, 4, 5, 6.0])}, "label nan of picture 2"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_nothing_chosen_is_refused():
    with pytest.raises(ValueError, match="counting/train holds no pictures"):
        make().subset([])
    with pytest.raises(IndexError):
        make().subset([6])


def test_the_world_as_data():
    data = load_data("counting", "val", side=64, size=8)
    assert len(data) == 8
    assert data[3].size == (64, 64)
    assert np.array_equal(np.asarray(data[3]), data.images[3])
    assert data.ranks.tolist() == (data.values - 1).astype(int).tolist()
    assert data.groups is None
    own = load_data(load_task("counting"), "val", side=64, size=8)
    assert own.key == data.key


def test_crops_of_a_photograph_form_a_group():
    data = load_data("quality", "train", side=64, size=8)
    assert data.groups.tolist() == data.records["scene_id"].tolist()


def test_what_the_world_does_not_hold():
    with pytest.raises(ValueError, match="counting, dating, ageing, quality"):
        load_data("morph", "val")
    with pytest.raises(ValueError, match="no split 'validation'"):
        load_data("counting", "validation")

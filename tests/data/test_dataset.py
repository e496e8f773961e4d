import numpy as np
import pandas as pd
import pytest

from ordlib import ImageData, load_data, load_task


def make(count=6, **changes):
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


def test_a_subset_keeps_everything_together():
    data = make()
    for chosen in ([4, 0], np.array([4, 0])):
        part = data.subset(chosen, "val")
        assert [picture.getpixel((0, 0))[0] for picture in part] == [4, 0]
        assert part.values.tolist() == [5, 1]
        assert part.metadata["name"].tolist() == ["n4", "n0"]
        assert part.groups.tolist() == ["c", "a"]
        assert part.split == "val"
    assert data.subset(data.values > 4).values.tolist() == [5, 6]
    assert make(groups=None).subset([1]).groups is None
    assert data.subset([1, 2]).fingerprint == data.subset([1, 2]).fingerprint
    assert (
        len({data.fingerprint, data.subset([1, 2]).fingerprint, data.subset([2, 1]).fingerprint})
        == 3
    )


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


@pytest.mark.parametrize(("chosen", "error"), [([], ValueError), ([6], IndexError)])
def test_nothing_chosen_is_refused(chosen, error):
    with pytest.raises(error, match=r"counting/train|6"):
        make().subset(chosen)


def test_the_world_as_data():
    data = load_data("counting", "val", image_size=64, num_images=8)
    assert len(data) == 8
    assert data[3].size == (64, 64)
    assert np.array_equal(np.asarray(data[3]), data.images[3])
    assert data.ranks.tolist() == (data.values - 1).astype(int).tolist()
    assert data.groups is None
    assert (
        load_data(load_task("counting"), "val", image_size=64, num_images=8).fingerprint
        == data.fingerprint
    )
    crops = load_data("quality", "train", image_size=64, num_images=8)
    assert crops.groups.tolist() == crops.metadata["scene_id"].tolist()


@pytest.mark.parametrize(
    ("task", "split", "says"),
    [("morph", "val", "'morph'.*counting"), ("counting", "validation", "'validation'")],
)
def test_what_the_world_does_not_hold(task, split, says):
    with pytest.raises(ValueError, match=says):
        load_data(task, split)

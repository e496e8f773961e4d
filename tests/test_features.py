"""Cached features: the same as fresh ones, found again, and never those of other weights."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from PIL import Image

from ordlib.clip import feature_cache as features
from ordlib.clip import load_clip
from ordlib.clip.feature_cache import image_features, visual_tokens


@dataclass(frozen=True)
class Pictures:
    """As much of an ImageData as the features need; counts how often it is read."""

    images: list
    key: str = "noise"
    reads: list | None = None

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        if self.reads is not None:
            self.reads.append(index)
        return Image.fromarray(self.images[index])


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, device="cpu")


@pytest.fixture
def data(pictures):
    return Pictures(pictures, reads=[])


def one_by_one(encode, clip, data):
    return torch.cat([encode(clip.preprocess([data[i]])) for i in range(len(data))])


def test_image_features_equal_fresh_ones_at_first_and_again(clip, data):
    reference = one_by_one(clip.image_features, clip, data)
    first, again = (image_features(clip, data, batch_size=3) for _ in range(2))
    assert (first.dtype, first.shape, first.device.type) == (torch.float32, (7, 24), "cpu")
    assert torch.allclose(first, reference, atol=1e-5)
    assert torch.equal(first, again)


def test_visual_tokens_equal_fresh_ones_in_half_precision(clip, data):
    reference = one_by_one(clip.visual_tokens, clip, data)
    first, again = (visual_tokens(clip, data, batch_size=3) for _ in range(2))
    assert (first.dtype, first.shape) == (torch.float16, (7, 17, 24))
    assert torch.allclose(first.float(), reference, rtol=1e-3, atol=1e-3)
    assert torch.equal(first, again)


def test_pictures_are_read_once(clip, data):
    image_features(clip, data)
    assert data.reads == list(range(7))
    image_features(clip, data, batch_size=2)
    assert len(data.reads) == 7


def test_another_content_size_kind_or_precision_is_another_entry(
    clip, data, tiny_clip_folder, cache, pictures
):
    image_features(clip, data)
    visual_tokens(clip, data)
    image_features(clip, replace(data, key="other"))
    image_features(clip, replace(data, images=pictures[:3]))
    image_features(load_clip(tiny_clip_folder, device="cpu", dtype=torch.bfloat16), data)
    assert len(list(cache.iterdir())) == 5


def test_other_weights_are_another_entry(clip, data, tiny_clip_folder, cache):
    image_features(clip, data)
    other = load_clip(tiny_clip_folder, device="cpu")
    other.__dict__["weights_hash"] = "0" * 64
    image_features(other, data)
    assert len(list(cache.iterdir())) == 2


def test_a_damaged_entry_is_made_again(clip, data, cache):
    first = image_features(clip, data).clone()
    (entry,) = cache.iterdir()
    entry.write_bytes(entry.read_bytes()[:50])
    assert torch.equal(image_features(clip, data), first)
    assert torch.equal(image_features(clip, data), first)
    assert len(data.reads) == 14


def test_changing_the_result_leaves_the_cache_alone(clip, data):
    image_features(clip, data)
    kept = image_features(clip, data).clone()
    image_features(clip, data).zero_()
    assert torch.equal(image_features(clip, data), kept)


def test_tuned_weights_are_refused(tiny_clip_folder, data):
    tuned = load_clip(tiny_clip_folder, device="cpu")
    tuned.model.visual_projection.weight.mul_(2)
    with pytest.raises(ValueError, match=r"changed after loading.*clip.encode_images"):
        image_features(tuned, data)


def test_a_pass_is_not_lost_when_the_disk_is_full(clip, data, monkeypatch, cache):
    def save_file(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(features, "save_file", save_file)
    with pytest.warns(UserWarning, match=r"could not be kept in .*No space left"):
        kept = image_features(clip, data)
    assert kept.shape == (7, 24)
    assert list(cache.iterdir()) == []


def test_no_more_than_a_batch_of_pixels_lies_in_memory(clip, pictures, monkeypatch):
    sizes = []
    preprocess = type(clip).preprocess
    monkeypatch.setattr(
        type(clip), "preprocess", lambda self, x: sizes.append(len(x)) or preprocess(self, x)
    )
    visual_tokens(clip, Pictures(pictures * 3), batch_size=8)
    assert sizes == [8, 8, 5]


def test_takes_the_rendered_world(clip):
    from ordlib.synthetic.load import load_data

    data = load_data("counting", "val", side=64, size=4)
    found = image_features(clip, data)
    assert torch.allclose(found, clip.encode_images([np.asarray(data[i]) for i in range(4)]))

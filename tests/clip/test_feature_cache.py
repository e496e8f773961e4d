"""Cached features: the same as fresh ones, found again, and never those of other weights."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from PIL import Image

from ordlib.clip import feature_cache as features
from ordlib.clip import load_clip
from ordlib.clip.feature_cache import cached_image_features, cached_image_tokens


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


@pytest.mark.parametrize(
    ("cached", "dtype", "shape", "off"),
    [
        (cached_image_features, torch.float32, (7, 24), 1e-5),
        (cached_image_tokens, torch.float16, (7, 17, 24), 1e-3),
    ],
)
def test_features_equal_fresh_ones_and_pictures_are_read_once(
    clip, data, cached, dtype, shape, off
):
    encode = clip.image_features if cached is cached_image_features else clip.image_token_features
    reference = torch.cat([encode(clip.preprocess([data[i]])) for i in range(7)])
    data.reads.clear()
    first, again = (cached(clip, data, size) for size in (3, 2))
    assert (first.dtype, first.shape, first.device.type) == (dtype, shape, "cpu")
    assert torch.allclose(first.float(), reference, rtol=off, atol=off)
    assert torch.equal(first, again)
    assert data.reads == list(range(7))


def test_another_content_size_kind_precision_or_weights_is_another_entry(
    clip, data, tiny_clip_folder, cache, pictures
):
    other = load_clip(tiny_clip_folder, device="cpu")
    other.__dict__["weights_hash"] = "0" * 64
    cached_image_features(other, data)
    cached_image_features(clip, data)
    cached_image_tokens(clip, data)
    cached_image_features(clip, replace(data, fingerprint="other"))
    cached_image_features(clip, replace(data, images=pictures[:3]))
    cached_image_features(load_clip(tiny_clip_folder, device="cpu", dtype=torch.bfloat16), data)
    assert len(list(cache.iterdir())) == 6


def test_a_damaged_entry_is_made_again(clip, data, cache):
    first = cached_image_features(clip, data).clone()
    # Changing a result leaves the cache alone.
    cached_image_features(clip, data).zero_()
    assert torch.equal(cached_image_features(clip, data), first)
    (entry,) = cache.iterdir()
    entry.write_bytes(entry.read_bytes()[:50])
    assert torch.equal(cached_image_features(clip, data), first)
    assert torch.equal(cached_image_features(clip, data), first)
    assert len(data.reads) == 14


def test_tuned_weights_are_refused(tiny_clip_folder, data):
    tuned = load_clip(tiny_clip_folder, device="cpu")
    tuned.model.visual_projection.weight.mul_(2)
    with pytest.raises(ValueError, match=r"changed after loading.*clip.encode_images"):
        cached_image_features(tuned, data)


def test_a_pass_is_not_lost_when_the_disk_is_full(clip, data, monkeypatch, cache):
    def save_file(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(features, "save_file", save_file)
    with pytest.warns(UserWarning, match=r"could not be kept in .*No space left"):
        kept = cached_image_features(clip, data)
    assert kept.shape == (7, 24)
    assert list(cache.iterdir()) == []


def test_no_more_than_a_batch_of_pixels_lies_in_memory(clip, pictures, monkeypatch):
    sizes = []
    preprocess = type(clip).preprocess
    monkeypatch.setattr(
        type(clip), "preprocess", lambda self, x: sizes.append(len(x)) or preprocess(self, x)
    )
    cached_image_tokens(clip, Pictures(pictures * 3), batch_size=8)
    assert sizes == [8, 8, 5]


def test_takes_the_rendered_world(clip):
    from ordlib.synthetic.load import load_data

    data = load_data("counting", "val", image_size=64, num_images=4)
    found = cached_image_features(clip, data)
    assert torch.allclose(found, clip.encode_images([np.asarray(data[i]) for i in range(4)]))

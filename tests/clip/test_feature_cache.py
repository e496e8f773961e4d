import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from ordlib.clip import feature_cache, load_clip
from ordlib.clip.feature_cache import cached_image_features, cached_image_tokens


@dataclass(frozen=True)
class CountingImages:
    """The part of ImageData that the cache needs; records the indices that are loaded."""

    images: list
    fingerprint: str = "noise"
    reads: list | None = None

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        if self.reads is not None:
            self.reads.append(index)
        return Image.fromarray(self.images[index])


@dataclass(frozen=True)
class NamedImages(CountingImages):
    """Images that may be paths; the pixels are those of ``arrays``."""

    arrays: list | None = None

    def __getitem__(self, index):
        self.reads.append(index)
        return Image.fromarray(self.arrays[index])


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, device="cpu")


@pytest.fixture
def data(noise_images):
    return CountingImages(noise_images, reads=[])


@pytest.mark.parametrize(
    ("function", "dtype", "shape", "tolerance"),
    [
        (cached_image_features, torch.float32, (7, 24), 1e-5),
        (cached_image_tokens, torch.float16, (7, 17, 24), 1e-3),
    ],
)
def test_cached_features_equal_fresh_ones_and_load_images_once(
    clip, data, function, dtype, shape, tolerance
):
    encode = clip.image_features if function is cached_image_features else clip.image_token_features
    reference = torch.cat([encode(clip.preprocess([data[i]])) for i in range(7)])
    data.reads.clear()
    first, again = (function(clip, data, size) for size in (3, 2))
    assert (first.dtype, first.shape, first.device.type) == (dtype, shape, "cpu")
    assert torch.allclose(first.float(), reference, rtol=tolerance, atol=tolerance)
    assert torch.equal(first, again)
    assert data.reads == list(range(7))


def test_cache_key_depends_on_content_size_kind_precision_and_weights(
    clip, data, tiny_clip_folder, cache, noise_images
):
    other = load_clip(tiny_clip_folder, device="cpu")
    other.__dict__["weights_hash"] = "0" * 64
    cached_image_features(other, data)
    cached_image_features(clip, data)
    cached_image_tokens(clip, data)
    cached_image_features(clip, replace(data, fingerprint="other"))
    cached_image_features(clip, replace(data, images=noise_images[:3]))
    cached_image_features(load_clip(tiny_clip_folder, device="cpu", dtype=torch.bfloat16), data)
    assert len(list(cache.iterdir())) == 6


def test_cache_key_depends_on_config(clip, data, tiny_clip_folder, tmp_path, cache):
    """The weights are equal; another activation gives other features."""
    shutil.copytree(tiny_clip_folder, tmp_path / "clip")
    config = json.loads((tmp_path / "clip" / "config.json").read_text())
    config["vision_config"]["hidden_act"] = "relu"
    (tmp_path / "clip" / "config.json").write_text(json.dumps(config))
    other = load_clip(tmp_path / "clip", device="cpu")
    assert other.weights_hash == clip.weights_hash
    features = cached_image_features(clip, data)
    assert not torch.allclose(cached_image_features(other, data), features)


def test_damaged_cache_entry_is_recomputed(clip, data, cache):
    first = cached_image_features(clip, data).clone()
    # Changing a result does not change the cache.
    cached_image_features(clip, data).zero_()
    assert torch.equal(cached_image_features(clip, data), first)
    (entry,) = cache.iterdir()
    entry.write_bytes(entry.read_bytes()[:50])
    assert torch.equal(cached_image_features(clip, data), first)
    assert torch.equal(cached_image_features(clip, data), first)
    assert len(data.reads) == 14


def test_changed_weights_raise(tiny_clip_folder, data):
    changed = load_clip(tiny_clip_folder, device="cpu")
    changed.model.visual_projection.weight.mul_(2)
    with pytest.raises(ValueError, match=r"changed since loading.*clip.encode_images"):
        cached_image_features(changed, data)


def test_features_are_returned_when_the_disk_is_full(clip, data, monkeypatch, cache):
    def save_file(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(feature_cache, "save_file", save_file)
    with pytest.warns(UserWarning, match=r"cannot cache the features in .*No space left"):
        features = cached_image_features(clip, data)
    assert features.shape == (7, 24)
    assert list(cache.iterdir()) == []


def test_images_are_preprocessed_in_batches(clip, noise_images, monkeypatch):
    sizes = []
    preprocess = type(clip).preprocess
    monkeypatch.setattr(
        type(clip), "preprocess", lambda self, x: sizes.append(len(x)) or preprocess(self, x)
    )
    cached_image_tokens(clip, CountingImages(noise_images * 3), batch_size=8)
    assert sizes == [8, 8, 5]


@pytest.mark.parametrize("function", [cached_image_features, cached_image_tokens])
def test_features_that_are_not_finite_name_the_image_and_are_not_cached(
    tiny_clip_folder, data, monkeypatch, cache, function
):
    clip = load_clip(tiny_clip_folder, device="cpu", dtype=torch.bfloat16)
    preprocess = clip.preprocess

    def with_nan(images):
        pixels = preprocess(images)
        if len(data.reads) == 6:  # the second batch of three
            pixels[1] = torch.nan
        return pixels

    monkeypatch.setattr(clip, "preprocess", with_nan)
    for images, name in ((data.images, "image 4"), ([Path(f"{i}.png") for i in range(7)], "4.png")):
        data.reads.clear()
        named = NamedImages(images, reads=data.reads, arrays=data.images)
        with pytest.raises(FloatingPointError, match=rf"{name} .*bfloat16: .*dtype=torch.float32"):
            function(clip, named, 3)
    assert not cache.exists()

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from ordlib import ImageData, load_clip, load_task
from ordlib.clip import feature_store
from ordlib.clip.checksum import checksum
from ordlib.clip.feature_cache import (
    cached_image_features,
    cached_image_tokens,
    open_image_tokens,
)

FUNCTIONS = [cached_image_features, cached_image_tokens]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


@pytest.fixture(scope="module")
def shared_clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, device="cpu")


@pytest.fixture
def clip(shared_clip, monkeypatch):
    """The batches of pixels that it encodes are in ``encoded``."""
    shared_clip.encoded = []
    for name in ("image_features", "image_token_features"):
        encode = getattr(shared_clip, name)

        def spy(pixels, encode=encode):
            shared_clip.encoded.append(pixels)
            return encode(pixels)

        monkeypatch.setattr(shared_clip, name, spy)
    return shared_clip


def make_data(images, **fields):
    count = len(images)
    return ImageData(
        task=load_task("counting"),
        images=images,
        values=fields.pop("values", np.full(count, 3.0)),
        metadata=pd.DataFrame({"row": range(count)}),
        fingerprint=fields.pop("fingerprint", "noise"),
        split="all",
        **fields,
    )


@pytest.fixture
def data(noise_images):
    return make_data(list(noise_images))


@pytest.fixture
def files(noise_images, tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(len(noise_images))]
    for path, image in zip(paths, noise_images, strict=True):
        Image.fromarray(image).save(path)
    return paths


@pytest.mark.parametrize(
    ("function", "dtype", "shape", "tolerance"),
    [
        (cached_image_features, torch.float32, (7, 24), 1e-5),
        (cached_image_tokens, torch.float16, (7, 17, 24), 1e-3),
    ],
)
def test_cached_features_equal_fresh_ones_and_encode_images_once(
    clip, data, function, dtype, shape, tolerance
):
    encode = clip.image_features if function is cached_image_features else clip.image_token_features
    reference = torch.cat([encode(clip.preprocess([data[i]])) for i in range(7)])
    clip.encoded.clear()
    first, again = (function(clip, data, size) for size in (3, 2))
    assert (first.dtype, first.shape, first.device.type) == (dtype, shape, "cpu")
    assert torch.allclose(first.float(), reference, rtol=tolerance, atol=tolerance)
    assert torch.equal(first, again)
    assert len(clip.encoded) == 3


def test_labels_splits_and_file_names_play_no_part(clip, files, tmp_path):
    first = cached_image_features(clip, make_data(files))
    clip.encoded.clear()
    relabelled = make_data(files, values=np.arange(1.0, 8), fingerprint="other")
    assert torch.equal(cached_image_features(clip, relabelled), first)
    assert torch.equal(cached_image_features(clip, relabelled.subset([5, 2])), first[[5, 2]])
    moved = [path.rename(tmp_path / f"moved-{path.name}") for path in files]
    assert torch.equal(cached_image_features(clip, make_data(moved[::-1])), first.flip(0))
    assert not clip.encoded


def test_one_more_image_encodes_one_image(clip, data, monkeypatch):
    cached_image_features(clip, data.subset(range(6)))
    read = Mock(wraps=clip._read)
    monkeypatch.setattr(clip, "_read", read)
    cached_image_features(clip, data)
    assert [call.args[1] for call in read.call_args_list] == [6]


def test_equal_images_are_encoded_once(clip, data, noise_images):
    twice = make_data([*noise_images, *noise_images])
    features = cached_image_features(clip, twice, batch_size=10)
    assert [len(pixels) for pixels in clip.encoded] == [8]
    assert torch.equal(features[:7], features[7:])


def test_features_do_not_depend_on_the_other_images_of_a_batch(shared_clip, noise_images):
    whole = cached_image_features(shared_clip, make_data(list(noise_images)))
    for rows in ([3], [6, 0], [1, 2, 3, 4, 5]):
        images = [noise_images[row] for row in rows]
        assert torch.equal(shared_clip.encode_images(images), whole[rows])
        assert torch.equal(shared_clip.encode_images(images, batch_size=1), whole[rows])


def test_folders_with_equal_names_sizes_and_times_have_their_own_features(clip, tmp_path):
    features = []
    for color in ("red", "blue"):
        (tmp_path / color).mkdir()
        path = tmp_path / color / "a.bmp"
        Image.new("RGB", (64, 64), color).save(path)
        os.utime(path, (1, 1))
        features.append(cached_image_features(clip, make_data([path])))
    assert not torch.allclose(*features)


def test_a_changed_file_is_encoded_again(clip, files, noise_images):
    first, status = cached_image_features(clip, make_data(files)), os.stat(files[0])
    Image.fromarray(255 - noise_images[0]).save(files[0])
    os.utime(files[0], ns=(status.st_atime_ns, status.st_mtime_ns))
    changed = cached_image_features(clip, make_data(files))
    assert not torch.allclose(changed[0], first[0])
    assert torch.equal(changed[1:], first[1:])


def test_a_file_that_changes_while_it_is_encoded_is_not_cached(clip, files, monkeypatch):
    def replaced(images, row):
        result = read(images, row)
        if row == 2:
            files[2].write_bytes(files[3].read_bytes())
        return result

    read = clip._read
    monkeypatch.setattr(clip, "_read", replaced)
    with pytest.raises(OSError, match=r"2\.png changed while it was encoded"):
        cached_image_features(clip, make_data(files), batch_size=7)


def test_many_shards_take_few_file_descriptors(clip, data, tmp_path):
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("needs /proc")
    store = feature_store.FeatureStore(tmp_path / "store")
    before = len(list(descriptors.iterdir()))
    for row in range(100):
        store.add([str(row)], np.full((1, 2), row))
    again = feature_store.FeatureStore(tmp_path / "store")
    assert again.read([str(row) for row in range(100)])[:, 0].tolist() == list(range(100))
    assert len(list(descriptors.iterdir())) - before <= 64


def test_bit_depth_is_part_of_the_key(clip, tmp_path):
    Image.fromarray(np.full((64, 64), 3000, np.uint16)).save(tmp_path / "a.png")
    depths = (12, 16)
    data = [make_data([tmp_path / "a.png"], bit_depth=depth) for depth in depths]
    assert not torch.allclose(*(cached_image_features(clip, part) for part in data))


def edit_config(folder):
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"]["hidden_act"] = "relu"
    (folder / "config.json").write_text(json.dumps(config))


def edit_preprocessor(folder):
    config = json.loads((folder / "preprocessor_config.json").read_text())
    config["image_mean"] = [0.5, 0.5, 0.5]
    (folder / "preprocessor_config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("edit", [edit_config, edit_preprocessor])
def test_key_depends_on_the_checkpoint_beside_its_weights(
    clip, data, tiny_clip_folder, tmp_path, edit
):
    shutil.copytree(tiny_clip_folder, tmp_path / "clip")
    edit(tmp_path / "clip")
    other = load_clip(tmp_path / "clip", device="cpu")
    assert other.weights_hash == clip.weights_hash
    features = cached_image_features(clip, data)
    assert not torch.allclose(cached_image_features(other, data), features)


def test_key_depends_on_the_weights_in_memory(clip, data, tiny_clip_folder, tmp_path):
    """As when an adapter file or another index of shards leaves model.safetensors as it was."""
    other = load_clip(tiny_clip_folder, device="cpu")
    other.model.visual_projection.weight.data.mul_(2)
    other.loaded_checksum = checksum(other.model)
    features = cached_image_features(clip, data)
    assert torch.allclose(cached_image_features(other, data), 2 * features, rtol=1e-4)


def test_key_depends_on_precision_and_resize(data, tiny_clip_folder, clip, cache):
    for options in ({}, {"dtype": torch.bfloat16}, {"resize": "squash"}):
        cached_image_features(load_clip(tiny_clip_folder, device="cpu", **options), data)
    cached_image_tokens(clip, data)
    assert len(list(cache.iterdir())) == 4
    descriptions = sorted(path.read_text() for path in cache.glob("*/description.txt"))
    name = str(tiny_clip_folder)
    assert descriptions[0] == f"features of {name} (bfloat16, cpu, crop)"


@pytest.mark.parametrize("part", ["npy", "json"])
def test_damaged_shard_is_encoded_again(clip, data, cache, part):
    first = cached_image_features(clip, data).clone()
    # Changing a result does not change the cache.
    cached_image_features(clip, data).zero_()
    assert torch.equal(cached_image_features(clip, data), first)
    (shard,) = cache.glob(f"*/*.{part}")
    content = bytearray(shard.read_bytes())
    content[-5] ^= 1
    shard.write_bytes(content)
    clip.encoded.clear()
    for _ in range(2):
        assert torch.equal(cached_image_features(clip, data), first)
    assert len(clip.encoded) == 1


@pytest.mark.parametrize(
    "edit",
    [
        lambda weight: weight.mul_(2),
        lambda weight: weight.data.mul_(-1),
        lambda weight: weight.data.copy_(weight.flip(0)),
        lambda weight: weight.data.copy_(weight.flip(1)),
        lambda weight: weight.data[0, :1].add_(1e-3),
    ],
    ids=["in place", "sign", "rows swapped", "columns swapped", "one weight"],
)
def test_changed_weights_raise(tiny_clip_folder, data, edit):
    changed = load_clip(tiny_clip_folder, device="cpu")
    edit(changed.model.vision_model.encoder.layers[0].mlp.fc1.weight)
    with pytest.raises(ValueError, match=r"changed since loading.*clip.encode_images"):
        cached_image_features(changed, data)


def test_moving_the_weights_does_not_change_them(tiny_clip_folder, data):
    moved = load_clip(tiny_clip_folder, device="cpu")
    for parameter in moved.model.parameters():
        parameter.data = parameter.data.clone()
    assert cached_image_features(moved, data).shape == (7, 24)


def test_features_are_returned_when_the_disk_is_full(clip, data, monkeypatch, cache):
    def save(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(feature_store, "_save", save)
    feature_store._warn_once.cache_clear()
    with pytest.warns(UserWarning, match=r"cannot cache the features in .*No space left"):
        features = cached_image_features(clip, data)
    assert features.shape == (7, 24)
    assert list(cache.glob("*/*.npy")) == list(cache.glob("*/*.json")) == []


def test_shards_are_limited(clip, data, monkeypatch, cache):
    monkeypatch.setattr(feature_store, "MAX_SHARD_IMAGES", 3)
    features = cached_image_features(clip, data, batch_size=4)
    monkeypatch.setattr(feature_store, "MAX_SHARD_BYTES", 2 * 17 * 24 * 2)
    tokens = cached_image_tokens(clip, data, batch_size=4)
    for kind, expected in {"features": [3, 3, 1], "tokens": [2, 2, 2, 1]}.items():
        sizes = [len(np.load(path)) for path in cache.glob(f"{kind}-*/*.npy")]
        assert sorted(sizes, reverse=True) == expected
    assert torch.allclose(features, tokens[:, 0].float(), atol=1e-2)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_encoding_keeps_what_it_has(clip, data, monkeypatch, error):
    def interrupted(images, row):
        if row == 5:
            raise error
        return read(images, row)

    read = clip._read
    monkeypatch.setattr(clip, "_read", interrupted)
    with pytest.raises(error):
        cached_image_features(clip, data, batch_size=2)
    spy = Mock(wraps=read)
    monkeypatch.setattr(clip, "_read", spy)
    cached_image_features(clip, data, batch_size=2)
    assert [call.args[1] for call in spy.call_args_list] == [4, 5, 6]


def test_features_are_read_from_a_read_only_cache(clip, data, cache, monkeypatch):
    first = cached_image_features(clip, data)
    feature_store._verified_shard.cache_clear()
    for name in ("utime", "mkdir", "replace"):  # root may write anywhere
        monkeypatch.setattr(os, name, Mock(side_effect=PermissionError))
    folders = [cache.parent, cache, *cache.iterdir()]
    for folder in folders:
        folder.chmod(0o500)
    clip.encoded.clear()
    try:
        assert torch.equal(cached_image_features(clip, data), first)
    finally:
        for folder in folders:
            folder.chmod(0o700)
    assert not clip.encoded


WRITER = """
import sys, warnings
import numpy as np
from pathlib import Path
from ordlib.clip.feature_store import FeatureStore
warnings.simplefilter("error")
folder = Path(sys.argv[1])
for start in range(0, 60, 3):
    keys = [str(row) for row in range(start, start + 3)]
    store = FeatureStore(folder)
    assert all(store.read([key])[0, 0] == float(key) for key in keys if key in store)
    store.add(keys, np.repeat(np.arange(start, start + 3.0)[:, None], 100, axis=1))
"""


@pytest.mark.slow
def test_two_writers_may_duplicate_but_not_corrupt(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path / "store")]
    writers = [subprocess.Popen(command) for _ in range(3)]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0]
    store = feature_store.FeatureStore(tmp_path / "store")
    assert store.read([str(row) for row in range(60)])[:, 7].tolist() == list(range(60))


def test_images_are_read_and_encoded_in_batches(clip, data, noise_images, monkeypatch):
    images = [np.roll(image, shift, axis=0) for image in noise_images for shift in range(3)]
    cached_image_tokens(clip, make_data(images), batch_size=8)
    assert [len(pixels) for pixels in clip.encoded] == [8, 8, 8]  # the last one has five images


def test_open_image_tokens_reads_rows(shared_clip, data):
    tokens = open_image_tokens(shared_clip, data)
    whole = cached_image_tokens(shared_clip, data)
    for rows in ([4, 0], range(2, 5), np.array([6])):
        assert torch.equal(tokens[rows], whole[list(rows)])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_features_that_are_not_finite_name_the_image_and_are_not_cached(
    tiny_clip_folder, noise_images, files, monkeypatch, cache, function
):
    clip = load_clip(tiny_clip_folder, device="cpu", dtype=torch.bfloat16)
    normalize = clip.preprocessor.normalize

    def with_nan(resized, device):
        pixels = normalize(resized, device)
        bad = [np.array_equal(image, noise_images[4]) for image in resized]
        pixels[torch.tensor(bad)] = torch.nan
        return pixels

    monkeypatch.setattr(clip.preprocessor, "normalize", with_nan)
    for images, name in ((list(noise_images), "image 4"), (files, r"4\.png")):
        with pytest.raises(FloatingPointError, match=rf"{name} .*bfloat16: .*dtype=torch.float32"):
            function(clip, make_data(images), 3)
        (shard,) = cache.glob("*/*.json")
        assert len(json.loads(shard.read_text())["keys"]) == 3
        shutil.rmtree(cache)


def test_data_sets_share_a_store(clip, data):
    first = cached_image_features(clip, data.subset([0, 1, 2]))
    rest = cached_image_features(clip, replace(data, split="other").subset([3, 4, 5, 6]))
    assert torch.equal(cached_image_features(clip, data), torch.cat([first, rest]))

"""Faults of the feature cache: whatever happens on disk, features equal fresh ones."""

import errno
import json
import os
import resource
import shutil
import sys
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from storage_faults import Failing, run_as_nobody, run_forked

from ordlib import ImageData, load_clip, load_task
from ordlib.clip import feature_store
from ordlib.clip.feature_cache import cached_image_features, cached_image_tokens, open_image_tokens
from ordlib.clip.feature_store import FeatureStore, _checksum
from ordlib.utils.cache import TEMPORARY_PREFIX
from ordlib.utils.cache_entries import prune_cache

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="of POSIX systems")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, device="cpu")


def make_data(images):
    return ImageData(
        task=load_task("counting"),
        images=images,
        values=np.full(len(images), 3.0),
        metadata=pd.DataFrame({"row": range(len(images))}),
        fingerprint="noise",
        split="all",
    )


@pytest.fixture
def data(noise_images):
    return make_data(list(noise_images))


@pytest.fixture
def fresh(clip, data):
    """Features without the cache."""
    return clip.encode_images(data)


def shard(cache):
    """Array and list of keys of the only shard."""
    (array,) = cache.glob("*/*.npy")
    return array, array.with_suffix(".json")


def with_checksum(change):
    """Replace the array, so that its list of keys has the new one's checksum."""

    def damage(array, index):
        features = change(np.load(array))
        np.save(array, features)
        content = json.loads(index.read_text())
        index.write_text(json.dumps(content | {"checksum": _checksum(features)}))

    return damage


def with_keys(change):
    def damage(array, index):
        content = json.loads(index.read_text())
        index.write_text(json.dumps(change(content)))

    return damage


def with_array(content):
    return lambda array, index: array.write_bytes(content)


def with_index(text):
    return lambda array, index: index.write_text(text)


def truncated(part, share):
    def damage(*files):
        os.truncate(files[part], int(files[part].stat().st_size * share))

    return damage


def flipped(part, position):
    def damage(*files):
        content = bytearray(files[part].read_bytes())
        content[position] ^= 4
        files[part].write_bytes(content)

    return damage


def replaced(part, make):
    def damage(*files):
        files[part].unlink()
        make(files[part])

    return damage


def set_nan(features):
    features[2, 3] = np.nan
    return features


def pickled(array, index):
    np.save(array, np.array([object()] * 7), allow_pickle=True)


FAULTS = {
    "array missing": lambda array, index: array.unlink(),
    "list missing": lambda array, index: index.unlink(),
    "array empty": with_array(b""),
    "array of zeros": lambda array, index: array.write_bytes(bytes(array.stat().st_size)),
    "array of text": with_array(b"features"),
    "array with a bad header": with_array(b"\x93NUMPY\x01\x00\xff\xff"),
    "array pickled": pickled,
    "array truncated in the header": truncated(0, 0.05),
    "array truncated by half": truncated(0, 0.5),
    "array without its last byte": truncated(0, 0.9999),
    "flipped bit in the header": flipped(0, 20),
    "flipped bit in the shape": flipped(0, 62),
    "flipped bit in the order": flipped(0, 45),
    "flipped bit in a feature": flipped(0, -9),
    "list empty": with_index(""),
    "list truncated": truncated(1, 0.5),
    "flipped bit in a key": flipped(1, 14),
    "flipped bit in the checksum": flipped(1, -4),
    "list is a list": with_index("[]"),
    "list is a number": with_index("3"),
    "list is null": with_index("null"),
    "list without keys": with_keys(lambda content: {"checksum": content["checksum"]}),
    "list without checksum": with_keys(lambda content: {"keys": content["keys"]}),
    "list is nested": with_index("[" * 200_000),
    "keys are a number": with_keys(lambda content: content | {"keys": 7}),
    "keys are numbers": with_keys(lambda content: content | {"keys": [0] * 7}),
    "keys are lists": with_keys(lambda content: content | {"keys": [[]] * 7}),
    "a key too many": with_keys(lambda content: content | {"keys": [*content["keys"], "a"]}),
    "one row for seven keys": with_checksum(lambda x: x[:1]),
    "seven keys for 100 rows": with_checksum(lambda x: np.zeros((100, 24), np.float32)),
    "other type": with_checksum(lambda x: x.astype(np.float64)),
    "integers": with_checksum(lambda x: x.astype(np.int32)),
    "other byte order": with_checksum(lambda x: x.astype(">f4")),
    "other width": with_checksum(lambda x: x[:, :12].copy()),
    "other dimensions": with_checksum(lambda x: x[:, None].copy()),
    "no dimension": with_checksum(lambda x: np.float32(3)),
    "NaN": with_checksum(set_nan),
    "infinite": with_checksum(lambda x: np.full_like(x, np.inf)),
    "array is a folder": replaced(0, Path.mkdir),
    "array is a pipe": replaced(0, os.mkfifo),
    "array is a loop": replaced(0, lambda path: path.symlink_to(path.name)),
    "array is a device": replaced(0, lambda path: path.symlink_to("/dev/zero")),
    "list is a folder": replaced(1, Path.mkdir),
    "list is a pipe": replaced(1, os.mkfifo),
    "list is a loop": replaced(1, lambda path: path.symlink_to(path.name)),
    "list is a device": replaced(1, lambda path: path.symlink_to("/dev/zero")),
}


@pytest.mark.parametrize("damage", FAULTS.values(), ids=FAULTS)
def test_damaged_shard_heals(clip, data, fresh, cache, damage, monkeypatch):
    assert torch.equal(cached_image_features(clip, data), fresh)
    damage(*shard(cache))
    assert torch.equal(cached_image_features(clip, data), fresh)
    monkeypatch.setattr(clip, "image_features", None)  # Read again.
    assert torch.equal(cached_image_features(clip, data), fresh)


def test_shard_whose_rows_are_in_columns_is_read(clip, data, fresh, cache):
    cached_image_features(clip, data)
    array, _ = shard(cache)
    np.save(array, np.asfortranarray(np.load(array)))
    feature_store._open_array.cache_clear()
    assert torch.equal(cached_image_features(clip, data), fresh)


def test_shard_with_old_and_future_times_is_read(clip, data, fresh, cache, monkeypatch):
    cached_image_features(clip, data)
    monkeypatch.setattr(clip, "image_features", None)
    for seconds in (0, 2**33):
        for file in shard(cache):
            os.utime(file, (seconds, seconds))
        assert torch.equal(cached_image_features(clip, data), fresh)


# The folder of the store.


def as_file(folder):
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.touch()


def as_loop(folder):
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to(folder.name)


def as_pipe(folder):
    folder.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(folder)


@pytest.mark.parametrize("make", [as_file, as_loop, as_pipe])
@pytest.mark.parametrize("level", ["cache", "features"])
def test_unusable_folder_warns_once_and_names_the_variable(clip, data, fresh, cache, make, level):
    make(cache if level == "features" else cache.parent)
    with pytest.warns(UserWarning, match="set ORDLIB_CACHE to a folder") as caught:
        features = [cached_image_features(clip, make_data(data.images)) for _ in range(2)]
    assert torch.equal(features[0], fresh)
    assert torch.equal(features[1], fresh)
    assert len(caught) == 1


def test_linked_folder_is_used(clip, data, fresh, cache, tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    cache.parent.mkdir()
    cache.symlink_to(tmp_path / "disk")
    assert torch.equal(cached_image_features(clip, data), fresh)
    monkeypatch.setattr(clip, "image_features", None)
    assert torch.equal(cached_image_features(clip, data), fresh)


def test_folder_that_cannot_be_read_or_written(clip, data, fresh, public_folder, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(public_folder / "cache"))
    cached_image_features(clip, data)
    (public_folder / "cache").chmod(0o700)

    def other_user():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            equal = torch.equal(cached_image_features(clip, data), fresh)
        return equal, ["set ORDLIB_CACHE" in str(each.message) for each in caught]

    assert run_as_nobody(other_user) == "(True, [True])"


# A disk that is full, or fails.

CALLS = ("tempfile.mkdtemp", "ordlib.clip.feature_store._save", "os.fsync", "os.replace")
# Of the description, the array and the list: a folder, a sync and a rename each; one array.
NUM_CALLS = 10


@pytest.mark.parametrize("at", range(NUM_CALLS))
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EXDEV])
def test_every_call_of_a_write_may_fail(clip, data, fresh, cache, at, error, monkeypatch):
    with (
        Failing(error, at, *CALLS) as failing,
        pytest.warns(UserWarning, match="cannot cache the features in .*set ORDLIB_CACHE"),
    ):
        assert torch.equal(cached_image_features(clip, data), fresh)
    assert len(failing.calls) == at + 1
    assert not list(cache.rglob(f"{TEMPORARY_PREFIX}*"))
    again = make_data(data.images)
    assert torch.equal(cached_image_features(clip, again), fresh)
    assert not list(cache.rglob(f"{TEMPORARY_PREFIX}*"))
    arrays, lists = (sorted(p.stem for p in cache.glob(f"*/*.{s}")) for s in ("npy", "json"))
    assert arrays == lists
    monkeypatch.setattr(clip, "image_features", None)
    assert torch.equal(cached_image_features(clip, make_data(data.images)), fresh)


def test_a_write_has_as_many_calls_as_are_tried(clip, data):
    with Failing(errno.EIO, 1000, *CALLS) as failing:
        cached_image_features(clip, data)
    assert len(failing.calls) == NUM_CALLS


def test_limit_of_file_sizes(clip, data, fresh, cache):
    """As with a quota: what fits is kept, the rest is in memory."""

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            equal = torch.equal(cached_image_features(clip, data), fresh)
        return equal, [str(each.message) for each in caught]

    text = run_forked(limited)
    assert text.startswith('(True, ["cannot cache the features in ')
    assert "free space with `ordlib cache" in text
    assert not list(cache.rglob(f"{TEMPORARY_PREFIX}*"))


def test_without_a_cache_the_images_of_a_data_set_are_encoded_once(clip, data, cache, monkeypatch):
    as_file(cache)
    encoded, encode = [], clip.image_token_features
    monkeypatch.setattr(
        clip,
        "image_token_features",
        lambda pixels: (encoded.append(len(pixels)), encode(pixels))[1],
    )
    with pytest.warns(UserWarning, match="cannot cache") as caught:
        tokens = open_image_tokens(clip, data)[range(7)]
    assert torch.equal(cached_image_tokens(clip, data), tokens)
    for size in (2, 5):
        assert torch.equal(open_image_tokens(clip, data, size)[[3, 1]], tokens[[3, 1]])
    assert (encoded, len(caught)) == ([8], 1)
    # The next one of a folder in parts; what is in memory ends with its data set.
    cached_image_tokens(clip, make_data(data.images))
    assert len(encoded) == 2
    del data
    import gc

    from ordlib.clip.feature_cache import _IN_MEMORY

    gc.collect()
    assert len(_IN_MEMORY) <= 1  # The fixture's.


# Other processes.


def test_features_that_are_deleted_while_open_are_encoded_again(clip, data, cache, monkeypatch):
    monkeypatch.setattr(feature_store, "MAX_SHARD_IMAGES", 3)
    tokens = open_image_tokens(clip, data, 3)
    first = tokens[[0, 1]]
    assert len(prune_cache(older_than_days=0)) >= 3
    assert torch.equal(tokens[[0, 1, 6]][:2], first)
    assert torch.equal(cached_image_tokens(clip, data), tokens[range(7)])
    shutil.rmtree(cache)
    feature_store._open_array.cache_clear()
    assert torch.equal(tokens[[0, 1]], first)


def test_deleted_features_without_a_cache(clip, data, fresh, cache):
    """Of seven images, three are on disk and four in memory; then the disk's are deleted."""
    cached_image_features(clip, data.subset([0, 1, 2]))
    with Failing(errno.ENOSPC, 0, "tempfile.mkdtemp"), pytest.warns(UserWarning, match="cannot"):
        cached_image_features(clip, data)
    shutil.rmtree(cache)
    feature_store._open_array.cache_clear()
    assert torch.equal(cached_image_features(clip, data), fresh)


def test_remains_of_a_killed_process_are_deleted_on_opening(tmp_path):
    folder = tmp_path / "store"
    FeatureStore(folder).add(["a"], np.ones((1, 2), np.float32))
    (folder / f"{TEMPORARY_PREFIX}left").mkdir()
    (folder / f"{TEMPORARY_PREFIX}left" / "x.npy").write_bytes(b"half")
    (folder / "lonely.npy").write_bytes(b"whole")
    (folder / "notes.txt").write_text("mine")
    assert "a" in FeatureStore(folder)
    names = [path.name for path in folder.iterdir() if len(path.stem) < 32]
    assert sorted(names) == ["description.txt", "notes.txt"]


def test_a_shard_that_is_being_written_is_not_taken_for_remains(tmp_path, monkeypatch):
    """Between its array and its list, another process opens the store."""
    dumps = json.dumps

    def open_meanwhile(content):
        FeatureStore(tmp_path)
        return dumps(content)

    monkeypatch.setattr(feature_store.json, "dumps", open_meanwhile)
    FeatureStore(tmp_path).add(["a"], np.ones((1, 2), np.float32))
    assert "a" in FeatureStore(tmp_path)


def test_names_in_the_cache_are_the_same_in_any_case(clip, data, cache):
    """On disks that ignore case, two keys must not be one file."""
    cached_image_features(clip, data)
    cached_image_tokens(clip, data)
    names = [path.name for path in cache.rglob("*")]
    assert len({name.casefold() for name in names} ^ set(names)) == 0


def test_tokens_of_a_data_set_are_not_in_memory(clip, noise_images, monkeypatch):
    """At the first call they are written as they are computed, and read by rows."""
    images = [np.roll(image, shift, axis=1) for image in noise_images for shift in range(20)]
    data = make_data(images)
    monkeypatch.setattr(feature_store, "MAX_SHARD_IMAGES", 10)
    total = len(images) * 17 * 24 * 2
    clip.encode_images(images[:10])  # What torch allocates once.
    tracemalloc.start()
    tokens = open_image_tokens(clip, data, 10)
    arrays = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)
    traces = tracemalloc.take_snapshot().filter_traces([arrays]).statistics("filename")
    tracemalloc.stop()
    assert sum(trace.size for trace in traces) < total / 20
    assert tokens[[139]].shape == (1, 17, 24)

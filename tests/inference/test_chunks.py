"""Shards, chunks and their join: each image once; errors name the file for any fault."""

import hashlib
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ordlib.inference import chunks as module
from ordlib.inference.chunks import (
    fingerprint,
    join_chunks,
    missing_chunks,
    num_buckets,
    path_hash,
    planned_chunks,
    read_chunk,
    scan_shard,
    write_chunk,
)
from ordlib.inference.files import find_images

DESCRIPTION = '{"model": "a"}'
NUM_FILES = 90


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Empty files, some of which have no extension of an image or are hidden."""
    root = tmp_path_factory.mktemp("chunks") / "images"
    (root / "a b" / "c").mkdir(parents=True)
    for i in range(NUM_FILES):
        (root / ("", "a b", "a b/c")[i % 3] / f"{i}.png").touch()
    (root / "notes.txt").touch()
    (root / ".hidden.png").touch()
    return root


@pytest.fixture(params=[False, True], ids=["few", "many"])
def small_buckets(request, monkeypatch):
    """Eight buckets; with many files, shards are chosen while scanning."""
    monkeypatch.setattr(module, "BUCKET_SIZE", 4 if request.param else 16)
    monkeypatch.setattr(module, "MAX_BUCKETS", 8)


@pytest.mark.parametrize("world_size", [1, 2, 3, 7, 20])
def test_scan_shard_gives_each_path_to_one_process(images, small_buckets, world_size):
    shards = [scan_shard(str(images), rank, world_size) for rank in range(world_size)]
    for shard in shards:
        assert all(names == sorted(names) for names in shard.buckets.values())
        assert (shard.counts, shard.digests) == (shards[0].counts, shards[0].digests)
        assert shard.ignored == 1
    owned = [b for shard in shards for b in shard.buckets]
    assert len(owned) == len(set(owned))
    names = [n for shard in shards for names in shard.buckets.values() for n in names]
    assert sorted(shards[0].paths(names)) == find_images(images).files
    assert len(names) == sum(shards[0].counts) == NUM_FILES
    assert sum(shards[0].digests) == sum(map(path_hash, names))


def test_scan_shard_makes_the_same_buckets_for_any_number_of_processes(images, small_buckets):
    whole = scan_shard(str(images)).buckets
    for world_size in (2, 5):
        parts = [scan_shard(str(images), rank, world_size).buckets for rank in range(world_size)]
        assert {b: names for part in parts for b, names in part.items()} == whole


def test_scan_shard_balances_processes():
    counts = np.bincount([path_hash(f"{i:06d}.jpg") % 1024 % 48 for i in range(50_000)])
    # 1,024 buckets for 48 processes: 22 for some of them instead of 21.3 on average.
    assert counts.max() < 1.12 * counts.mean()


def test_scan_shard_names_a_folder_without_images(tmp_path):
    (tmp_path / "a.txt").touch()
    with pytest.raises(ValueError, match=f"{tmp_path}: no image files; 1 other files"):
        scan_shard(str(tmp_path))
    with pytest.raises(ValueError, match=r"a\.txt: is no folder"):
        scan_shard(str(tmp_path / "a.txt"))


def test_path_hash_is_the_same_on_every_machine():
    digest = hashlib.blake2b("sub/ü.png".encode(), digest_size=16).digest()
    assert path_hash("sub/ü.png") == int.from_bytes(digest, "little")
    assert path_hash("\udcff.png") != path_hash("\udcfe.png")


@pytest.mark.parametrize(
    ("images", "buckets"), [(1, 1), (128, 1), (129, 2), (300, 4), (10**8, 1024)]
)
def test_num_buckets_depends_on_the_folder_alone(images, buckets):
    assert num_buckets(images) == buckets


def test_write_chunk_keeps_every_bit(tmp_path):
    names = ["a.png", "b.png", "\udcff.png", "z\n.png"]
    table = pd.DataFrame({
        "path": names[1:], "value": np.array([0.1, 1 / 3, 2e-310]), "label": ["x", "", "ü"],
        "probability": np.array([0.1, 1 / 3, 1e-40], np.float32),
    })  # fmt: skip
    write_chunk(tmp_path / "c.npz", names, table, {"a.png": "is missing"})
    read_names, read, errors = read_chunk(tmp_path / "c.npz")
    pd.testing.assert_frame_equal(read, table, check_exact=True)
    assert (read_names, errors) == (names, {"a.png": "is missing"})
    write_chunk(tmp_path / "d.npz", ["a.png"], pd.DataFrame(), {"a.png": "is missing"})
    assert len(read_chunk(tmp_path / "d.npz")[1]) == 0


def test_fingerprint_changes_with_each_input(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.png").write_text(name)
    shard = scan_shard(str(tmp_path))
    keys = {fingerprint(DESCRIPTION, shard, ["a.png"])}
    assert fingerprint(DESCRIPTION, shard, ["a.png"]) in keys
    keys.add(fingerprint("other", shard, ["a.png"]))
    keys.add(fingerprint(DESCRIPTION, shard, ["b.png"]))
    os.utime(tmp_path / "a.png", ns=(1, 1))
    keys.add(fingerprint(DESCRIPTION, shard, ["a.png"]))
    (tmp_path / "a.png").write_text("longer")
    os.utime(tmp_path / "a.png", ns=(1, 1))
    keys.add(fingerprint(DESCRIPTION, shard, ["a.png"]))
    (tmp_path / "a.png").unlink()
    keys.add(fingerprint(DESCRIPTION, shard, ["a.png"]))
    assert len(keys) == 6


SIZES = {"BUCKET_SIZE": 32, "CHUNK_SIZE": 10}


@pytest.fixture(scope="module")
def original(images):
    """Images, and their chunks in four buckets of at most ten; every seventh has an error."""
    folder = images.with_name("chunks")
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name, size in SIZES.items():
            patch.setattr(module, name, size)
        shard = scan_shard(str(images))
        for bucket in shard.buckets:
            for path, names in planned_chunks(folder, shard, DESCRIPTION, bucket).items():
                write(path, names)
    return images.parent


@pytest.fixture
def written(original, tmp_path, monkeypatch):
    """A copy of the chunks, and the shard of the only process."""
    for name, size in SIZES.items():
        monkeypatch.setattr(module, name, size)
    root = shutil.copytree(original, tmp_path / "copy")
    return root / "chunks", scan_shard(str(root / "images"))


def number(name: str) -> int:
    return int(Path(name).stem)


def write(path, names):
    errors = {name: f"error {name}" for name in names if number(name) % 7 == 0}
    good = [name for name in names if name not in errors]
    table = {"value": np.array([number(n) / 3 for n in good]), "label": [f"l{n}" for n in good]}
    write_chunk(path, names, pd.DataFrame(table), errors)


def test_join_chunks_equals_a_table_of_all_files(written):
    folder, shard = written
    table, errors = join_chunks(folder, shard, DESCRIPTION)
    files = find_images(shard.folder).files
    good = [file for file in files if number(file) % 7]
    assert table["path"].tolist() == good
    assert table["value"].tolist() == [number(file) / 3 for file in good]
    assert {*errors} == {*files} - {*good}
    assert all(
        text == f"error {os.path.relpath(file, shard.folder)}" for file, text in errors.items()
    )
    assert missing_chunks(folder, shard) == []


def damage_missing(path, shard):
    path.unlink()
    return "is missing"


def damage_truncated(path, shard):
    path.write_bytes(path.read_bytes()[:-30])
    return "damaged"


def damage_flipped_bit(path, shard):
    content = bytearray(path.read_bytes())
    content[content.index(b"\x93NUMPY") + 200] ^= 1
    path.write_bytes(content)
    return "damaged"


def damage_foreign_model(path, shard):
    path.rename(path.with_name(path.name[:-20] + "0" * 16 + ".npz"))
    return "belongs to another model or other options"


def damage_changed_image(path, shard):
    os.utime(shard.paths(read_chunk(path)[0])[0], ns=(1, 1))
    return "images have changed since"


def damage_twice(path, shard):
    shutil.copy(path, path.with_name(path.name[:-20] + "0" * 16 + ".npz"))
    return "exists 2 times"


def damage_doubled_row(path, shard):
    names = read_chunk(path)[0]
    path.unlink()
    names = [names[0], *names]
    key = fingerprint(DESCRIPTION, shard, names)
    write(path.with_name(path.name[:-20] + key + ".npz"), names)
    return f"{names[0]!r} is in the chunks of this bucket twice"


def damage_lost_row(path, shard):
    names = read_chunk(path)[0][1:]
    path.unlink()
    key = fingerprint(DESCRIPTION, shard, names)
    write(path.with_name(path.name[:-20] + key + ".npz"), names)
    return "images were added, renamed or deleted"


DAMAGES = [value for name, value in globals().items() if name.startswith("damage_")]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_join_chunks_names_the_faulty_chunk(written, damage):
    folder, shard = written
    path = sorted(folder.iterdir())[4]
    bucket, _, _, piece, _ = path.stem.split("-")
    gone = [(int(bucket), int(piece))] if damage is damage_missing else []
    message = damage(path, shard)
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        join_chunks(folder, shard, DESCRIPTION)
    assert str(error.value).startswith(f"{folder}/{path.name[:12]}")
    assert "run the command again" in str(error.value)
    assert missing_chunks(folder, shard) == gone


def test_join_chunks_notices_a_new_image(written):
    folder, shard = written
    (Path(shard.folder) / "new.png").touch()
    shard = scan_shard(shard.folder)
    with pytest.raises(ValueError, match=r"added, renamed or deleted|is missing"):
        join_chunks(folder, shard, DESCRIPTION)

"""Faults of the folder of chunks: foreign files, pipes and links in it, clocks, the environment."""

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer import Exit

from ordlib.inference.chunks import (
    chunk_path,
    join_chunks,
    planned_chunks,
    read_chunk,
    scan_shard,
    write_chunk,
)
from ordlib.utils import shared_folder
from ordlib.utils.shared_folder import LOCK, RUN, SharedFolder, share_work

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no file locks, no pipes")
CHUNK = chunk_path(Path(), 0, 1, 0, "0" * 16).name
NAMES = ["a.png", "b\n.png", "\udcff.png", "[x].png", "é 日.png", "=1+1.png"]


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.setattr(shared_folder.warnings, "simplefilter", lambda kind: None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# Folder ------------------------------------------------------------------------------------------

FOREIGN = ["mine.npz", "run.json", "lock", f"x{CHUNK}", f"{CHUNK}.bak", "0000-of-0001.npz", ".npz"]


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("kind", ["file", "folder", "pipe", "link"])
def test_foreign_files_are_neither_read_nor_deleted(name, kind):
    path = Path("c", name)
    path.parent.mkdir()
    Path("precious").write_text("precious")
    make = {"file": lambda: path.write_text("mine"), "folder": path.mkdir,
            "pipe": lambda: os.mkfifo(path),
            "link": lambda: path.symlink_to("../precious")}  # fmt: skip
    make[kind]()
    before = path.lstat()
    with SharedFolder("c") as shared:
        assert not shared.has_chunks()
        shared.claim({"model": "a"})
        Path("c", CHUNK).touch()
        assert shared.has_chunks()
        assert shared.is_last()
        shared.delete()
    assert os.listdir("c") == [name]
    assert os.path.samestat(before, path.lstat())
    assert Path("precious").read_text() == "precious"


@pytest.mark.parametrize("name", [LOCK, RUN])
@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "broken link", "device"])
def test_own_files_of_another_kind_are_named(name, kind):
    path = Path("c", name)
    path.parent.mkdir()
    Path("precious").write_text("precious")
    try:
        {"folder": path.mkdir, "pipe": lambda: os.mkfifo(path),
         "link": lambda: path.symlink_to("../precious"),
         "broken link": lambda: path.symlink_to("../gone"),
         "device": lambda: os.mknod(path, 0o20666, os.makedev(1, 3))}[kind]()  # fmt: skip
    except PermissionError:
        pytest.skip("needs the right to make device nodes")
    with pytest.raises(ValueError, match=f"c/{name}: not a regular file; delete it"):
        SharedFolder("c").__enter__()
    assert os.listdir("c") == [name]
    assert (Path("precious").read_text(), Path("gone").exists()) == ("precious", False)


@pytest.mark.parametrize("content", [b"{", b"[]", b"3", b"\xff", b"null", b'{"model": NaN}'])
def test_damaged_claim_of_another_process_is_named(content):
    with SharedFolder("c") as shared:
        Path("c", RUN).write_bytes(content)
        with pytest.raises(ValueError, match=f"c/{RUN}: damaged"):
            shared.claim({"model": "a"})


def test_claim_that_became_a_folder_or_pipe_does_not_hang():
    with SharedFolder("c") as shared:
        os.mkfifo(Path("c", RUN))
        shared.claim({"model": "a"})  # As an empty file, which another process is writing.
        Path("c", RUN).unlink()
        Path("c", RUN).mkdir()
        with pytest.raises(ValueError, match=f"{RUN}: not a regular file"):
            shared.claim({"model": "a"})


@pytest.mark.parametrize("output", ["c", "c/o.csv", f"c/{RUN}", f"c/{LOCK}", f"c/{CHUNK}", "./c/x",
                                    "link/o.csv", "c/../c/o"])  # fmt: skip
@pytest.mark.parametrize("option", ["csv", "json", "html"])
def test_output_in_the_folder_of_chunks_is_refused_before_the_work(output, option):
    Path("link").symlink_to("c")
    outputs = dict.fromkeys(("csv", "json", "html")) | {option: Path(output)}
    message = f"--{option} .*: is in the folder of chunks, c; give a file outside"
    with pytest.raises(ValueError, match=message), share_work(Path("c"), **outputs):
        pass
    assert not Path("c").exists()


# Environment -------------------------------------------------------------------------------------

NONSENSE = ["", "x", "-1", "2.0", "1e3", " 1", "²", "१", "0x1", "1_0", "9" * 5000, "nan", "1\n"]


@pytest.mark.parametrize("name", ["RANK", "WORLD_SIZE"])
@pytest.mark.parametrize("value", NONSENSE, ids=lambda value: ascii(value)[:9])
def test_environment_that_is_no_number_is_named(name, value, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv(name, value)
    message = f"{name} = '.* in the environment: must be a number from 0; unset RANK and WORLD_SIZE"
    with (
        pytest.raises(ValueError, match=f"(?s){message}") as error,
        share_work(None, csv=Path("o")),
    ):
        pass
    assert len(str(error.value)) < 250


@pytest.mark.parametrize(("rank", "world_size"), [("5", "2"), ("2", "2"), ("1", None), ("1", "0")])
def test_rank_that_does_not_exist(rank, world_size, monkeypatch):
    monkeypatch.setenv("RANK", rank)
    if world_size:
        monkeypatch.setenv("WORLD_SIZE", world_size)
    with (
        pytest.raises(ValueError, match=f"RANK = {rank}, WORLD_SIZE = .* unset both for a single"),
        share_work(None, csv=Path("o")),
    ):
        pass


# Clocks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [60, 3600, 10**8])
def test_an_old_output_with_a_time_in_the_future_does_not_end_the_work(seconds, monkeypatch):
    """A host or server whose clock is fast wrote it: all processes would end without work."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    Path("o").touch()
    os.utime("o", (time.time() + seconds,) * 2)
    with share_work(None, csv=Path("o")) as (shared, _):
        assert shared is not None


@pytest.mark.parametrize("skew", [-3600, -60, 60, 3600])
def test_a_late_process_ends_where_the_clock_of_the_disk_is_another(skew, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    touch = Path.touch

    def skewed_touch(path, *given, **options):
        touch(path, *given, **options)
        os.utime(path, (time.time() + skew,) * 2)

    Path("o").touch()
    os.utime("o", (time.time() + skew,) * 2)
    monkeypatch.setattr(Path, "touch", skewed_touch)
    with pytest.raises(Exit), share_work(None, csv=Path("o")):
        pass
    os.utime("o", (time.time() + skew - 10**6,) * 2)  # That of an earlier run.
    with share_work(None, csv=Path("o")):
        pass


# Chunk files -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    root = tmp_path_factory.mktemp("faults")
    (root / "images").mkdir()
    for name in NAMES:
        (root / "images" / name).touch()
    shard = scan_shard(str(root / "images"))
    ((path, names),) = planned_chunks(root / "chunks", shard, "d", 0).items()
    table = {
        "value": np.arange(len(names) - 1.0),
        "label": [f"l{i}" for i in range(len(names) - 1)],
    }
    write_chunk(path, names, pd.DataFrame(table), {names[0]: "is bad"})
    return root


@pytest.fixture
def chunk(original, work):
    """A copy of the only chunk, its arrays, and the shard."""
    folder = shutil.copytree(original / "chunks", work / "chunks")
    (path,) = folder.iterdir()
    with np.load(path) as file:
        return path, dict(file), scan_shard(str(original / "images"))


def test_odd_names_are_joined(chunk):
    path, _, shard = chunk
    table, errors = join_chunks(path.parent, shard, "d")
    found = [os.path.relpath(p, shard.folder) for p in [*table["path"], *errors]]
    assert sorted(found) == sorted(NAMES)


ARRAYS = {
    "no value": lambda a: {k: v for k, v in a.items() if k != "value"},
    "no names": lambda a: {k: v for k, v in a.items() if k != "names"},
    "no errors": lambda a: {k: v for k, v in a.items() if k != "errors"},
    "values of text": lambda a: a | {"value": a["label"]},
    "values of integers": lambda a: a | {"value": a["value"].astype(int)},
    "names of numbers": lambda a: a | {"names": np.arange(len(a["names"]))},
    "names of bytes": lambda a: a | {"names": np.array([b"x"] * len(a["names"]))},
    "labels of numbers": lambda a: a | {"label": a["value"]},
    "errors of numbers": lambda a: a | {"errors": np.zeros(len(a["names"]))},
    "objects": lambda a: a | {"label": np.array([*a["label"]], object)},
    "a row less": lambda a: a | {"value": a["value"][1:]},
    "an error more": lambda a: a | {"errors": np.array(["x"] * len(a["names"]))},
    "a matrix": lambda a: a | {"value": np.tile(a["value"], (2, 1)).T},
    "a single number": lambda a: a | {"value": np.array(1.0)},
}


@pytest.mark.parametrize("case", ARRAYS)
def test_chunk_with_other_arrays_is_damaged(chunk, case):
    path, arrays, shard = chunk
    with open(path, "wb") as file:
        np.savez(file, **ARRAYS[case](arrays))
    message = rf"^{path}: damaged \(.*\); delete it and run the command again, in all processes"
    with pytest.raises(ValueError, match=f"(?s){message}"):
        join_chunks(path.parent, shard, "d")


@pytest.mark.parametrize("kind", ["garbage", "empty", "folder", "pipe", "loop", "link to garbage"])
def test_chunk_of_another_kind_is_damaged(chunk, kind, work):
    path, _, shard = chunk
    path.unlink()
    (work / "garbage").write_bytes(b"garbage")
    {"garbage": lambda: path.write_bytes(b"garbage"), "empty": path.touch, "folder": path.mkdir,
     "pipe": lambda: os.mkfifo(path), "loop": lambda: path.symlink_to(path.name),
     "link to garbage": lambda: path.symlink_to(work / "garbage")}[kind]()  # fmt: skip
    with pytest.raises(ValueError, match=rf"^{path}: damaged \(.*\); delete it"):
        join_chunks(path.parent, shard, "d")
    assert (work / "garbage").read_bytes() == b"garbage"


def test_chunk_that_is_a_link_to_another_disk_is_read(chunk, work):
    path, _, shard = chunk
    path.rename(work / "elsewhere")
    path.symlink_to(work / "elsewhere")
    assert len(join_chunks(path.parent, shard, "d")[0]) == len(NAMES) - 1


def test_full_disk_names_the_chunk(chunk, monkeypatch):
    path, _, _ = chunk
    names, table, errors = read_chunk(path)
    path.unlink()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        write_chunk(path, names, table, errors)
    assert os.listdir(path.parent) == []

"""Damaged and hostile files in place of a released checkpoint: a clear error, and no code runs."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from ordlib.methods.ranking_adapter.released import load_released_ranking_adapter

ANCHOR = "crossmodal_block.projection"


@pytest.fixture(scope="module")
def released():
    with np.load(Path(__file__).with_name("ranking_adapter.npz")) as arrays:
        weights = {n: torch.from_numpy(a) for n, a in arrays.items() if n.startswith("weights/")}
    return {name.removeprefix("weights/"): tensor for name, tensor in weights.items()}


class Canary:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


BLOCKS = {f"crossmodal_block.resblocks.{i}.ln_1.weight": torch.ones(1) for i in range(10_000)}
CASES = {
    "anchor without numbers": ({ANCHOR: torch.ones(())}, "square"),
    "anchor of one axis": ({ANCHOR: torch.ones(5)}, "square"),
    "anchor not square": ({ANCHOR: torch.ones(1, 10**6)}, "square"),
    "anchor by strides of 0": ({ANCHOR: torch.ones(1).expand(10**6, 10**6)}, "not stored in full"),
    "sparse": ({ANCHOR: torch.eye(4).to_sparse()}, "not stored in full"),
    "ten thousand blocks": (BLOCKS, "10000 blocks|10002 blocks|10001 blocks"),
    "nan": ({"reg_ln.weight": torch.full((1,), torch.nan)}, "NaN"),
    "integers": ({"reg_ln.weight": torch.ones(1, dtype=torch.int64)}, "no numbers"),
    "another shape": ({"reg_ln.weight": torch.ones(1)}, "reg_ln|score_norm"),
    "an unknown tensor": ({"regressor.output_head.x": torch.ones(1)}, "1 unknown"),
}


@pytest.mark.parametrize(("change", "message"), CASES.values(), ids=CASES)
def test_damaged_tensors(change, message, released, tmp_path):
    torch.save(released | change, path := tmp_path / "a.pt")
    with pytest.raises(ValueError, match=message) as caught:
        load_released_ranking_adapter(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"x" * 99, b"PK\x03\x04" + bytes(99), b"\x80\x04K\x01."])
@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
def test_damaged_files(content, name, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name):
        load_released_ranking_adapter(tmp_path / name)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda p: p.symlink_to("/dev/zero")])
def test_files_that_are_no_regular_ones(make, tmp_path):
    make(tmp_path / "a.pt")
    with pytest.raises(FileNotFoundError, match=r"a\.pt"):
        load_released_ranking_adapter(tmp_path / "a.pt")


def test_no_code_runs(released, tmp_path):
    canary = tmp_path / "executed"
    torch.save(released | {"x": Canary(canary)}, tmp_path / "zip.pt")
    torch.save(released | {"x": Canary(canary)}, tmp_path / "old.pt",
               _use_new_zipfile_serialization=False)  # fmt: skip
    (tmp_path / "raw.pt").write_bytes(pickle.dumps(Canary(canary)))
    for name in ("zip.pt", "old.pt", "raw.pt"):
        with pytest.raises(ValueError, match=f"{name}: no torch file with tensors alone"):
            load_released_ranking_adapter(tmp_path / name)
    assert not canary.exists()

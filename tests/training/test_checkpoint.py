import json
import resource
import struct
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim import SGD, Adam

from ordlib.training.checkpoint import (
    load_training_state,
    save_training_state,
    weights_summary,
)

RUN = {"method": "NumCLIP", "config": {"epochs": 3, "lr_multipliers": {}}, "ranks": (1, 2)}


def make_learner(seed: int) -> tuple[nn.Linear, Adam, SGD]:
    torch.manual_seed(seed)
    layer = nn.Linear(3, 2)
    return layer, Adam([layer.weight], lr=0.1), SGD([layer.bias], lr=0.1, momentum=0.9)


def step(layer: nn.Linear, *optimizers) -> None:
    layer(torch.tensor([[1.0, 2.0, 3.0]])).square().sum().backward()
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deeper" / "checkpoint.safetensors"


def test_load_training_state_resumes_bit_equal(path):
    layer, *optimizers = make_learner(0)
    for _ in range(3):
        step(layer, *optimizers)
    # The learning rate of the new optimizer counts, not that of the checkpoint.
    optimizers[0].param_groups[0]["lr"] = 1e-9
    states = {"model": layer.state_dict()}
    save_training_state(path, RUN, states, optimizers, {"epoch": 3, "x": [0.1]})
    optimizers[0].param_groups[0]["lr"] = 0.1
    other, *fresh = make_learner(1)
    states, progress = load_training_state(path, RUN, fresh)
    other.load_state_dict(states["model"])
    assert progress == {"epoch": 3, "x": [0.1]}
    assert fresh[0].param_groups[0]["lr"] == 0.1
    for _ in range(2):
        step(layer, *optimizers)
        step(other, *fresh)
    assert torch.equal(layer.weight, other.weight)
    assert torch.equal(layer.bias, other.bias)


def test_save_training_state_accepts_shared_tensors_and_slashes(path):
    shared = torch.arange(4.0)
    states = {"model": {"a/b.c": shared}, "best": {"a/b.c": shared, "d": shared.view(2, 2).T}}
    save_training_state(path, RUN, states, [], {})
    loaded, _ = load_training_state(path, RUN, [])
    names = {part: sorted(state) for part, state in loaded.items()}
    assert names == {"model": ["a/b.c"], "best": ["a/b.c", "d"]}
    assert torch.equal(loaded["best"]["d"], shared.view(2, 2).T)


def test_load_training_state_returns_none_without_file(path):
    assert load_training_state(path, RUN, []) is None


MULTIPLIED = {"config": {"epochs": 3, "lr_multipliers": {"image_encoder": 0.1}}}


@pytest.mark.parametrize(
    ("saved", "current", "message"),
    [
        ({}, {"method": "CoOp"}, "method was 'NumCLIP' there and is 'CoOp' now"),
        ({}, {"config": {"epochs": 9}}, "config.epochs was 3 there and is 9 now"),
        ({}, MULTIPLIED, "config.lr_multipliers.image_encoder was None there and is 0.1"),
        (MULTIPLIED, {}, "config.lr_multipliers.image_encoder was 0.1 there and is None"),
        ({}, {"ranks": (1, 3)}, r"ranks was \[1, 2\] there and is \[1, 3\] now"),
    ],
)
def test_load_training_state_refuses_another_run(path, saved, current, message):
    save_training_state(path, RUN | saved, {}, [], {})
    with pytest.raises(ValueError, match=message) as caught:
        load_training_state(path, RUN | current, [])
    assert str(path) in str(caught.value)
    assert "delete the file" in str(caught.value)


def test_save_training_state_keeps_last_checkpoint_on_failure(path, monkeypatch):
    save_training_state(path, RUN, {"model": {"a": torch.ones(1)}}, [], {"epoch": 1})

    def broken(tensors, file, metadata):
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("ordlib.training.checkpoint.save_file", broken)
    with pytest.raises(OSError, match="disk full"):
        save_training_state(path, RUN, {"model": {"a": torch.zeros(1)}}, [], {"epoch": 2})
    assert load_file(path)["model/a"].item() == 1
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@contextmanager
def file_size_limit(size: int):
    """As on a full disk: the operating system refuses to write more than ``size`` bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_save_training_state_on_a_full_disk_keeps_last_checkpoint(path):
    save_training_state(path, RUN, {"model": {"a": torch.ones(5000)}}, [], {"epoch": 1})
    with file_size_limit(10_000), pytest.raises(OSError, match="os error 27"):
        save_training_state(path, RUN, {"model": {"a": torch.zeros(5000)}}, [], {"epoch": 2})
    states, state = load_training_state(path, RUN, [])
    assert (states["model"]["a"].unique().tolist(), state) == ([1.0], {"epoch": 1})
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def write_checkpoint(path: Path) -> bytes:
    tensors = {"weight": torch.arange(6.0).view(2, 3), "bias": torch.tensor([0.5, -1.0])}
    layer, *optimizers = make_learner(0)
    step(layer, *optimizers)
    save_training_state(path, RUN, {"model": tensors}, optimizers, {"epoch": 1})
    return path.read_bytes()


def truncate(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: rng.integers(len(content))]


def flip_bit(content: bytes, rng: np.random.Generator) -> bytes:
    position = int(rng.integers(len(content)))
    changed = bytearray(content)
    changed[position] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def zero_block(content: bytes, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(len(content) - 32))
    return content[:start] + bytes(32) + content[start + 32 :]


def replace_all(content: bytes, rng: np.random.Generator) -> bytes:
    return rng.bytes(rng.integers(200))


def empty(content: bytes, rng: np.random.Generator) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [truncate, flip_bit, zero_block, replace_all, empty])
def test_load_training_state_names_damaged_file(path, damage):
    content, rng = write_checkpoint(path), np.random.default_rng(0)
    for _ in range(1 if damage is empty else 60):
        damaged = damage(content, rng)
        if damaged == content:
            continue
        path.write_bytes(damaged)
        _, *optimizers = make_learner(0)
        with pytest.raises(ValueError, match="no intact training checkpoint") as caught:
            load_training_state(path, RUN, optimizers)
        assert str(path) in str(caught.value)
        assert "delete it" in str(caught.value)


def test_load_training_state_checks_every_bit(path):
    """Of the JSON header and of the tensors, but not the padding, which nothing reads."""
    content = write_checkpoint(path)
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    assert json.loads(header["__metadata__"]["trainer_state"]) == {"epoch": 1}
    for position in range(8, len(content), 5):
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(changed)
        if content[position : position + 1] == b" ":
            continue
        with pytest.raises(ValueError, match="no intact training checkpoint"):
            load_training_state(path, RUN, make_learner(0)[1:])


def test_load_training_state_refuses_other_files(path):
    path.mkdir(parents=True)
    with pytest.raises(ValueError, match="no intact training checkpoint"):
        load_training_state(path, RUN, [])
    path.rmdir()
    save_file({"a": torch.ones(1)}, path)
    with pytest.raises(ValueError, match="no intact training checkpoint"):
        load_training_state(path, RUN, [])


def test_load_training_state_refuses_other_initial_weights(path):
    torch.manual_seed(0)
    weights = {"a": torch.randn(50, 4), "b": torch.zeros(3)}
    start = {"initial_weights": weights_summary(weights)}
    save_training_state(path, RUN | start, {}, [], {"epoch": 1})
    # Rounding, as by another CPU, is no difference.
    rounded = {name: w * (1 + 1e-7 * torch.randn_like(w)) for name, w in weights.items()}
    load_training_state(path, RUN | {"initial_weights": weights_summary(rounded)}, [])
    others = [
        weights | {"a": weights["a"] + 1e-3 * torch.randn(50, 4)},
        weights | {"b": torch.tensor([0, 1e-6, 0])},
        {"a": weights["a"]},
        {},
    ]
    for other in others:
        with pytest.raises(ValueError, match="started from other weights") as caught:
            load_training_state(path, RUN | {"initial_weights": weights_summary(other)}, [])
        assert str(path) in str(caught.value)

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.optim import SGD, Adam

from ordlib.training.checkpoint import load_training_state, save_training_state

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

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.optim import SGD, Adam

from ordlib.training.checkpoint import load_training_state, save_training_state

RUN = {"method": "NumCLIP", "config": {"epochs": 3, "lr_multipliers": {}}, "ranks": (1, 2)}


def learner(seed: int) -> tuple[nn.Linear, Adam, SGD]:
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
    return tmp_path / "deeper" / "unfinished.safetensors"


def test_a_run_goes_on_in_the_same_bits(path):
    layer, *optimizers = learner(0)
    for _ in range(3):
        step(layer, *optimizers)
    save_training_state(
        path, RUN, {"model": layer.state_dict()}, optimizers, {"epoch": 3, "x": [0.1]}
    )
    other, *fresh = learner(1)
    states, progress = load_training_state(path, RUN, fresh)
    other.load_state_dict(states["model"])
    assert progress == {"epoch": 3, "x": [0.1]}
    for _ in range(2):
        step(layer, *optimizers)
        step(other, *fresh)
    assert torch.equal(layer.weight, other.weight)
    assert torch.equal(layer.bias, other.bias)


def test_parts_may_share_a_tensor_and_have_names_with_strokes(path):
    shared = torch.arange(4.0)
    states = {"model": {"a/b.c": shared}, "best": {"a/b.c": shared, "d": shared.view(2, 2).T}}
    save_training_state(path, RUN, states, [], {})
    found, _ = load_training_state(path, RUN, [])
    assert {part: sorted(state) for part, state in found.items()} == {
        "model": ["a/b.c"],
        "best": ["a/b.c", "d"],
    }
    assert torch.equal(found["best"]["d"], shared.view(2, 2).T)


def test_rates_stay_those_of_the_new_optimizer(path):
    layer, *optimizers = learner(0)
    step(layer, *optimizers)
    optimizers[0].param_groups[0]["lr"] = 1e-9
    save_training_state(path, RUN, {}, optimizers, {})
    _, *fresh = learner(0)
    load_training_state(path, RUN, fresh)
    assert fresh[0].param_groups[0]["lr"] == 0.1


def test_without_a_file_there_is_nothing(path):
    assert load_training_state(path, RUN, []) is None


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"method": "CoOp"}, "method was 'NumCLIP' there and is 'CoOp' now"),
        ({"config": {"epochs": 9, "lr_multipliers": {}}}, "config.epochs was 3 there and is 9 now"),
        (
            {"config": {"epochs": 3, "lr_multipliers": {"image_encoder": 0.1}}},
            "config.lr_multipliers.image_encoder was None there",
        ),
        ({"ranks": (1, 3)}, r"ranks was \[1, 2\] there and is \[1, 3\] now"),
    ],
)
def test_another_run_is_refused_and_what_differs_is_named(path, changed, told):
    save_training_state(path, RUN, {}, [], {})
    with pytest.raises(ValueError, match=told) as caught:
        load_training_state(path, RUN | changed, [])
    assert str(path) in str(caught.value)
    assert "Finish that run, delete the file, or give another folder" in str(caught.value)


def test_a_field_that_only_the_file_knows_is_refused_too(path):
    save_training_state(
        path, RUN | {"config": {"epochs": 3, "lr_multipliers": {"image_encoder": 0.1}}}, {}, [], {}
    )
    with pytest.raises(
        ValueError, match=r"config.lr_multipliers.image_encoder was 0.1 there and is None now"
    ):
        load_training_state(path, RUN, [])


def test_a_save_that_fails_leaves_the_last_one(path, monkeypatch):
    save_training_state(path, RUN, {"model": {"a": torch.ones(1)}}, [], {"epoch": 1})

    def broken(tensors, file, notes):
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("ordlib.training.checkpoint.save_file", broken)
    with pytest.raises(OSError, match="disk full"):
        save_training_state(path, RUN, {"model": {"a": torch.zeros(1)}}, [], {"epoch": 2})
    assert load_file(path)["model/a"].item() == 1
    assert [file.name for file in path.parent.iterdir()] == [path.name]

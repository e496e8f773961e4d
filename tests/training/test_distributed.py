"""Two processes compute the loss, gradients and training results of one process."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
import training_runs
from safetensors.torch import load_file
from training_runs import CONFIGS, KINDS, clone_state, make_model, run_on_two_processes, train

from ordlib.training.distributed import all_gather_with_grad

# Without --multi_gpu, accelerate starts a single process on a machine without GPUs. With it, the
# processes find no GPU and use gloo. Port 0 is a free port.
LAUNCHER = (
    *("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"),
    *("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"),
    *("--main_process_port", "0"),
)


def make_batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features and labels of six samples, and a weight shared by all processes."""
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(6, 5, generator=generator, dtype=torch.float64)
    weight = torch.randn(5, 5, generator=generator, dtype=torch.float64)
    return features.requires_grad_(), torch.arange(6), weight.requires_grad_()


def compute_loss(features, labels, weight) -> torch.Tensor:
    """A loss that compares each sample with every other one, weighted by label distance."""
    similarity = features @ weight @ features.T
    distance = (labels[:, None] - labels[None]).abs()
    return (distance * similarity).logsumexp(1).mean()


def test_all_gather_with_grad_returns_input_in_single_process():
    features = make_batch()[0]
    assert all_gather_with_grad(features) is features


def sharded_loss(rank: int) -> dict[str, torch.Tensor]:
    features, labels, weight = make_batch()
    rows = slice(3 * rank, 3 * rank + 3)
    shard = features[rows].T.contiguous().T  # not contiguous, as the features of some methods
    assert not shard.is_contiguous()
    gathered, gathered_labels = all_gather_with_grad(shard), all_gather_with_grad(labels[rows])
    loss = compute_loss(gathered, gathered_labels, weight)
    loss.backward()
    result = {"gathered": gathered.detach(), "labels": gathered_labels, "loss": loss.detach()}
    return result | {"features": features.grad, "weight": weight.grad}


def test_all_gather_with_grad_equals_single_process(tmp_path: Path):
    results = run_on_two_processes(sharded_loss, tmp_path)
    features, labels, weight = make_batch()
    loss = compute_loss(features, labels, weight)
    loss.backward()
    for result in results:
        assert torch.equal(result["gathered"], features.detach())
        assert torch.equal(result["labels"], labels)
        torch.testing.assert_close(result["loss"], loss.detach())
    # DistributedDataParallel averages gradients over processes.
    for name, expected in (("features", features.grad), ("weight", weight.grad)):
        torch.testing.assert_close((results[0][name] + results[1][name]) / 2, expected)


def without_key_bias(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """Drop the bias of attention keys, whose gradient is rounding error only."""
    if not name.endswith("in_proj_bias"):
        return tensor
    query, _, value = tensor.chunk(3)
    return torch.cat([query, value])


@pytest.fixture(scope="module")
def distributed_runs(tiny_clip_folder, tmp_path_factory, run_script):
    folder = tmp_path_factory.mktemp("distributed")
    arguments = ("distributed", tiny_clip_folder, folder)
    run_script(training_runs.__file__, *arguments, launcher=LAUNCHER)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_fit_on_two_processes_equals_one(kind, distributed_runs, tiny_clip_folder):
    model = make_model(kind, tiny_clip_folder)
    initial = clone_state(model)
    expected = train(model, config=CONFIGS[kind])
    for rank in (0, 1):
        report = json.loads((distributed_runs / f"{kind}-{rank}.json").read_text())
        assert (report["processes"], report["backend"]) == (2, "gloo")
        pd.testing.assert_frame_equal(pd.DataFrame(report["history"]), expected, rtol=1e-3)
        assert report["resumed"] == report["history"]
        weights = load_file(distributed_runs / f"{kind}-{rank}.safetensors")
        for name, tensor in model.trainable_state_dict().items():
            states = (weights[name], tensor, initial[name])
            a, b, start = (without_key_bias(name, state) for state in states)
            # If the second of two stages does not improve, the encoder is unchanged. Adam's steps
            # do not depend on the size of a gradient, so small ones amplify rounding errors.
            tolerance = 5e-2 if name.startswith("rankformer.") else 1e-2
            assert (a - b).norm() <= tolerance * (start - b).norm(), name


@pytest.mark.slow
def test_fit_refuses_batch_size_not_divisible_by_processes(distributed_runs):
    for rank in (0, 1):
        message = (distributed_runs / f"error-{rank}.txt").read_text()
        assert message == "batch_size = 5: must be divisible by 2 processes"

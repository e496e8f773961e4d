"""Two processes on CPUs, as a launcher starts them, find what one process finds.

Slow; tests/test_gathering.py has the quick sibling, loss and gradients of one step.
"""

import json

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from training_runs import CONFIGS, KINDS, make, train

pytestmark = pytest.mark.slow
# Without --multi_gpu, accelerate starts a single process on a machine without GPUs; with it,
# the processes find none and share by gloo. Port 0 is one that is free.
LAUNCHER = (
    *("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"),
    *("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"),
    *("--main_process_port", "0"),
)


def known(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """Leave out the bias of an attention's keys, whose gradient is rounding alone."""
    if not name.endswith("in_proj_bias"):
        return tensor
    query, _, value = tensor.chunk(3)
    return torch.cat([query, value])


@pytest.fixture(scope="module")
def shared(tiny_clip_folder, tmp_path_factory, other_process):
    folder = tmp_path_factory.mktemp("shared")
    other_process("shared", tiny_clip_folder, folder, launcher=LAUNCHER)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_end_where_one_does(kind, shared, tiny_clip_folder):
    model = make(kind, tiny_clip_folder)
    first = {name: tensor.clone() for name, tensor in model.trainable_state_dict().items()}
    expected = train(model, config=CONFIGS[kind])
    for rank in (0, 1):
        told = json.loads((shared / f"{kind}-{rank}.json").read_text())
        assert (told["processes"], told["backend"]) == (2, "gloo")
        pd.testing.assert_frame_equal(pd.DataFrame(told["history"]), expected, rtol=1e-3)
        assert told["again"] == told["history"]
        found = load_file(shared / f"{kind}-{rank}.safetensors")
        for name, tensor in model.trainable_state_dict().items():
            one, other, start = (known(name, t) for t in (found[name], tensor, first[name]))
            # Of two stages the second may be worse, and its tower is as it was.
            # Adam makes steps of equal size of small gradients, and so of their rounding.
            near = 5e-2 if name.startswith("rankformer.") else 1e-2
            assert (one - other).norm() <= near * (start - other).norm(), name


def test_a_batch_that_does_not_divide_is_refused(shared):
    for rank in (0, 1):
        told = (shared / f"refused-{rank}.txt").read_text()
        assert told == "batch = 5: must divide by 2, the number of processes"

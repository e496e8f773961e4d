"""Two processes on CPUs, as a launcher starts them, find what one process finds."""

import json

import pandas as pd
import pytest
from safetensors.torch import load_file
from training_runs import KINDS, make, train

# Without --multi_gpu, accelerate starts a single process on a machine without GPUs; with it,
# the processes find none and share by gloo. Port 0 is one that is free.
LAUNCHER = (
    *("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"),
    *("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"),
    *("--main_process_port", "0"),
)


@pytest.fixture(scope="module")
def shared(tiny_clip_folder, tmp_path_factory, other_process):
    folder = tmp_path_factory.mktemp("shared")
    other_process("shared", tiny_clip_folder, folder, launcher=LAUNCHER)
    return folder


@pytest.mark.xdist_group("shared")
@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_end_where_one_does(kind, shared, tiny_clip_folder):
    model = make(kind, tiny_clip_folder)
    first = {name: tensor.clone() for name, tensor in model.trained_state().items()}
    expected = train(model)
    for rank in (0, 1):
        told = json.loads((shared / f"{kind}-{rank}.json").read_text())
        assert (told["processes"], told["backend"]) == (2, "gloo")
        pd.testing.assert_frame_equal(pd.DataFrame(told["history"]), expected, rtol=1e-3)
        assert told["again"] == told["history"]
        found = load_file(shared / f"{kind}-{rank}.safetensors")
        for name, tensor in model.trained_state().items():
            apart = (found[name] - tensor).norm() / (first[name] - tensor).norm()
            assert apart < 1e-2, (name, apart)


@pytest.mark.xdist_group("shared")
def test_a_batch_that_does_not_divide_is_refused(shared):
    for rank in (0, 1):
        told = (shared / f"refused-{rank}.txt").read_text()
        assert told == "batch = 5: must divide by 2, the number of processes"

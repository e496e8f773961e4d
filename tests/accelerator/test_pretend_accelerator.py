"""Every method on an accelerator that refuses CPU tensors and counts what it tells the host."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

if missing := __import__("pretend_accelerator").missing():
    pytest.skip(missing, allow_module_level=True)
import accelerator_cases as cases

# Every method, encoder, precision and number of stages once; together they take half a minute.
QUICK = [
    "CoOp, frozen, float16, one stage",
    "OrdinalCLIP, full, float16, two stages",
    "FineTuned, lora, float32, one stage",
    "CORN, full, float32, two stages",
    "NumCLIP, lora, float16, one stage",
    "L2RCLIP, lora, float32, two stages",
    "RankingAdapter, frozen, float16, one stage",
    "ZeroShot and LinearProbe, frozen, float32",
]
# Half precision is rounded at every step, by other kernels than the CPU's.
NEAR = {"float32": 1e-4, "float16": 0.05}


@pytest.fixture(scope="module")
def run_cases(tiny_clip_folder, tmp_path_factory):
    """Run cases in one process, the first time that one of them is asked for."""
    known = {}

    def run(name: str) -> dict:
        if name not in known:
            folder = tmp_path_factory.mktemp("pretend")
            names = QUICK if name in QUICK else [each for each in cases.CASES if each not in QUICK]
            environment = {**os.environ, "ORDLIB_CACHE": str(folder / "cache")}
            command = [sys.executable, cases.__file__, tiny_clip_folder, folder / "out.json"]
            subprocess.run([*command, *names], env=environment, check=True)
            known.update(json.loads((folder / "out.json").read_text()))
        return known[name]

    return run


def check(name: str, found: dict) -> None:
    assert "error" not in found, found["error"]
    for what in ("resumed", "reloaded", "ranked", "out_of_distribution"):
        assert found.get(what, True), f"{what}: {found}"
    dtype = "float16" if "float16" in name else "float32"
    assert found.get("apart_from_cpu", 0) <= NEAR[dtype]
    # The loss, and nothing else.
    assert found.get("copies_per_step", {}).keys() <= {"_local_scalar_dense"}
    assert sum(found.get("copies_per_step", {}).values()) <= 1


@pytest.mark.parametrize("name", QUICK)
def test_it_runs_on_an_accelerator(name, run_cases):
    check(name, run_cases(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in cases.CASES if name not in QUICK])
def test_every_mode_runs_on_an_accelerator(name, run_cases):
    check(name, run_cases(name))


DEVICE = """
import os
import sys
sys.path.insert(0, {folder!r})
import torch
from pretend_accelerator import copies, pretend_accelerator
with pretend_accelerator() as device:
    one, other = torch.ones(2, 2), torch.ones(2, 2, device=device)
    for mixed in (lambda: one + other, lambda: other @ one, lambda: one[other.long()]):
        try:
            mixed()
        except RuntimeError as error:
            assert "expected all tensors to be on pretend:0" in str(error)
        else:
            raise AssertionError("devices were mixed")
    assert not copies
    (other + 1)[[0, 1]], other[torch.tensor([0])], other * torch.tensor(2.0)
    assert not copies
    other.cpu(), other.sum().item(), other[other > 0], other.tolist(), torch.equal(other, other)
    assert sum(copies.values()) == 5, copies
    weight = torch.ones(2, 2, device=device, requires_grad=True)
    (weight @ other).sum().backward()
    assert weight.grad.device == device and weight.grad.cpu().tolist() == [[2.0, 2.0]] * 2
os._exit(0)  # as in cases.py
"""


def test_the_device_refuses_what_a_gpu_refuses_and_counts_what_it_waits_for():
    code = DEVICE.format(folder=str(Path(cases.__file__).parent))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_this_process_has_no_such_device():
    assert not torch.accelerator.is_available() or torch.accelerator.current_accelerator().type in (
        "cuda",
        "mps",
        "xpu",
    )

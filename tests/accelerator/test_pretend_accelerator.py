"""Every method on an accelerator that refuses CPU tensors and counts copies to the host."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pretend_accelerator
import pytest
import torch

if missing := pretend_accelerator.missing():
    pytest.skip(missing, allow_module_level=True)
import accelerator_cases as cases

# Every kind of method, encoder, precision and number of stages once.
QUICK = [
    "CoOp, frozen, float16, one stage",
    "CORN, full, float32, two stages",
    "NumCLIP, lora, float16, one stage",
    "RankingAdapter, frozen, float16, one stage",
    "ZeroShot and LinearProbe, frozen, float32",
]
# Half precision is rounded at every step, by other kernels than those of the CPU.
TOLERANCE = {"float32": 1e-4, "float16": 0.05}


@pytest.fixture(scope="module")
def run_cases(tiny_clip_folder, tmp_path_factory):
    """Run quick or slow cases together in one process, and return the result of one."""
    results = {}

    def run(name: str) -> dict:
        if name not in results:
            folder = tmp_path_factory.mktemp("pretend")
            names = QUICK if name in QUICK else [n for n in cases.CASES if n not in QUICK]
            environment = {**os.environ, "ORDLIB_CACHE": str(folder / "cache")}
            command = [sys.executable, cases.__file__, tiny_clip_folder, folder / "out.json"]
            subprocess.run([*command, *names], env=environment, check=True)
            results.update(json.loads((folder / "out.json").read_text()))
        return results[name]

    return run


def check_result(name: str, result: dict) -> None:
    assert "error" not in result, result["error"]
    for key in ("stopped", "resumed", "archived", "reloaded", "ranked", "ood_scores_finite"):
        assert result.get(key, True), f"{key}: {result}"
    dtype = "float16" if "float16" in name else "float32"
    assert result.get("error_vs_cpu", 0) <= TOLERANCE[dtype]
    # The loss, and nothing else.
    assert result.get("copies_per_step", {}).keys() <= {"_local_scalar_dense"}
    assert sum(result.get("copies_per_step", {}).values()) <= 1


@pytest.mark.parametrize("name", QUICK)
def test_method_runs_on_accelerator(name, run_cases):
    check_result(name, run_cases(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in cases.CASES if name not in QUICK])
def test_all_modes_run_on_accelerator(name, run_cases):
    check_result(name, run_cases(name))


DEVICE = """
import os
import sys
sys.path.insert(0, {folder!r})
import torch
from pretend_accelerator import copies, pretend_accelerator
with pretend_accelerator() as device:
    a, b = torch.ones(2, 2), torch.ones(2, 2, device=device)
    for mixed in (lambda: a + b, lambda: b @ a, lambda: a[b.long()]):
        try:
            mixed()
        except RuntimeError as error:
            assert "expected all tensors to be on pretend:0" in str(error)
        else:
            raise AssertionError("devices were mixed")
    assert not copies
    (b + 1)[[0, 1]], b[torch.tensor([0])], b * torch.tensor(2.0)
    assert not copies
    b.cpu(), b.sum().item(), b[b > 0], b.tolist(), torch.equal(b, b)
    assert sum(copies.values()) == 5, copies
    weight = torch.ones(2, 2, device=device, requires_grad=True)
    (weight @ b).sum().backward()
    assert weight.grad.device == device and weight.grad.cpu().tolist() == [[2.0, 2.0]] * 2
os._exit(0)  # as in accelerator_cases.py
"""


def test_pretend_accelerator_refuses_mixed_devices_and_counts_copies():
    code = DEVICE.format(folder=str(Path(cases.__file__).parent))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_pretend_accelerator_is_not_installed_on_import():
    available = torch.accelerator.is_available()
    assert not available or torch.accelerator.current_accelerator().type != pretend_accelerator.NAME

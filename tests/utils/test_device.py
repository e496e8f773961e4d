"""Devices of processes, and the versions for model cards."""

from importlib.metadata import PackageNotFoundError, version

import pytest
import torch

import ordlib
from ordlib.utils import device


def test_versions_need_no_installation_of_ordlib(monkeypatch):
    def found(name: str) -> str:
        if name == "ordlib":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(device, "version", found)
    versions = device.versions()
    assert versions["ordlib"] == ordlib.__version__
    assert versions["torch"] == version("torch")
    assert list(versions)[-1] == "ordlib"


@pytest.mark.parametrize(
    ("device_name", "local_rank", "expected"),
    [("cuda", "1", "cuda:1"), ("cuda", "3", "cuda:1"), ("cuda:0", "1", "cuda:0"),
     ("cuda", None, "cuda"), ("cpu", "1", "cpu")],
)  # fmt: skip
def test_pick_local_device_takes_the_accelerators_in_turn(
    monkeypatch, device_name, local_rank, expected
):
    chosen = []
    monkeypatch.setattr(device, "pick_device", torch.device)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setattr(torch.accelerator, "set_device_index", chosen.append)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if local_rank is not None:
        monkeypatch.setenv("LOCAL_RANK", local_rank)
    assert device.pick_local_device(device_name) == torch.device(expected)
    assert chosen == ([1] if expected == "cuda:1" else [])

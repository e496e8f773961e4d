import re
import urllib.error
from collections import namedtuple
from contextlib import nullcontext
from functools import partial
from unittest.mock import Mock

import pytest
import torch
from huggingface_hub import constants

import ordlib
from ordlib.course import _doctor
from ordlib.course._doctor import Check, Report, doctor


def line(name: str, **kwargs: bool) -> str:
    """The line of one check, by default without network."""
    checks = doctor(**{"network": False, **kwargs}).checks
    return next(str(check) for check in checks if check.name == name)


def test_doctor_without_network_and_paths_is_the_same_everywhere(monkeypatch, tmp_path):
    before = str(ordlib.doctor(network=False, paths=False))
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path))
    monkeypatch.setenv("COLAB_RELEASE_TAG", "x")
    version = _doctor.version
    monkeypatch.setattr(_doctor, "version", lambda name: version(name) + ".post1")
    assert str(doctor(network=False, paths=False)) == before
    assert not re.search(r"/|\bcpu\b|cuda|GB", before)
    assert set(re.findall(r"\[\w+\]", before)) == {"[OK]"}


def test_report_prints_as_text():
    report = Report((Check("disk", "full", "empty it"), Check("torch", ">=2.9")))
    assert repr(report) == "[FIX] disk: full\n      -> empty it\n[OK]  torch: >=2.9"
    assert not report.ok


def test_doctor_reports_missing_and_old_versions(monkeypatch):
    def version(name):
        if name == "peft":
            raise _doctor.PackageNotFoundError(name)
        return {"torch": "1.13", "numpy": "2.1rc1"}.get(name, "99")

    monkeypatch.setattr(_doctor, "version", version)
    monkeypatch.setattr(_doctor.platform, "python_version", lambda: "3.10.4")
    names = ("Python", "torch", "peft", "numpy")
    python, torch, peft, numpy = (line(name, paths=False) for name in names)
    fix = "\n      -> "
    assert python == f"[FIX] Python: >=3.11,<3.14{fix}install a Python that is >=3.11,<3.14"
    assert torch == f'[FIX] torch: 1.13, >=2.9 is needed{fix}pip install "torch>=2.9"'
    assert peft.startswith("[FIX] peft: missing, >=0.18 is needed")
    assert numpy == "[OK]  numpy: >=2.0"
    monkeypatch.setenv("COLAB_RELEASE_TAG", "x")
    assert '%pip install "torch>=2.9", then Runtime' in line("torch", paths=False)


def test_doctor_accepts_a_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert line("device").startswith("[OK]  device: cpu")
    monkeypatch.setenv("COLAB_RELEASE_TAG", "x")
    assert "Runtime > Change runtime type > T4" in line("device")


def test_doctor_reports_full_and_read_only_disks(monkeypatch, tmp_path):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path / "not" / "yet"))
    assert line("cache of ordlib").startswith("[OK]")
    assert not (tmp_path / "not").exists()
    usage = namedtuple("usage", "free")(1e9)
    monkeypatch.setattr(_doctor.shutil, "disk_usage", lambda path: usage)
    message = "1 GB free\n      -> free 2 GB there, or set the environment variable ORDLIB_CACHE"
    assert message in line("cache of ordlib")
    assert "HF_HOME" in line("cache of the hub")

    read_only = Mock(side_effect=PermissionError(13, "Permission denied"))
    monkeypatch.setattr(_doctor.tempfile, "TemporaryFile", read_only)
    assert "cannot be written (Permission denied)" in line("cache of ordlib")


def test_doctor_does_not_need_the_hub(monkeypatch):
    hub = partial(line, "Hugging Face hub", network=True, paths=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "switched off by HF_HUB_OFFLINE=1" in hub()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    answers = Mock(side_effect=[urllib.error.URLError("no route"), nullcontext()])
    monkeypatch.setattr(_doctor.urllib.request, "urlopen", answers)
    assert re.match(r"\[OK\].* is not reachable .*needed only to fetch a real CLIP", hub())
    assert hub() == "[OK]  Hugging Face hub: reachable"


@pytest.mark.parametrize("ok", [True, False])
def test_doctor_reports_low_memory(monkeypatch, ok):
    memory = namedtuple("memory", "available")(3e9 if ok else 1e9)
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    assert line("memory").startswith("[OK]" if ok else "[FIX]")

"""Environment diagnostics: Python, packages, device, memory, disk, Hub access."""

import os
import platform
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from ordlib.utils.cache import cache_dir

FREE_DISK = 2  # GB: synthetic images, cached features, and one CLIP checkpoint
FREE_MEMORY = 2  # GB


@dataclass(frozen=True)
class Check:
    """Result of one check."""

    name: str
    detail: str
    fix: str = ""  # remedy; empty if the check passes

    def __str__(self) -> str:
        line = f"{'[FIX]' if self.fix else '[OK] '} {self.name}: {self.detail}"
        return f"{line}\n      -> {self.fix}" if self.fix else line


@dataclass(frozen=True)
class Report:
    """Results of all checks, printed one per line."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether all checks pass."""
        return not any(check.fix for check in self.checks)

    def __str__(self) -> str:
        return "\n".join(map(str, self.checks))

    __repr__ = __str__


def doctor(network: bool = True, paths: bool = True) -> Report:
    """Diagnose the environment: Python, packages, device, memory, disk and Hub access.

    Args:
        network: also check that the Hugging Face Hub is reachable.
        paths: also report what differs between machines: versions, hardware, folders. Without
            it the report is the same on every machine that passes all checks.

    Returns:
        A report that prints as text, with ``[OK]`` or ``[FIX]`` and a remedy for each check.

    Example:
        >>> print(str(doctor(network=False, paths=False)).splitlines()[0])
        [OK]  Python: >=3.11,<3.14
    """
    requirements = map(Requirement, requires("ordlib") or [])
    checks = [_python(paths), *(_package(r, paths) for r in requirements if r.marker is None)]
    if paths:
        checks += [check_device(), _memory(), *_folders()]
    if network:
        checks.append(_hub())
    return Report(tuple(checks))


def on_colab() -> bool:
    """Whether this runs in Google Colab."""
    return "COLAB_RELEASE_TAG" in os.environ


def _python(paths: bool) -> Check:
    needed = metadata("ordlib")["Requires-Python"]
    fits = Requirement(f"python{needed}").specifier.contains(platform.python_version())
    versions = ",".join(sorted(needed.split(","), reverse=True))
    detail = f"{platform.python_version()} in {sys.prefix}" if paths else versions
    return Check("Python", detail, "" if fits else f"install a Python that is {versions}")


def _package(requirement: Requirement, paths: bool) -> Check:
    name, needed = requirement.name, str(requirement.specifier)
    command = f'{"%pip" if on_colab() else "pip"} install "{name}{needed}"'
    try:
        installed = version(name)
    except PackageNotFoundError:
        return Check(name, f"missing, {needed} is needed", command)
    if not requirement.specifier.contains(installed, prereleases=True):
        restart = ", then Runtime > Restart session" if on_colab() else ""
        return Check(name, f"{installed}, {needed} is needed", command + restart)
    return Check(name, installed if paths else needed)


def check_device() -> Check:
    """Return which device torch uses; on Colab, also where to choose a GPU."""
    try:
        import torch
    except Exception as error:  # a broken install fails in many ways
        fix = "pip install --force-reinstall torch"
        return Check("device", f"torch does not load ({error})", fix)
    if torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory / 1e9
        return Check("device", f"cuda, {torch.cuda.get_device_name(0)}, {total:.0f} GB")
    if torch.backends.mps.is_available():
        return Check("device", "mps, the GPU of this Mac")
    hint = "; for a GPU choose Runtime > Change runtime type > T4" if on_colab() else ""
    return Check("device", f"cpu, {torch.get_num_threads()} threads, enough for the course{hint}")


def _memory() -> Check:
    import psutil

    free = psutil.virtual_memory().available / 1e9
    fix = "close other programs and notebooks: Kernel > Shut Down All Kernels"
    return Check("memory", f"{free:.1f} GB free", "" if free >= FREE_MEMORY else fix)


def _folders() -> Iterator[Check]:
    from huggingface_hub import constants

    yield _folder("cache of ordlib", cache_dir(), "ORDLIB_CACHE")
    yield _folder("cache of the hub", Path(constants.HF_HUB_CACHE), "HF_HOME")


def _folder(name: str, folder: Path, variable: str) -> Check:
    existing = next(parent for parent in [folder, *folder.parents] if parent.exists())
    fix = f"set the environment variable {variable} to a folder"
    try:
        with tempfile.TemporaryFile(dir=existing):
            free = shutil.disk_usage(existing).free / 1e9
    except OSError as error:
        return Check(name, f"{folder} cannot be written ({error.strerror})", f"{fix} that can")
    fix = f"free {FREE_DISK} GB there, or {fix} with more room"
    return Check(name, f"{folder}, {free:.0f} GB free", "" if free >= FREE_DISK else fix)


def _hub() -> Check:
    from huggingface_hub import constants

    name = "Hugging Face hub"
    # No [FIX]: the course itself needs no network.
    hint = (
        "needed only to fetch a real CLIP: check the connection or proxy, or bring a "
        "checkpoint's folder here and give its path as backbone"
    )
    if constants.HF_HUB_OFFLINE:
        return Check(name, f"switched off by HF_HUB_OFFLINE=1; {hint}")
    try:
        with urllib.request.urlopen(constants.ENDPOINT, timeout=5):
            return Check(name, "reachable")
    except OSError as error:
        return Check(name, f"{constants.ENDPOINT} is not reachable ({error}); {hint}")

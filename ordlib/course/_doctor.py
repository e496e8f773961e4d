"""Is everything here that the course needs? Each answer is [OK], or [FIX] and what to do."""

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
from types import ModuleType

from packaging.requirements import Requirement

from ordlib.utils.cache import cache_dir

FREE_DISK = 2  # GB: the rendered world, features, and one CLIP checkpoint
FREE_MEMORY = 2  # GB


@dataclass(frozen=True)
class Check:
    """One answer: what was looked at, and what there is or is needed."""

    name: str
    found: str
    fix: str = ""  # what to do about it; empty if all is well

    def __str__(self) -> str:
        line = f"{'[FIX]' if self.fix else '[OK] '} {self.name}: {self.found}"
        return f"{line}\n      -> {self.fix}" if self.fix else line


@dataclass(frozen=True)
class Report:
    """All answers, in the order in which they print, a line each."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing needs a fix."""
        return not any(check.fix for check in self.checks)

    def __str__(self) -> str:
        return "\n".join(map(str, self.checks))

    __repr__ = __str__


def doctor(network: bool = True, paths: bool = True) -> Report:
    """Look at everything that the course stands on.

    Args:
        network: also ask whether the Hugging Face hub can be reached.
        paths: also say what is particular to this machine: versions, hardware, folders.
            Without it the report names only what is needed, and so reads the same on
            every machine on which all is well.

    Returns:
        A report that prints as text; ``report.ok`` is True if nothing needs a fix.

    Example:
        >>> print(str(doctor(network=False, paths=False)).splitlines()[0])
        [OK]  Python: >=3.11,<3.14
    """
    checks = [_python(paths), *_packages(paths)]
    if paths:
        checks += [_device(), _memory(), *_folders()]
    if network:
        checks.append(_hub())
    return Report(tuple(checks))


def on_colab() -> bool:
    """Tell whether this runs in Google Colab."""
    return "COLAB_RELEASE_TAG" in os.environ


def _python(paths: bool) -> Check:
    needed = metadata("ordlib")["Requires-Python"]
    fits = Requirement(f"python{needed}").specifier.contains(platform.python_version())
    shown = ",".join(sorted(needed.split(","), reverse=True))
    found = f"{platform.python_version()} in {sys.prefix}" if paths else shown
    return Check("Python", found, "" if fits else f"install a Python that is {shown}")


def _packages(paths: bool) -> Iterator[Check]:
    for requirement in map(Requirement, requires("ordlib") or []):
        if requirement.marker is None:
            yield _package(requirement, paths)


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


def _device() -> Check:
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
    there = next(parent for parent in [folder, *folder.parents] if parent.exists())
    other = f"set the environment variable {variable} to a folder"
    try:
        with tempfile.TemporaryFile(dir=there):
            free = shutil.disk_usage(there).free / 1e9
    except OSError as error:
        return Check(name, f"{folder} cannot be written ({error.strerror})", f"{other} that can")
    roomier = f"free {FREE_DISK} GB there, or {other} with more room"
    return Check(name, f"{folder}, {free:.0f} GB free", "" if free >= FREE_DISK else roomier)


def _hub() -> Check:
    from huggingface_hub import constants

    name = "Hugging Face hub"
    # Not a fault: the course needs it for nothing, only who wants a real CLIP does.
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
        return Check(name, f"{constants.ENDPOINT} does not answer ({error}); {hint}")


class _Callable(ModuleType):
    """Keeps ``ordlib.doctor()`` a call, although importing this module puts it in its place."""

    __call__ = staticmethod(doctor)


sys.modules[__name__].__class__ = _Callable

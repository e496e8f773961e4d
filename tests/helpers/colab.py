"""Colab's packages: the published list, stubs of all of them, and its Jupyter in an environment.

    python tests/helpers/colab.py install FOLDER    Colab's Jupyter, beside this Python's packages
    python tests/helpers/colab.py kernel            the versions in a kernel, compared with the list

The stubs stand in for what cannot be installed everywhere: CUDA, and packages of Colab alone.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import VERSION_PATTERN

ROOT = Path(__file__).parents[2]
FREEZE = ROOT / "tests" / "colab" / "pip-freeze.txt"
# What the notebooks meet first on Colab, all years older than in requirements.lock.
JUPYTER = ("ipykernel", "ipython", "ipywidgets", "jupyter-client")
FITS = "import sys, venv; sys.exit(sys.version_info < (3, 12))"


def read_freeze(text: str) -> dict[str, str]:
    """Version by canonical name, from lines ``NAME==VERSION`` and ``NAME @ URL``.

    Example:
        >>> read_freeze("Foo_bar==1.0+cu128\\nbaz @ file:///wheels/baz-2.1.3-py3-none-any.whl")
        {'foo-bar': '1.0+cu128', 'baz': '2.1.3'}
    """
    pattern = rf"(?P<name>[\w.-]+) (?: == | \s@\s\S*/[\w.]+- ) (?P<version>{VERSION_PATTERN})"
    line = re.compile(pattern, re.VERBOSE | re.IGNORECASE)
    lines = [row for row in text.splitlines() if row and not row.startswith("#")]
    if unread := [row for row in lines if not line.match(row)]:
        raise ValueError(f"{unread}: neither NAME==VERSION nor NAME @ URL/NAME-VERSION")
    matches = map(line.match, lines)
    return {canonicalize_name(match["name"]): match["version"] for match in matches}


COLAB = read_freeze(FREEZE.read_text("utf-8"))


def find_python() -> str | None:
    """Path of a Python 3.12 or newer: ``$COLAB_PYTHON``, otherwise the first one that is found."""
    chosen = os.environ.get("COLAB_PYTHON")
    for name in [chosen] if chosen else ["python3.13", "python3.12", sys.executable]:
        python = shutil.which(name)
        # The commands of a version manager exist for versions that it has switched off, too.
        if python and subprocess.run([python, "-c", FITS], capture_output=True).returncode == 0:
            return python
    if chosen:
        raise SystemExit(f"COLAB_PYTHON={chosen}: is no Python 3.12 or newer with its venv module")
    return None


def make_stubs(folder: Path, python: str) -> Path:
    """Make an environment that seems to have all of Colab's packages, and return its Python."""
    subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True)
    stubbed = _python(folder)
    packages = _site_packages(stubbed)
    for name, version in COLAB.items():
        info = packages / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return stubbed


def build_wheel(source: Path, folder: Path) -> Path:
    """Build the wheel of a project with the installed setuptools: without network."""
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, source], check=True)
    return next(folder.glob("*.whl"))


def what_pip_installs(wheel: Path, python: Path) -> dict[str, str]:
    """Version by canonical name of all that pip would install with a wheel.

    Raises:
        ValueError: pip finds no versions that fit, or reaches no index; with its message.
    """
    report = wheel.with_suffix(".json")
    options = ["--quiet", "--dry-run", "--report", report, wheel]
    command = [sys.executable, "-m", "pip", "--python", python, "install", *options]
    pip = subprocess.run(command, capture_output=True, text=True, check=False)
    if pip.returncode:
        raise ValueError(pip.stderr)
    found = [item["metadata"] for item in json.loads(report.read_text("utf-8"))["install"]]
    return {canonicalize_name(package["name"]): package["version"] for package in found}


def install_jupyter(folder: Path) -> None:
    """Make an environment with Colab's Jupyter and pip; all other packages are those of this one.

    setuptools is a newer one: pip on Colab, too, builds the package with another than Colab's.
    """
    venv.create(folder, clear=True, with_pip=False)
    python, pins = _python(folder), folder / "constraints.txt"
    versions = {name: version for name, version in COLAB.items() if name != "setuptools"}
    pins.write_text("".join(f"{name}=={version}\n" for name, version in versions.items()))
    options = ["--quiet", "--disable-pip-version-check", "--constraint", pins]
    command = [sys.executable, "-m", "pip", "--python", python, "install", *options]
    subprocess.run([*command, *JUPYTER, "pip"], check=True)
    paths = {scheme: sysconfig.get_path(scheme) for scheme in ("purelib", "platlib")}
    lines = [f"import site; site.addsitedir({path!r})\n" for path in sorted({*paths.values()})]
    (_site_packages(python) / "all-others.pth").write_text("".join(lines))


def check_kernel() -> int:
    """Print the versions that a notebook's kernel has, and return 1 if they are not Colab's."""
    import nbclient
    from nbformat.v4 import new_code_cell, new_notebook

    code = f"import importlib.metadata as m; print(*map(m.version, {JUPYTER}))"
    notebook = nbclient.execute(new_notebook(cells=[new_code_cell(code)]), kernel_name="python3")
    found = dict(zip(JUPYTER, notebook.cells[0].outputs[0].text.split(), strict=True))
    print(found)
    return int(found != {name: COLAB[name] for name in JUPYTER})


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _site_packages(python: Path) -> Path:
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Path(subprocess.check_output([python, "-c", code], text=True).strip())


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["install", folder]:
            install_jupyter(Path(folder))
        case ["kernel"]:
            sys.exit(check_kernel())
        case _:
            sys.exit(__doc__)

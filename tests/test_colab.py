"""pip on Colab installs the package alone: what Colab has stays, so that nothing is restarted."""

import shutil
from pathlib import Path

import pytest
from colab import COLAB, build_wheel, find_python, make_stubs, what_pip_installs

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A Python for which all of Colab's packages are installed, as far as pip sees."""
    if not (found := find_python()):
        pytest.skip("needs Python 3.12 or newer: on the path, or in COLAB_PYTHON")
    return make_stubs(tmp_path_factory.mktemp("stubs") / "venv", found)


@pytest.fixture
def project(tmp_path):
    """A copy of what the package is built from."""
    pytest.importorskip("setuptools", "77")
    folder = tmp_path / "project"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "ordlib", folder / "ordlib", ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


def test_pip_changes_no_package_of_colab(python, project, tmp_path):
    installs = what_pip_installs(build_wheel(project, tmp_path), python)
    print(f"pip would install: {installs}")
    assert "ordlib" in installs
    # What Colab lacks may be added.
    assert {name: (COLAB[name], installs[name]) for name in installs.keys() & COLAB.keys()} == {}


def test_pip_names_a_package_that_it_would_have_to_change(python, project, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    settings = project / "pyproject.toml"
    settings.write_text(settings.read_text("utf-8").replace('"numpy>=2.0"', '"numpy>=2.2"'))
    wheel = build_wheel(project, tmp_path)
    with pytest.raises(ValueError, match=r"No matching distribution found for numpy>=2\.2"):
        what_pip_installs(wheel, python)

"""The Makefile opens copies of the notebooks."""

import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[1] / "Makefile"


@pytest.fixture
def project(tmp_path):
    """A folder with a notebook, whose JupyterLab appends a line to every notebook it opens."""
    shutil.copy(MAKEFILE, tmp_path)
    for name in ("pyproject.toml", "requirements.lock", ".venv/ready", "notebooks/00.ipynb"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("as committed\n")
    jupyter = tmp_path / ".venv" / "bin" / "jupyter"
    jupyter.parent.mkdir()
    jupyter.write_text('#!/bin/sh\nfor f in "$2"/*.ipynb; do echo edited >> "$f"; done\n')
    jupyter.chmod(0o755)
    return tmp_path


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_make_lab_opens_a_copy_and_keeps_it(project):
    for _ in range(2):
        subprocess.run(["make", "lab"], cwd=project, check=True, capture_output=True)
    assert (project / "notebooks" / "00.ipynb").read_text() == "as committed\n"
    copy = project / "my-notebooks" / "00.ipynb"
    assert copy.read_text() == "as committed\nedited\nedited\n"
    subprocess.run(["make", "clean"], cwd=project, check=True, capture_output=True)
    assert copy.is_file()

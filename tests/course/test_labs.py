"""Every lab runs to its end under nbconvert alone, as a student has it: nothing is solved."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

LABS = sorted((Path(__file__).parents[2] / "notebooks" / "labs").glob("*.ipynb"))


def printed(notebook: nbformat.NotebookNode) -> str:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(str(o.get("text") or o.get("data", {}).get("text/plain")) for o in outputs)


@pytest.mark.slow
@pytest.mark.parametrize("lab", LABS, ids=lambda path: path.stem)
def test_lab_runs_under_nbconvert_and_no_exercise_is_solved(lab, tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_RESULTS", str(tmp_path / "results"))
    # From a folder without any other file, as on Colab.
    (tmp_path / "alone").mkdir()
    opened = shutil.copy(lab, tmp_path / "alone")
    command = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--inplace"]
    options = ["--ExecutePreprocessor.timeout=300", opened]
    run = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    executed = nbformat.read(opened, as_version=4)
    num_exercises = sum(cell.source.count("### Exercise ") for cell in executed.cells)
    states = re.findall(r"(?m)^. (passed|not yet|not tried yet):", printed(executed))
    # Notebook 00 shows a check at work before its first exercise.
    assert len(states) >= num_exercises > 0
    assert "passed" not in states

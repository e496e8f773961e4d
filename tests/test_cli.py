import subprocess
import sys
from types import ModuleType, SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from typer.testing import CliRunner

from ordlib import cli, doctor
from ordlib.course.cleaning import METADATA
from ordlib.doctor import Check, Report


def invoke(*args: str):
    return CliRunner().invoke(cli.app, args, catch_exceptions=False)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A project with a notebook that fails if told to, as the current folder."""
    (folder := tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    tagged = new_code_cell("rank: int = 3  # which", metadata={"tags": ["parameters"]})
    cells = [tagged, new_code_cell("assert rank <= 20, 'rank is not in 1..20'")]
    nbformat.write(new_notebook(cells=cells, metadata=METADATA), folder / "00_rank.ipynb")
    return folder


def test_help_names_the_commands_and_loads_nothing_heavy():
    code = (
        "import sys; from typer.testing import CliRunner; from ordlib.cli import app\n"
        "print(CliRunner().invoke(app, ['--help']).output)\n"
        "heavy = {'torch', 'papermill', 'numpy', 'nbformat', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for command in ("run", "notebooks", "rank", "doctor", "address", "audit"):
        assert command in done.stdout


def test_a_run_from_the_command_line(home, tmp_path):
    good = invoke("run", "00", "-p", "rank", "20", "--output", "out")
    assert good.exit_code == 0, good.output
    assert "00_rank: ok" in good.output
    assert "The budgets hold for the committed parameters" in good.output
    assert "Budget per notebook, 60 s: within it" in invoke("run", "--output", "plain").output
    assert f"Open {tmp_path.resolve() / 'out' / 'index.html'}" in good.output
    assert (tmp_path / "out" / "00_rank.html").is_file()
    bad = invoke("run", "-p", "rank=21", "--output", "out")
    assert bad.exit_code == 1
    assert "cell 2 (assert rank <= 20" in bad.output
    assert "AssertionError: rank is not in 1..20" in bad.output
    assert (tmp_path / "out" / "index.html").is_file()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["run", "-p", "rnk", "3"], "no parameter 'rnk'; it has rank. Did you mean 'rank'?"),
        (["run", "-p", "rank", "many"], "takes a value of type int"),
        (["run", "07"], "No notebook begins with '07'; there are 00_rank"),
        (["run", "--output", "notebooks"], "holds the notebooks themselves"),
        (["run", "--notebooks", "nowhere"], "There is no notebook there"),
        (["notebooks"], "There is no notebook there"),
        (["address"], "No pyproject.toml"),
    ],
)
def test_mistakes_are_one_clear_line_and_nothing_runs(home, tmp_path, args, says):
    result = invoke(*args)
    assert result.exit_code == 1
    assert says in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert not (tmp_path / "build").exists()


def test_missing_course_tools_are_named(home, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("ordlib.course")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("ordlib.course", raising=False)
    monkeypatch.setitem(sys.modules, "papermill", None)
    result = invoke("run")
    assert result.exit_code == 1
    assert "pip install 'ordlib[course]'" in result.output
    assert "papermill" in result.output


def test_doctor_exits_1_only_if_something_needs_a_fix(monkeypatch):
    asked = []

    def report(*checks):
        return lambda network: asked.append(network) or Report(checks)

    monkeypatch.setattr(doctor, "doctor", report(Check("device", "cpu")))
    well = invoke("doctor", "--no-network")
    assert (well.exit_code, well.output) == (0, "[OK]  device: cpu\n")
    monkeypatch.setattr(doctor, "doctor", report(Check("disk", "full", "empty it")))
    ill = invoke("doctor")
    assert (ill.exit_code, asked) == (1, [False, True])


@pytest.mark.parametrize("passed", [True, False])
def test_audit_exits_1_if_labels_leak(monkeypatch, passed):
    audit = ModuleType("ordlib.audit")
    audit.audit = lambda task: SimpleNamespace(passed=passed, task=task)
    monkeypatch.setitem(sys.modules, "ordlib.audit", audit)
    result = invoke("audit", "counting")
    assert result.exit_code == (0 if passed else 1)
    assert "task='counting'" in result.output
    assert "task='quality'" not in result.output
    assert "task='quality'" in invoke("audit").output


def test_address_says_what_it_wrote(tmp_path):
    repository = 'Repository = "https://github.com/a/b"'
    (tmp_path / "pyproject.toml").write_text(f"[project.urls]\n{repository}\n")
    (tmp_path / "README.md").write_text("git clone https://github.com/OWNER/ordlib\n")
    assert f"wrote {tmp_path / 'README.md'}" in invoke("address", "--root", str(tmp_path)).output
    assert "agrees" in invoke("address", "--root", str(tmp_path)).output

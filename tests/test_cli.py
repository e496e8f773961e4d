import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest.mock import Mock, call

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from published_fixtures import FIXTURES
from typer.testing import CliRunner

from ordlib import cli
from ordlib.course import _doctor as doctor
from ordlib.course._doctor import Check, Report
from ordlib.course.runner.build import METADATA

# Names that the help of each command must contain.
HELP = {
    "": "train train-adapter pretrain evaluate-clip rank doctor cache course results data "
    "reproduce",
    "data": "list check", "data check": "name root", "reproduce": "--root --protocol --shots",
    "course": "run build audit set-url", "results": "make", "train": "--task --output --set",
    "train-adapter": "--task --output", "pretrain": "--count-caption-fraction --output",
    "evaluate-clip": "folder", "rank": "--prompt --model --html", "doctor": "--network",
    "cache": "--older-than --max-size",
    "results make": "--output --seeds --set", "course run": "--parameter --output",
    "course build": "--timeout", "course audit": "counting,", "course set-url": "--root",
}  # fmt: skip


def invoke(*args: str):
    return CliRunner().invoke(cli.app, args, catch_exceptions=False)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A project with a notebook that fails for rank > 20, as the current folder."""
    (folder := tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    tagged = new_code_cell("rank: int = 3  # which", metadata={"tags": ["parameters"]})
    cells = [tagged, new_code_cell("assert rank <= 20, 'rank is not in 1..20'")]
    nbformat.write(new_notebook(cells=cells, metadata=METADATA), folder / "00_rank.ipynb")
    return folder


def test_help_lists_commands_and_imports_nothing_heavy():
    code = (
        "import sys; from typer.testing import CliRunner; from ordlib.cli import app\n"
        f"for words in {list(HELP)}:\n"
        "    print(CliRunner().invoke(app, [*words.split(), '--help']).output, end='<end>')\n"
        "heavy = {'torch', 'papermill', 'numpy', 'nbformat', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    wide = os.environ | {"COLUMNS": "120"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=wide)
    assert done.returncode == 0, done.stderr
    *outputs, _ = done.stdout.lower().split("<end>")
    for names, output in zip(HELP.values(), outputs, strict=True):
        assert "usage:" in output
        assert set(names.split()) <= set(output.split()), output


def test_course_run_writes_html(home, tmp_path):
    good = invoke("course", "run", "00", "-p", "rank", "20", "--output", "out")
    assert good.exit_code == 0, good.output
    assert "00_rank: ok" in good.output
    assert "The budgets hold for the committed parameters" in good.output
    plain = invoke("course", "run", "--output", "plain")
    assert "Budget per notebook, 60 s: within it" in plain.output
    assert f"Open {tmp_path.resolve() / 'out' / 'index.html'}" in good.output
    assert (tmp_path / "out" / "00_rank.html").is_file()
    bad = invoke("course", "run", "-p", "rank=21", "--output", "out")
    assert bad.exit_code == 1
    assert "cell 2 (assert rank <= 20" in bad.output
    assert "AssertionError: rank is not in 1..20" in bad.output
    assert (tmp_path / "out" / "index.html").is_file()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["course", "run", "-p", "rnk", "3"], "'rnk'; it has rank. Did you mean 'rank'?"),
        (["course", "run", "-p", "rank", "many"], "takes a value of type int"),
        (["course", "run", "07"], "No notebook begins with '07'; there are 00_rank"),
        (["course", "run", "--output", "notebooks"], "is not from an earlier run"),
        (["course", "run", "--notebooks", "nowhere"], "There is no notebook there"),
        (["course", "build"], "There is no notebook there"),
        (["course", "set-url"], "No pyproject.toml"),
        (["results", "make", "x"], "table = 'x': no such results table"),
        (["results", "make", "rank_attention", "--seeds", "2"], "seeds = 2: unknown setting"),
        (["results", "make", "methods", "--set", "x=1"], "x = 1: unknown setting of methods"),
        (["results", "make", "methods", "--set", "x"], "--set x: must have the form NAME=VALUE"),
    ],
)
def test_invalid_arguments_fail_with_one_line(home, tmp_path, args, message):
    result = invoke(*args)
    assert result.exit_code == 1
    assert message in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert not (tmp_path / "build").exists()


def test_course_run_names_missing_packages(home, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("ordlib.course.runner")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("ordlib.course.runner", raising=False)
    monkeypatch.setitem(sys.modules, "papermill", None)
    result = invoke("course", "run")
    assert result.exit_code == 1
    assert "pip install 'ordlib[course]'" in result.output
    assert "papermill" in result.output


def test_doctor_exit_code(monkeypatch):
    checks = (Check("device", "cpu"), Check("disk", "full", "empty it"))
    reports = Mock(side_effect=[Report((check,)) for check in checks])
    monkeypatch.setattr(doctor, "doctor", reports)
    well = invoke("doctor", "--no-network")
    assert (well.exit_code, well.output) == (0, "[OK]  device: cpu\n")
    assert invoke("doctor").exit_code == 1
    assert reports.call_args_list == [call(network=False), call(network=True)]


@pytest.mark.parametrize("passed", [True, False])
def test_course_audit_exit_code(monkeypatch, passed):
    audit = ModuleType("ordlib.synthetic.audit")
    audit.audit_shortcuts = lambda task: SimpleNamespace(passed=passed, task=task)
    monkeypatch.setitem(sys.modules, "ordlib.synthetic.audit", audit)
    result = invoke("course", "audit", "counting")
    assert result.exit_code == (0 if passed else 1)
    assert "task='counting'" in result.output
    assert "task='quality'" not in result.output
    assert "task='quality'" in invoke("course", "audit").output


def test_course_set_url_lists_written_files(tmp_path):
    repository = 'Repository = "https://github.com/a/b"'
    (tmp_path / "pyproject.toml").write_text(f"[project.urls]\n{repository}\n")
    (tmp_path / "README.md").write_text("git clone https://github.com/OWNER/ordlib\n")
    words = ("course", "set-url", "--root", str(tmp_path))
    assert f"wrote {tmp_path / 'README.md'}" in invoke(*words).output
    assert "agrees" in invoke(*words).output


def test_data_check_reports_or_shows_the_layout(tmp_path):
    FIXTURES["aadb"](tmp_path / "aadb")
    result = invoke("data", "check", "aadb", str(tmp_path / "aadb"))
    assert result.exit_code == 0
    assert "protocol 'lists': PublishedSplits(aadb" in result.output
    (tmp_path / "empty").mkdir()
    result = invoke("data", "check", "aadb", str(tmp_path / "empty"))
    assert result.exit_code == 1
    assert "imgListTrainRegression_score.txt" in result.output
    assert "leave one subject out" in invoke("data", "list").output


def test_cache_shows_and_prunes(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path))
    (tmp_path / "rendered").mkdir()
    old, new = (tmp_path / "rendered" / f"counting-{split}-9-96-abc" for split in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"0" * 1_500_000)
    os.utime(old, (0, 0))
    assert "      2       3.0" in invoke("cache").output
    output = invoke("cache", "--older-than", "30").output
    assert output.startswith("deleted 1 entries, 1.5 MB")
    assert "      1       1.5" in output
    assert "deleted 1 entries" in invoke("cache", "--max-size", "0.001").output
    assert invoke("cache", "--older-than", "-1").exit_code == 1


def test_progress_in_a_log_is_seldom(tmp_path):
    code = (
        "import os, sys; from unittest.mock import patch; from ordlib import cli\n"
        "with patch.object(cli, 'app'): cli.main()\n"
        "print(os.environ.get('TQDM_MININTERVAL'))"
    )
    environment = {name: x for name, x in os.environ.items() if name != "TQDM_MININTERVAL"}
    for word, expected in (("train", "10"), ("course", "None")):
        command = [sys.executable, "-c", code, word]
        options = {"capture_output": True, "text": True, "env": environment, "cwd": Path.cwd()}
        assert subprocess.run(command, check=True, **options).stdout.strip() == expected

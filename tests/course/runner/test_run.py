import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from operator import attrgetter
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from ordlib.course.runner.build import METADATA
from ordlib.course.runner.index_page import write_index
from ordlib.course.runner.run import notebooks_folder, parse_parameters, run, select_notebooks

PARAMETERS = 'seed: int = 0  # random\nbudget: str = "quick"  # or "full"\nrate: float = 0.1'
SAVE = """
import json, os, pathlib, sys
numbers = {"seed": seed, "mae": 0.25, "budget": budget, "python": sys.executable}
pathlib.Path(os.environ["ORDLIB_RESULTS"], "NAME.json").write_text(json.dumps(numbers))
pathlib.Path("note.txt").write_text("written by the notebook")
"""
SLEEP = "import time; time.sleep(600)"
MEET = """
import pathlib, time
mine, other = (pathlib.Path("..", name) for name in {names})
mine.touch()
while not other.exists():
    time.sleep(0.05)
"""


def write(folder, name, *codes):
    tagged = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    findings = "**What you will find out.** An *MAE*\nof 9.9<!--=mae--> with $\\frac12$."
    title = new_markdown_cell(f"# {name[:2]} · Title of {name}\n\n{findings}\n\nMore.")
    cells = [title, tagged, *(new_code_cell(code.replace("NAME", name)) for code in codes)]
    path = folder / f"{name}.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata=METADATA), path)
    return path


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebooks")
    write(folder, "00_good", SAVE)
    write(folder, "01_bad", SAVE, "rank = 21\nraise ValueError('rank 21 is not in 1..20')")
    write(folder, "02_slow", SLEEP)
    write(folder, "03_never", SAVE)
    write(folder, "04_dies", "import os; os._exit(1)")
    return folder


@pytest.fixture(scope="module")
def stopped(project):
    """A run that stops at the first failure."""
    output, calls = project / "stopped", []
    paths = [project / f"{name}.ipynb" for name in ("00_good", "01_bad", "03_never")]
    runs = run(paths, output, values={"seed": "7"}, jobs=1, on_cell=lambda *a: calls.append(a))
    runs = list(runs)
    return output, runs, calls, write_index(runs, 12.3, output).read_text()


def test_run_stops_at_the_first_failure(stopped):
    output, runs, calls, _ = stopped
    assert [outcome.status for outcome in runs] == ["ok", "failed", "not run"]
    assert {path.stem for path in output.glob("*.ipynb")} == {"00_good", "01_bad"}
    # Numbered as in the project, without papermill's injected cell.
    assert str(runs[1].failure) == "cell 4 (rank = 21): ValueError: rank 21 is not in 1..20"
    cells = [("00_good", cell, 4) for cell in (1, 2, 3, 4)]
    assert [call for call in calls if call[0] == "00_good"] == [*cells, ("00_good", 4, 3)]


def test_run_writes_results_and_files_to_the_output_folder(project, stopped):
    output, runs, *_ = stopped
    saved = json.loads((output / "results" / "00_good.json").read_text())
    assert saved == {"seed": 7, "mae": 0.25, "budget": "quick", "python": sys.executable}
    assert runs[0].results == {"seed": 7, "mae": 0.25}
    assert (output / "files" / "00_good" / "note.txt").is_file()
    source = nbformat.read(project / "00_good.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in source.cells)


def test_write_index_has_a_card_per_notebook_and_valid_links(stopped):
    output, *_, html = stopped
    for text in ("Title of 00_good", "Title of 01_bad", "Title of 03_never", "not run", "12 s"):
        assert text in html
    assert "Cell 4: rank = 21<br>ValueError: rank 21 is not in 1..20" in html
    assert "<p>An MAE of 0.2 with $\\frac12$.</p>" in html
    links = [link.partition("#")[0] for link in re.findall(r'href="([^"]+)"', html)]
    assert len(links) == 2 * 3
    assert all((output / link).is_file() for link in links)
    assert "http" not in html  # standalone
    page = (output / "00_good.html").read_text()
    # Formulas need no network.
    assert "<mfrac><mn>1</mn><mn>2</mn></mfrac>" in page
    assert "mathjax" not in page.lower()
    assert not re.findall(r"<(?:script|link)[^>]+(?:src|href)=", page)
    body = page.partition("<main>")[2]
    assert "<em>MAE</em>\nof 0.2" in body
    assert "9.9" not in body


@pytest.mark.parametrize(
    ("name", "error"),
    [("02_slow", "exceeded the cell timeout of 1 s"), ("04_dies", "the kernel died")],
)
def test_run_reports_timeouts_and_dead_kernels(project, name, error):
    (outcome,) = run([project / f"{name}.ipynb"], project / "limited", timeout=1)
    assert (outcome.status, outcome.failure.cell) == ("failed", 3)
    assert error in outcome.failure.error
    assert outcome.seconds < 300


def test_run_executes_in_parallel_and_starts_no_more_after_a_failure(tmp_path):
    """Each of two notebooks waits for a file of the other, which needs parallel execution."""
    names = ("a", "b")
    write(tmp_path, "00_meets", MEET.format(names=names), "time.sleep(2)", SAVE)
    write(tmp_path, "01_meets", MEET.format(names=names[::-1]), "raise ValueError('rank 21')")
    write(tmp_path, "02_never", SAVE)
    paths, calls = sorted(tmp_path.glob("*.ipynb")), []
    runs = run(paths, tmp_path / "out", jobs=2, on_cell=lambda *args: calls.append(args))
    good, bad, never = sorted(runs, key=attrgetter("name"))
    assert (good.status, bad.status, never.status) == ("ok", "failed", "not run")
    assert str(bad.failure).endswith("ValueError: rank 21")
    assert good.results == {"seed": 0, "mae": 0.25}
    assert {("00_meets", 1, 5), ("01_meets", 1, 4), ("00_meets", 6, 5)} <= set(calls)


def test_run_reports_a_killed_process_and_keeps_going(tmp_path):
    path = write(tmp_path, "00_kills", "import os, signal; os.kill(os.getppid(), signal.SIGKILL)")
    other = write(tmp_path, "01_good", SAVE)
    runs = run([path, other], tmp_path / "out", jobs=2, keep_going=True)
    killed, good = sorted(runs, key=attrgetter("name"))
    assert "was killed" in killed.failure.error
    assert good.status == "ok"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_run_leaves_no_kernel_when_interrupted(project, tmp_path, number):
    paths = [project / "02_slow.ipynb", write(tmp_path, "05_slow", SLEEP)]
    code = (
        "from pathlib import Path\nfrom ordlib.course.runner.run import run\n"
        f"if __name__ == '__main__':\n    paths = [Path(p) for p in {list(map(str, paths))}]\n"
        f"    list(run(paths, Path({str(tmp_path / 'out')!r}), jobs=2))\n"
    )
    (tmp_path / "script.py").write_text(code)
    marker = {"ORDLIB_TEST_MARK": str(tmp_path)}
    # Under nohup the child would inherit that SIGHUP is ignored.
    process = subprocess.Popen(
        [sys.executable, tmp_path / "script.py"],
        env=os.environ | marker,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )

    def count_kernels() -> int:
        processes = psutil.process_iter(["cmdline", "environ"])
        marked = [p for p in processes if marker.items() <= (p.info["environ"] or {}).items()]
        return sum("ipykernel_launcher" in (p.info["cmdline"] or []) for p in marked)

    def wait_for(count: int, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while count_kernels() != count:
            assert time.monotonic() < end, f"no {count} kernels after {seconds} s"
            time.sleep(0.1)

    wait_for(2)
    process.send_signal(number)
    process.wait(30)
    wait_for(0)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("sed", "1", r"00_good\.ipynb has no parameter 'sed'; it has seed, budget, rate\. Did"),
        ("zzz", "1", r"it has seed, budget, rate\.$"),
        *[("seed", value, "'seed' takes a value of type int") for value in ("x", "True", "1.5")],
        ("rate", "much", "'rate' takes a value of type float"),
    ],
)
def test_run_rejects_invalid_parameters_before_it_starts(project, tmp_path, name, value, message):
    with pytest.raises(ValueError, match=message):
        run([project / "00_good.ipynb"], tmp_path / "out", values={name: value})
    assert not (tmp_path / "out").exists()


def test_parse_parameters_uses_the_declared_types(project):
    parse = partial(parse_parameters, project / "00_good.ipynb")
    values = parse({"seed": "3", "rate": "2", "budget": "2024"})
    assert values == {"seed": 3, "rate": 2, "budget": "2024"}
    assert parse({"rate": "1e-3"}) == {"rate": 0.001}


@pytest.mark.parametrize(
    ("names", "selected"),
    [
        ([], ["00_a", "01_b", "02_c", "10_d"]), (["02", "00"], ["00_a", "02_c"]),
        (["0"], ["00_a", "01_b", "02_c"]), (["01_b.ipynb", "01"], ["01_b"]),
        (["notebooks/source/10_d.py"], ["10_d"]),
    ],
)  # fmt: skip
def test_select_notebooks_selects_by_prefix_in_course_order(names, selected):
    paths = [Path(f"{name}.ipynb") for name in ("01_b", "00_a", "02_c", "10_d")]
    assert [path.stem for path in select_notebooks(paths, names)] == selected


def test_notebooks_folder_is_found_from_any_folder_of_the_project(tmp_path):
    (labs := (folder := tmp_path.resolve() / "notebooks") / "labs").mkdir(parents=True)
    (code := tmp_path / "ordlib" / "course").mkdir(parents=True)
    assert {notebooks_folder(start) for start in (tmp_path, folder, labs, code)} == {folder}
    with pytest.raises(FileNotFoundError, match="--notebooks FOLDER"):
        notebooks_folder(tmp_path.parent)

"""Two real runs, of notebooks as small as can be."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from ordlib.course.runner import index_page as report
from ordlib.course.runner import run as running
from ordlib.course.runner.build import METADATA

PARAMETERS = 'seed: int = 0  # of everything\nbudget: str = "quick"  # or "full"\nrate: float = 0.1'
SAVE = """
import json, os, pathlib, sys
numbers = {"seed": seed, "mae": 0.25, "budget": budget, "python": sys.executable}
pathlib.Path(os.environ["ORDLIB_RESULTS"], "NAME.json").write_text(json.dumps(numbers))
pathlib.Path("note.txt").write_text("written by the notebook")
"""


def write(folder, name, *codes):
    tagged = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    title = new_markdown_cell(f"# {name[:2]} · Title of {name}\n\nMAE 9.9<!--=mae-->")
    cells = [title, tagged, *(new_code_cell(code.replace("NAME", name)) for code in codes)]
    path = folder / f"{name}.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata=METADATA), path)
    return path


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebooks")
    write(folder, "00_good", SAVE)
    write(folder, "01_bad", SAVE, "rank = 21\nraise ValueError('rank 21 is not in 1..20')")
    write(folder, "02_slow", "import time; time.sleep(600)")
    write(folder, "03_never", SAVE)
    write(folder, "04_dies", "import os; os._exit(1)")
    return folder


@pytest.fixture(scope="module")
def stopped(project):
    """A run that stops at its first failure."""
    output, seen = project / "stopped", []
    paths = [project / f"{name}.ipynb" for name in ("00_good", "01_bad", "03_never")]
    watch = {"watch": lambda *at: seen.append(at)}
    outcomes = list(running.run(paths, output, values={"seed": "7"}, jobs=1, **watch))
    return output, outcomes, seen, report.write_index(outcomes, 12.3, output).read_text()


def test_a_run_stops_at_the_first_failure_and_keeps_what_ran(stopped):
    output, outcomes, seen, _ = stopped
    assert [outcome.status for outcome in outcomes] == ["ok", "failed", "not run"]
    assert {path.stem for path in output.glob("*.ipynb")} == {"00_good", "01_bad"}
    # The failing cell is numbered as in the project.
    says = "cell 4 (rank = 21): ValueError: rank 21 is not in 1..20"
    assert str(outcomes[1].failure) == says
    cells = [("00_good", cell, 4) for cell in (1, 2, 3, 4)]  # one is papermill's own
    assert [at for at in seen if at[0] == "00_good"] == [*cells, ("00_good", 4, 3)]


def test_parameters_results_and_files_go_where_they_belong(project, stopped):
    output, outcomes, *_ = stopped
    saved = json.loads((output / "results" / "00_good.json").read_text())
    assert saved == {"seed": 7, "mae": 0.25, "budget": "quick", "python": sys.executable}
    assert outcomes[0].results == {"seed": 7, "mae": 0.25}
    assert (output / "files" / "00_good" / "note.txt").is_file()
    committed = nbformat.read(project / "00_good.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in committed.cells)


def test_the_index_has_a_card_for_each_and_links_that_exist(stopped):
    output, *_, html = stopped
    for text in ("Title of 00_good", "Title of 01_bad", "Title of 03_never", "not run", "12 s"):
        assert text in html
    assert "Cell 4: rank = 21<br>ValueError: rank 21 is not in 1..20" in html
    assert "<dt>mae</dt><dd>0.2</dd>" in html
    links = [link.partition("#")[0] for link in re.findall(r'href="([^"]+)"', html)]
    assert len(links) == 2 * 3
    assert all((output / link).is_file() for link in links)
    assert "http" not in html  # opens from disk, fetches nothing
    page = (output / "00_good.html").read_text().partition("<main>")[2]
    assert "MAE 0.2" in page
    assert "9.9" not in page


def test_keeping_going(project):
    paths = [project / f"{name}.ipynb" for name in ("01_bad", "00_good")]
    outcomes = running.run(paths, project / "kept", keep_going=True, jobs=1)
    assert [outcome.status for outcome in outcomes] == ["failed", "ok"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("02_slow", "took longer than the limit of 1 s"),
        ("04_dies", "the Python behind the notebook died"),
    ],
)
def test_a_cell_has_a_limit_and_a_dead_python_is_named(project, name, says):
    (bad,) = running.run([project / f"{name}.ipynb"], project / "limited", timeout=1)
    assert (bad.status, bad.failure.cell) == ("failed", 3)
    assert says in bad.failure.error
    assert bad.seconds < 300


def test_two_at_a_time_meet_and_a_failure_begins_no_more(tmp_path):
    """Each of two waits for a file of the other's: one after the other they would wait forever."""
    meet = """
import pathlib, time
mine, other = (pathlib.Path("..", name) for name in {names})
mine.touch()
while not other.exists():
    time.sleep(0.05)
"""
    names = ("one", "other")
    write(tmp_path, "00_meets", meet.format(names=names), "time.sleep(2)", SAVE)
    write(tmp_path, "01_meets", meet.format(names=names[::-1]), "raise ValueError('rank 21')")
    write(tmp_path, "02_never", SAVE)
    paths, seen = sorted(tmp_path.glob("*.ipynb")), []
    each = running.run(paths, tmp_path / "out", jobs=2, watch=lambda *at: seen.append(at))
    good, bad, never = sorted(each, key=lambda outcome: outcome.name)
    assert (good.status, bad.status, never.status) == ("ok", "failed", "not run")
    assert str(bad.failure).endswith("ValueError: rank 21")
    assert good.results == {"seed": 0, "mae": 0.25}
    assert {("00_meets", 1, 5), ("01_meets", 1, 4), ("00_meets", 6, 5)} <= set(seen)


def test_a_process_that_is_ended_from_outside_is_named(tmp_path):
    path = write(tmp_path, "00_kills", "import os, signal; os.kill(os.getppid(), signal.SIGKILL)")
    other = write(tmp_path, "01_good", SAVE)
    each = running.run([path, other], tmp_path / "out", jobs=2, keep_going=True)
    killed, good = sorted(each, key=lambda outcome: outcome.name)
    assert "was ended from outside" in killed.failure.error
    assert good.status == "ok"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_ends_a_run_leaves_no_kernel(project, tmp_path, number):
    paths = [project / "02_slow.ipynb", write(tmp_path, "05_slow", "import time; time.sleep(600)")]
    code = (
        "from pathlib import Path\nfrom ordlib.course.runner import run as running\n"
        f"if __name__ == '__main__':\n    paths = [Path(p) for p in {list(map(str, paths))}]\n"
        f"    list(running.run(paths, Path({str(tmp_path / 'out')!r}), jobs=2))\n"
    )
    (tmp_path / "script.py").write_text(code)
    mark = {"ORDLIB_TEST_MARK": str(tmp_path)}
    run = subprocess.Popen([sys.executable, tmp_path / "script.py"], env=os.environ | mark)

    def kernels() -> int:
        processes = psutil.process_iter(["cmdline", "environ"])
        marked = [p for p in processes if mark.items() <= (p.info["environ"] or {}).items()]
        return sum("ipykernel_launcher" in (p.info["cmdline"] or []) for p in marked)

    def wait_for(count: int, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while kernels() != count:
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.1)

    wait_for(2)
    run.send_signal(number)
    run.wait(30)
    wait_for(0)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("sed", "1", r"00_good\.ipynb has no parameter 'sed'; it has seed, budget, rate\. Did"),
        ("zzz", "1", r"it has seed, budget, rate\.$"),
        *[("seed", value, "'seed' takes a value of type int") for value in ("x", "True", "1.5")],
        ("rate", "much", "'rate' takes a value of type float"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_runs(project, tmp_path, name, value, says):
    with pytest.raises(ValueError, match=says):
        running.run([project / "00_good.ipynb"], tmp_path / "out", values={name: value})
    assert not (tmp_path / "out").exists()


def test_values_are_typed_as_the_notebook_declares(project):
    typed = partial(running.checked, project / "00_good.ipynb")
    values = typed({"seed": "3", "rate": "2", "budget": "2024"})
    assert values == {"seed": 3, "rate": 2, "budget": "2024"}
    assert typed({"rate": "1e-3"}) == {"rate": 0.001}


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ([], ["00_a", "01_b", "02_c", "10_d"]),
        (["02", "00"], ["00_a", "02_c"]),
        (["0"], ["00_a", "01_b", "02_c"]),
        (["01_b.ipynb", "01"], ["01_b"]),
        (["notebooks/source/10_d.py"], ["10_d"]),
    ],
)
def test_notebooks_are_chosen_by_prefix_in_course_order(names, chosen):
    there = [Path(f"{name}.ipynb") for name in ("01_b", "00_a", "02_c", "10_d")]
    assert [path.stem for path in running.choose(there, names)] == chosen


def test_the_folder_is_found_from_anywhere_in_the_project(tmp_path):
    (labs := (home := tmp_path.resolve() / "notebooks") / "labs").mkdir(parents=True)
    (code := tmp_path / "ordlib" / "course").mkdir(parents=True)
    assert {running.notebooks_folder(start) for start in (tmp_path, home, labs, code)} == {home}
    with pytest.raises(FileNotFoundError, match="--notebooks FOLDER"):
        running.notebooks_folder(tmp_path.parent)

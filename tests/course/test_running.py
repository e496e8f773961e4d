"""Two real runs, of notebooks as small as can be."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from ordlib.course.runner import index_page as report
from ordlib.course.runner import parameters
from ordlib.course.runner import run as running
from ordlib.course.runner.strip_metadata import METADATA

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
    return outcomes, seen, report.write_index(outcomes, 12.3, output)


def test_a_run_stops_at_the_first_failure_and_keeps_what_ran(project, stopped):
    outcomes, _, _ = stopped
    assert [outcome.status for outcome in outcomes] == ["ok", "failed", "not run"]
    output = project / "stopped"
    assert (output / "00_good.ipynb").is_file()
    assert (output / "01_bad.ipynb").is_file()
    assert not (output / "03_never.ipynb").exists()


def test_the_failing_cell_is_numbered_as_in_the_project(stopped):
    failure = stopped[0][1].failure
    assert str(failure) == "cell 4 (rank = 21): ValueError: rank 21 is not in 1..20"


def test_parameters_results_and_files_go_where_they_belong(project, stopped):
    saved = json.loads((project / "stopped" / "results" / "00_good.json").read_text())
    assert saved == {"seed": 7, "mae": 0.25, "budget": "quick", "python": sys.executable}
    assert stopped[0][0].results == {"seed": 7, "mae": 0.25}
    assert (project / "stopped" / "files" / "00_good" / "note.txt").is_file()
    committed = nbformat.read(project / "00_good.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in committed.cells)


def test_the_watcher_hears_of_every_cell(stopped):
    good = [at for at in stopped[1] if at[0] == "00_good"]
    cells = [("00_good", cell, 4) for cell in (1, 2, 3, 4)]  # one is papermill's own
    assert good == [*cells, ("00_good", 4, 3)]


def test_the_index_has_a_card_for_each_and_links_that_exist(project, stopped):
    index = stopped[2]
    html = index.read_text()
    for text in ("Title of 00_good", "Title of 01_bad", "Title of 03_never", "not run", "12 s"):
        assert text in html
    assert "Cell 4: rank = 21<br>ValueError: rank 21 is not in 1..20" in html
    assert "<dt>mae</dt><dd>0.2</dd>" in html or "<dt>mae</dt><dd>0.3</dd>" in html
    links = [link.partition("#")[0] for link in report.re.findall(r'href="([^"]+)"', html)]
    assert len(links) == 2 * 3
    assert all((index.parent / link).is_file() for link in links)
    assert "http" not in html  # opens from disk, fetches nothing


def test_the_page_quotes_this_run(project, stopped):
    html = (project / "stopped" / "00_good.html").read_text()
    assert "MAE 0.2" in html
    assert "9.9" not in html.partition("<main>")[2]


def test_keeping_going(project):
    paths = [project / f"{name}.ipynb" for name in ("01_bad", "00_good")]
    outcomes = running.run(paths, project / "kept", keep_going=True, jobs=1)
    assert [outcome.status for outcome in outcomes] == ["failed", "ok"]


def test_a_cell_has_a_limit(project):
    (slow,) = running.run([project / "02_slow.ipynb"], project / "limited", timeout=1)
    assert slow.status == "failed"
    assert slow.failure.cell == 3
    assert "longer than the limit of 1 s" in slow.failure.error
    assert slow.seconds < 300


def test_a_dead_python_is_named(project):
    (dead,) = running.run([project / "04_dies.ipynb"], project / "dead")
    assert dead.failure.cell == 3
    assert "the Python behind the notebook died" in dead.failure.error


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
    outcomes = {outcome.name: outcome for outcome in each}
    statuses = {name: outcome.status for name, outcome in outcomes.items()}
    assert statuses == {"00_meets": "ok", "01_meets": "failed", "02_never": "not run"}
    assert str(outcomes["01_meets"].failure).endswith("ValueError: rank 21")
    assert outcomes["00_meets"].results == {"seed": 0, "mae": 0.25}
    assert {("00_meets", 1, 5), ("01_meets", 1, 4), ("00_meets", 6, 5)} <= set(seen)


def test_a_process_that_is_ended_from_outside_is_named(tmp_path):
    path = write(tmp_path, "00_kills", "import os, signal; os.kill(os.getppid(), signal.SIGKILL)")
    other = write(tmp_path, "01_good", SAVE)
    each = running.run([path, other], tmp_path / "out", jobs=2, keep_going=True)
    killed, good = sorted(each, key=lambda outcome: outcome.name)
    assert "was ended from outside" in killed.failure.error
    assert good.status == "ok"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
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

    def kernels() -> list[Path]:
        return [p for p in Path("/proc").glob("[0-9]*") if _is_kernel_of(p, str(tmp_path))]

    wait_for(lambda: len(kernels()) == 2)
    run.send_signal(number)
    run.wait(30)
    wait_for(lambda: not kernels())


def _is_kernel_of(process: Path, mark: str) -> bool:
    try:
        is_kernel = b"ipykernel_launcher" in (process / "cmdline").read_bytes()
        return is_kernel and mark.encode() in (process / "environ").read_bytes()
    except OSError:
        return False


def wait_for(holds, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"sed": "1"}, r"00_good\.ipynb has no parameter 'sed'; it has seed, budget, rate\. Did"),
        ({"zzz": "1"}, r"it has seed, budget, rate\.$"),
        ({"seed": "x"}, "'seed' takes a value of type int"),
        ({"seed": "True"}, "'seed' takes a value of type int"),
        ({"seed": "1.5"}, "'seed' takes a value of type int"),
        ({"rate": "much"}, "'rate' takes a value of type float"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_runs(project, tmp_path, values, says):
    with pytest.raises(ValueError, match=says):
        running.run([project / "00_good.ipynb"], tmp_path / "out", values=values)
    assert not (tmp_path / "out").exists()


def test_values_are_typed_as_the_notebook_declares(project):
    path = project / "00_good.ipynb"
    values = parameters.checked([path], {"seed": "3", "rate": "2", "budget": "2024"})[path]
    assert values == {"seed": 3, "rate": 2, "budget": "2024"}
    assert parameters.checked([path], {"rate": "1e-3"})[path] == {"rate": 0.001}

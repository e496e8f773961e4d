"""Notebooks that are damaged, and notebooks whose code does what it should not."""

import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import nbclient.client
import nbformat
import psutil
import pytest
from kills import KILLS
from nbformat.v4 import new_code_cell, new_notebook
from rich.console import Console

from ordlib.course.runner import build
from ordlib.course.runner.console import progress
from ordlib.course.runner.execute import MARK
from ordlib.course.runner.index_page import write_index
from ordlib.course.runner.inline_results import load_notebook_results
from ordlib.course.runner.notebook_files import read_notebook
from ordlib.course.runner.run import run
from ordlib.course.slides.page import write_slides

CELL = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None, "source": "1"}


def document(**changes):
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []} | changes)


DAMAGED = {
    "no JSON": '{"cells": [',
    "empty": "",
    "list": "[]",
    "null": "null",
    "number": "3",
    "no cells": '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}',
    "cells are text": document(cells="x"),
    "cell is null": document(cells=[None]),
    "cell has no type": document(cells=[{}]),
    "metadata is null": document(metadata=None),
    "source is null": document(cells=[CELL | {"id": "a", "source": None}]),
    "future version": document(nbformat=99),
    "Latin-1": document(metadata={"x": "é"}).replace("\\u00e9", "é").encode("latin-1"),
    "UTF-16": document().encode("utf-16"),
    "zeros": b"\0" * 100,
    "deeply nested": "[" * 100_000,
    "merge conflict": "<<<<<<< HEAD\n" + document(),
}
READABLE = {
    "byte order mark": b"\xef\xbb\xbf" + document(cells=[CELL]).encode(),
    "version 2": json.dumps({"nbformat": 2, "nbformat_minor": 0, "metadata": {}, "worksheets": [
        {"cells": [{"cell_type": "code", "input": "1", "language": "python", "outputs": []}]}]}),
    "version 3": json.dumps({"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [
        {"cells": [{"cell_type": "code", "input": "1", "language": "python", "outputs": [],
                    "metadata": {}}], "metadata": {}}]}),
    "no ids": document(cells=[CELL]),
    "equal ids": document(cells=[CELL | {"id": "a"}] * 2),
    "lines as a list": document(cells=[CELL | {"id": "a", "source": ["1", "+1"]}]),
    "no kernel": document(metadata={}, cells=[CELL]),
    "unknown kernel": document(cells=[CELL], metadata={
        "kernelspec": {"name": "julia-9", "language": "julia", "display_name": "Julia"}}),
}  # fmt: skip


def save(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def write(path, *codes):
    return save(path, nbformat.writes(new_notebook(cells=[*map(new_code_cell, codes)])))


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damaged_notebook_is_named_and_stops_no_other(tmp_path, content):
    path = save(tmp_path / "00_bad.ipynb", content)
    with pytest.raises(ValueError, match=r"00_bad\.ipynb: is no notebook, or a damaged one"):
        read_notebook(path)
    with pytest.raises(ValueError, match=r"00_bad\.ipynb: is no notebook"):
        write_slides(path, tmp_path / "slides")
    paths = [path, save(tmp_path / "01_bad.ipynb", "[]")]
    output = tmp_path / "out"
    for values in ({}, {"seed": "1"}):
        runs = list(run(paths, output, values=values, keep_going=True, jobs=1))
        assert [r.status for r in runs] == ["failed", "failed"]
        assert "00_bad.ipynb: is no notebook" in str(runs[0].failure)
    (stopped, skipped) = run(paths, output, jobs=1)
    assert (stopped.status, skipped.status) == ("failed", "not run")
    assert "is no notebook" in write_index([stopped, skipped], 1.0, output).read_text()


@pytest.mark.parametrize("content", READABLE.values(), ids=READABLE)
def test_read_notebook_reads_other_versions_and_kernels(tmp_path, content):
    notebook = read_notebook(save(tmp_path / "a.ipynb", content))
    assert notebook.cells[0].source in ("1", "1+1")
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)


@pytest.mark.slow
def test_run_executes_other_versions_and_kernels(tmp_path):
    paths = [save(tmp_path / f"{i}.ipynb", content) for i, content in enumerate(READABLE.values())]
    paths.append(save(tmp_path / "empty.ipynb", document()))
    runs = list(run(paths, tmp_path / "out", jobs=1, keep_going=True))
    assert [(r.status, r.failure) for r in runs] == [("ok", None)] * len(paths)


def test_progress_accepts_notebooks_without_cells():
    for terminal in (True, False):
        with progress(Console(force_terminal=terminal, file=io.StringIO())) as on_cell:
            on_cell("damaged", 1, 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1, 2]", "must be a JSON object"),
        ('{"a": ', "invalid JSON"),
        ('{"a": NaN}', "'a': nan is no finite number"),
        ('{"a": null}', "'a': None is no finite number"),
        ('{"a": {"b": 1}}', "'a': .* is no finite number"),
        ('{"a": [1]}', "'a': .* is no finite number"),
        (b"\xff", "invalid JSON"),
        ("[" * 100_000, "invalid JSON"),
    ],
)
def test_load_notebook_results_names_the_file(tmp_path, content, message):
    path = save(tmp_path / "00.json", content)
    with pytest.raises(ValueError, match=rf"00\.json.*{message}"):
        load_notebook_results(path)


@pytest.mark.parametrize("content", [b"# %%\nx = '\xe9'\n", "# %%\n".encode("utf-16")])
def test_build_names_a_source_that_is_no_text(tmp_path, content):
    with pytest.raises(ValueError, match=r"00_a\.py: cannot be read as py:percent"):
        build.build(save(tmp_path / "00_a.py", content))


@pytest.mark.parametrize("data", ["!!!!", "aGVsbG8=", ["aGVs", "bG8="], ""])
def test_images_that_are_none_are_left_as_they_are(data):
    output = {"output_type": "display_data", "metadata": {}, "data": {"image/png": data}}
    cell = new_code_cell("1", outputs=[nbformat.from_dict(output)])
    notebook = new_notebook(cells=[cell])
    assert build.first_image(notebook) is None
    assert build.shrink_images(notebook).cells[0].outputs[0].data["image/png"] == data


@pytest.mark.parametrize(
    "text",
    ["a\rb", "a\r\nb", "x\ry\nz\r", "one\rtwo\rthree\nfour\r\n\rfive", "\r", "\r\r\n", "\n\ra"],
)
def test_carriage_returns_are_replaced_as_nbclient_does(text):
    assert nbclient.client._RGX_CARRIAGERETURN.sub("", text) == re.sub(r".*\r(?=[^\n])", "", text)


@pytest.mark.parametrize("text", ["x" * 10**6, "1" * 10**6, "1%" * 10**5, "x\r" * 10**5])
def test_long_lines_take_linear_time(text):
    start = time.process_time()
    nbclient.client._RGX_CARRIAGERETURN.sub("", text)
    output = nbformat.v4.new_output("stream", name="stderr", text=text)
    notebook = new_notebook(cells=[new_code_cell("1", outputs=[output])])
    assert build.strip_metadata(notebook).cells[0].outputs[0].text == text
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("notebooks", "output", "existing"),
    [
        ("notebooks", "notebooks", ()),
        ("notebooks", "notebooks/labs", ("notebooks/labs/00_a.ipynb",)),
        ("notebooks", "notebooks/solutions", ("notebooks/solutions/00_a.ipynb",)),
        ("notebooks/labs", "notebooks", ("notebooks/00_a.ipynb",)),
        ("notebooks/labs", "notebooks", ("notebooks/results/00_a.json",)),
        ("notebooks", "site", ("site/index.html",)),
        ("notebooks", "site", ("site/00_a.html",)),
    ],
)
def test_run_overwrites_nothing_that_no_run_has_written(tmp_path, notebooks, output, existing):
    source = write(tmp_path / notebooks / "00_a.ipynb", "1")
    kept = {source: source.read_bytes()}
    for name in existing:
        kept[save(tmp_path / name, "{}")] = b"{}"
    with pytest.raises(ValueError, match=r"--output .*has .*which is not from an earlier run"):
        run([source], tmp_path / output)
    assert {path: path.read_bytes() for path in kept} == kept
    assert not (tmp_path / output / "files").exists()


RESULTS = "import os, pathlib; p = pathlib.Path(os.environ['ORDLIB_RESULTS'], '{}.json')\n"
PNG = "from IPython.display import display\ndisplay({}, raw=True)"
HOSTILE = {
    # name: codes, part of the failure (None if it runs to the end), cell of the failure
    "mega": (["import sys\n_ = sys.stdout.write('x' * 1_000_000)"], None, 0),
    "mega_line": (["print('x' * 1_000_000)"], None, 0),
    "mega_digits": (["import sys\nprint('1' * 1_000_000, file=sys.stderr)"], None, 0),
    "mega_returns": (["print('x\\r' * 300_000)"], None, 0),
    "loop": (["while True: pass"], "exceeded the cell timeout", 1),
    "stubborn": (
        ["import time\nwhile True:\n  try: time.sleep(99)\n  except BaseException: pass"],
        "exceeded the cell timeout", 1,
    ),
    "exits": (["import os; os._exit(3)"], "the kernel died", 1),
    "killed": (["import os; os.kill(os.getpid(), 9)"], "the kernel died", 1),
    "sys_exit": (["import sys; sys.exit(3)", "1"], "SystemExit: 3", 1),
    "sys_exit_0": (["1", "import sys; sys.exit()", "1", "2"], "before its last 2 cells", 2),
    "asks": (["input()"], "StdinNotImplementedError", 1),
    "reads": (["import sys; sys.stdin.read()"], None, 0),
    "no_folder": (["import os, shutil; shutil.rmtree(os.getcwd())", "open('x', 'w')"],
                  "FileNotFoundError", 2),
    "no_output": (["import os, shutil; shutil.rmtree(os.environ['ORDLIB_RESULTS'])"], None, 0),
    "no_strings": ([PNG.format("{'image/png': 123, 'text/html': None}")], "ValidationError", 1),
    "no_png": ([PNG.format("{'image/png': '!!!'}")], None, 0),
    "long_error": (["raise ValueError('x' * 1_000_000)"], r"\.\.\. \(1,000,012 characters\)", 1),
    "escapes": (["raise ValueError('\\x1b[31mred\\x07')"], r"\\x1b\[31mred\\x07", 1),
    "results_list": ([RESULTS.format("results_list") + "p.write_text('[1]')"], "JSON object", 0),
    "results_text": ([RESULTS.format("results_text") + "p.write_text('{')"], "invalid JSON", 0),
}  # fmt: skip


@pytest.mark.slow
def test_run_survives_what_notebooks_do(tmp_path):
    paths = [write(tmp_path / f"{name}.ipynb", *codes) for name, (codes, *_) in HOSTILE.items()]
    output, start = tmp_path / "out", time.monotonic()
    runs = list(run(paths, output, timeout=4, keep_going=True, jobs=1))
    assert time.monotonic() - start < 15 * len(paths)
    for outcome, (name, (_, message, cell)) in zip(runs, HOSTILE.items(), strict=True):
        assert outcome.name == name
        if message is None:
            assert outcome.failure is None, name
        else:
            assert re.search(message, outcome.failure.error), (name, outcome.failure)
            assert outcome.failure.cell == cell
            assert len(outcome.failure.error) < 3_000
        assert nbformat.read(output / f"{name}.ipynb", as_version=4).cells
    text = write_index(runs, 1.0, output).read_text()
    assert all(name in text for name in HOSTILE)
    assert "\x1b" not in text


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["pass", "raise ValueError", "import os; os._exit(1)"])
def test_run_ends_the_processes_of_a_notebook(tmp_path, ending):
    code = (
        "import os, subprocess, sys, time\n"
        "for options in ({}, {'start_new_session': True}):\n"
        "    subprocess.Popen(['sleep', '600'], **options)\n"
        "if os.fork() == 0:\n    os.setsid()\n    time.sleep(600)\n    os._exit(0)\n"
    )
    path = write(tmp_path / "leaves.ipynb", code, ending)
    list(run([path], tmp_path / "out", jobs=1))
    end = time.monotonic() + 10
    while processes_of(tmp_path):
        assert time.monotonic() < end, processes_of(tmp_path)
        time.sleep(0.1)


def processes_of(folder):
    """Processes that kernels with results in a folder have started, and the kernels."""
    found = []
    for process in psutil.process_iter(["environ", "status"]):
        environ = process.info["environ"] or {}
        in_folder = environ.get("ORDLIB_RESULTS", "").startswith(str(folder))
        if MARK in environ and in_folder and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


SCRIPT = """
import sys
from pathlib import Path
from ordlib.course.runner.run import run
from ordlib.course.runner.index_page import write_index
if __name__ == "__main__":
    folder = Path(sys.argv[1])
    runs = list(run(sorted(folder.glob("*.ipynb")), folder / "out", jobs=int(sys.argv[2])))
    print("ran", flush=True)
    write_index(runs, 1.0, folder / "out")
    assert all(r.status == "ok" for r in runs)
"""
# A match that takes minutes holds the interpreter's lock: the kernel's own watch cannot run.
BUSY = "import re; re.match('(a+)+$', 'a' * 40 + 'b')"


@pytest.mark.slow
@pytest.mark.parametrize("code", ["while True: pass", "import time; time.sleep(600)", BUSY])
def test_kernel_ends_when_its_runner_is_killed(tmp_path, code):
    write(tmp_path / "a.ipynb", "open('started', 'w')", code)
    process = start(tmp_path, 1)
    wait(lambda: (tmp_path / "out" / "files" / "a" / "started").exists())
    process.kill()
    process.wait()
    wait(lambda: not processes_of(tmp_path), 10)


@pytest.mark.slow
def test_processes_of_a_notebook_end_when_its_runner_is_killed(tmp_path):
    code = (
        "import os, subprocess, time\n"
        "for options in ({}, {'start_new_session': True}):\n"
        "    subprocess.Popen(['sleep', '600'], **options)\n"
        "if os.fork() == 0:\n    os.setsid()\n    time.sleep(600)\n"
        "open('started', 'w')\ntime.sleep(600)"
    )
    write(tmp_path / "a.ipynb", code)
    process = start(tmp_path, 1)
    wait(lambda: (tmp_path / "out" / "files" / "a" / "started").exists())
    assert len(processes_of(tmp_path)) == 4
    process.kill()
    process.wait()
    wait(lambda: not processes_of(tmp_path), 10)


@pytest.mark.slow
def test_run_can_be_killed_at_any_moment_and_repeated(tmp_path):
    """After 25 kills, a run writes what an undisturbed one does, and nothing else is left."""
    codes = [
        "import time; time.sleep(.1); print('x' * 200_000)",
        RESULTS.format("NAME")
        + "p.write_text('{\"mae\": 0.25}')\nopen('note.txt', 'w').write('1')",
        "time.sleep(.1); 6 * 7",
    ]
    for place in ("undisturbed", "killed"):
        for name in ("00_a", "01_b"):
            own = [code.replace("NAME", name) for code in codes]
            write(tmp_path / place / f"{name}.ipynb", *own)
    began = time.monotonic()
    assert start(tmp_path / "undisturbed", 2).wait(120) == 0
    duration = time.monotonic() - began
    rng, folder = random.Random(0), tmp_path / "killed"
    for number in range(KILLS):
        process = start(folder, 1 + number % 2)
        time.sleep(rng.uniform(0.3, 1.1) * duration)
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait(lambda: not processes_of(folder), 20)
        for path in folder.rglob("*.ipynb"):
            if not path.parent.name.startswith("."):  # What was being written.
                assert len(nbformat.read(path, as_version=4).cells) == 3
        for path in folder.glob("out/results/*.json"):
            assert json.loads(path.read_text()) == {"mae": 0.25}
    assert start(folder, 2).wait(120) == 0
    assert outputs(folder) == outputs(tmp_path / "undisturbed")


def start(folder, jobs):
    script = folder / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, script, folder, str(jobs)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ)


def wait(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def outputs(folder):
    """Names of all files, and what matters of their content."""
    content = {}
    for path in folder.rglob("*"):
        if path.is_file():
            text = path.read_text()
            if path.suffix == ".ipynb":
                text = [(c.source, c.outputs) for c in nbformat.reads(text, as_version=4).cells]
            content[path.relative_to(folder).as_posix()] = text if path.suffix != ".html" else ""
    return content

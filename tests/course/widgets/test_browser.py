"""Every widget of every notebook, moved once in JupyterLab."""

import shutil
from functools import partial
from pathlib import Path

import lab_browser
import pytest
from lab_browser import LabNotebook, controls, move, wait

from ordlib.course import widgets

FOLDER = Path(__file__).parents[3] / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))
MISSING = lab_browser.missing()
# By function, so that none is missed that is not shown yet.
NUM_CONTROLS = {
    "explore_predictor": 3, "explore_datasets": 2, "explore_prompt": 5, "explore_bins": 4,
    "explore_blend": 1, "explore_ranking": 4, "explore_methods": 3, "explore_errors": 2,
}  # fmt: skip
# What the kernel knows of the reader's choices.
CHOSEN = (
    "[w.value for w in __import__('ipywidgets').Widget.widgets.values()"
    " if type(w).__name__ == 'RadioButtons']"
)


@pytest.fixture(autouse=True)
def cache():
    """The cache of the other tests here is empty; whole notebooks need the usual one."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    root = tmp_path_factory.mktemp("browser")
    shutil.copytree(FOLDER, root / "notebooks")
    with (
        lab_browser.jupyterlab(root / "notebooks", root / "home") as server,
        lab_browser.chromium(root / "profile") as driver,
    ):
        yield partial(LabNotebook, driver, server)


@pytest.fixture(params=NOTEBOOKS)
def notebook(lab, request):
    notebook = lab(request.param)
    yield notebook
    notebook.shut_down()


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"needs a browser; not found: {MISSING}")
def test_widgets_work_in_jupyterlab(notebook):
    assert notebook.run_all_cells(600) == []
    choose_last_options(notebook, notebook.outputs(r"\bwidgets\.(choose)\("))
    figures = notebook.outputs(r"\bwidgets\.(explore_\w+)\(")
    assert figures
    for call, output in figures:
        move_controls(notebook, call, output)
    assert notebook.console_errors() == []


def test_every_interactive_figure_is_listed():
    assert set(NUM_CONTROLS) == {n for n in widgets.__all__ if n.startswith("explore_")}


def choose_last_options(notebook, outputs):
    """Choose the last option of each question; the kernel must receive all choices."""
    chosen = []
    for _, output in outputs:
        option = wait(partial(controls, output), 120, "the options are shown")[-1]
        move(option)
        assert option.is_selected()
        chosen.append(option.find_element("xpath", "..").text)
    wait(lambda: notebook.evaluate(CHOSEN) == chosen, 120, f"the kernel receives {chosen}")


def move_controls(notebook, call, output):
    """Move every control of an interactive figure; each must change the figure."""
    number = NUM_CONTROLS[call]
    wait(lambda: len(controls(output)) == number, 120, f"{call} shows {number} controls")
    for index in range(number):
        before = wait(partial(notebook.image, output), 120, f"{call} shows a figure")
        # Found anew: a menu may replace the controls after it.
        done = move(controls(output)[index])
        new = partial(changed, notebook, output, before)
        wait(new, 120, f"{call}, {done}: the figure changes")
        notebook.wait_until_idle()
        print(f"{call}, {done}: the figure changed")


def changed(notebook, output, before):
    return notebook.image(output) not in (None, before)

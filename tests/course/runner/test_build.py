"""From text to notebook and back; one test waits for a kernel."""

import shutil
from pathlib import Path

import jupytext.cli
import nbformat
import pytest
from course_demo import GOOD, NAME, SETUP, make_project
from PIL import Image

from ordlib.course.runner import build as sources
from ordlib.course.runner import lint as documents

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory):
    home = make_project(tmp_path_factory.mktemp("rebuilt"))
    return home, sources.rebuild(home / "source" / f"{NAME}.py", timeout=120)


def test_magics_are_live_and_the_setup_cell_survives_both_ways(tmp_path):
    path = make_project(tmp_path) / "source" / f"{NAME}.py"
    notebook = sources.build(path)
    assert notebook.cells[1].source == SETUP.replace("# %pip", "%pip")
    text = jupytext.writes(notebook, fmt="py:percent")
    compile(text, "source", "exec")  # the text is Python: formatters and editors can read it
    (again := tmp_path / "again.py").write_text(text)
    assert [c.source for c in sources.build(again).cells] == [c.source for c in notebook.cells]


def test_solution_cells_fold_in_jupyterlab_and_colab(tmp_path):
    notebook = sources.build(make_project(tmp_path) / "source" / f"{NAME}.py")
    folded = [cell for cell in notebook.cells if "jupyter" in cell.metadata]
    solved = [c for c in notebook.cells if "BEGIN SOLUTION" in c.source and c.cell_type == "code"]
    assert len(folded) == 2
    assert folded == solved
    for cell in folded:
        assert cell.metadata == sources.SOLUTION_METADATA
        assert cell.source.startswith("# @title Solution\n")


def test_cell_ids_follow_from_content(tmp_path):
    def ids(name, text):
        home = make_project(tmp_path / name, **{NAME: text})
        return [cell.id for cell in sources.build(home / "source" / f"{NAME}.py").cells]

    first = ids("a", GOOD)
    assert len(set(first)) == len(first)
    assert ids("b", GOOD.replace("9.99<!--", "0.12<!--")) == first
    assert ids("c", GOOD + "\n# %%\n1 + 1\n")[: len(first)] == first


def test_rebuilding_writes_everything_and_it_is_good(rebuilt):
    home, written = rebuilt
    names = [path.relative_to(home).as_posix() for path in written]
    made = ["results/{}.json", "source/{}.py", "results/{}.png", "{}.ipynb", "labs/{}.ipynb"]
    assert names == [path.format(NAME) for path in made]
    assert Image.open(home / f"results/{NAME}.png").width > 100
    assert documents.check_notebook(home / f"{NAME}.ipynb") == []
    quote = "0.12<!--=mae--> stars, the accuracy 46<!--=accuracy.of all--> %"
    assert all(quote in (home / path.format(NAME)).read_text() for path in (made[1], made[3]))


def test_no_noise_stays(rebuilt):
    notebook = nbformat.read(rebuilt[0] / f"{NAME}.ipynb", as_version=4)
    assert notebook.metadata == sources.METADATA
    assert all(set(cell.metadata) <= set(sources.CELL_METADATA) for cell in notebook.cells)
    shown = [o.get("data", {}) for c in notebook.cells for o in c.get("outputs", [])]
    assert not any(sources.WIDGET in data for data in shown)
    assert [data.get("text/plain") for data in shown].count(sources.WIDGET_NOTE) == 1
    assert any("image/png" in data for data in shown)


def test_progress_bars_go_and_other_output_stays():
    bar = "100%|####| 10/10 [00:01<00:00]"
    said = [("stderr", bar), ("stdout", "40%|x|"), ("stderr", "UserWarning")]
    outputs = [nbformat.v4.new_output("stream", name=name, text=text) for name, text in said]
    cell = nbformat.v4.new_code_cell("1", outputs=outputs)
    kept = sources.clean(nbformat.v4.new_notebook(cells=[cell])).cells[0].outputs
    assert [o.text for o in kept] == ["40%|x|", "UserWarning"]


def test_a_failing_source_is_named_and_nothing_is_written(tmp_path):
    home = make_project(tmp_path, **{NAME: "# %%\n1\n\n# %%\nx = 1\nraise KeyError('seven')\n"})
    with pytest.raises(ValueError, match=r"00_demo\.py, cell 2 \(x = 1\): KeyError: 'seven'"):
        sources.rebuild(home / "source" / f"{NAME}.py")
    assert [path.name for path in home.iterdir() if path.suffix == ".ipynb"] == []


def test_jupytext_pairs_the_two_files(tmp_path):
    """The project's jupytext.toml leads from one to the other, and leaves labs alone."""
    home = make_project(tmp_path)
    shutil.copy(ROOT / "jupytext.toml", tmp_path)
    source = home / "source" / f"{NAME}.py"
    notebook = sources.build(source)
    sources.write_notebook(home / f"{NAME}.ipynb", notebook)
    notebook.cells[0].source += "\n\nEdited in Jupyter."
    jupytext.write(notebook, home / f"{NAME}.ipynb")
    jupytext.cli.jupytext(["--quiet", "--sync", f"{home / NAME}.ipynb"])
    text = source.read_text()
    assert "# Edited in Jupyter." in text
    assert "    # %pip install" in text
    assert "source_hidden" not in text

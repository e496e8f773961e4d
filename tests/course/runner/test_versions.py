import re
from pathlib import Path

import pytest
from course_demo import NAME, make_project
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from ordlib.course.checks import CheckResult
from ordlib.course.runner.build import build
from ordlib.course.runner.versions import (
    SHARED,
    SOLUTION,
    has_tag,
    make_lab,
    make_notebook,
    make_solutions,
)

SOURCES = sorted((Path(__file__).parents[3] / "notebooks" / "source").glob("*.py"))


@pytest.fixture
def source(tmp_path):
    return build(make_project(tmp_path) / "source" / f"{NAME}.py")


def test_make_notebook_replaces_solutions_by_links(source):
    cells = make_notebook(source, NAME).cells
    text = "\n".join(cell.source for cell in cells)
    assert "def double(x)" in text
    assert "double_solved" not in text
    (exercise,) = [cell.source for cell in cells if cell.source.startswith("### Exercise")]
    assert exercise.endswith(f"Double a number.\n\n[Solution](solutions/{NAME}.ipynb)")
    assert len(cells) == len(source.cells) - 1
    assert "solutions/" not in "".join(cell.source for cell in source.cells)  # not modified


def test_make_notebook_needs_a_solution_for_each_exercise(source):
    source.cells = [cell for cell in source.cells if not has_tag(cell, SOLUTION)]
    with pytest.raises(ValueError, match=r"00_demo: 1 exercises .* and 0 cells"):
        make_notebook(source, NAME)


def test_make_lab_removes_outputs_and_counts_and_adds_a_note(source):
    notebook = make_notebook(source, NAME)
    notebook.cells[1].outputs = [new_output("stream", text="1")]
    notebook.cells[1].execution_count = 3
    cells = make_lab(notebook, NAME).cells
    assert (cells[1].outputs, cells[1].execution_count) == ([], None)
    assert cells[0].source.startswith("# 00 · A demo\n\n> **This is the lab version**")
    assert f"/blob/main/notebooks/labs/{NAME}.ipynb)" in cells[0].source
    assert f"(../solutions/{NAME}.ipynb)" in "".join(cell.source for cell in cells)
    assert "lab version" not in notebook.cells[0].source  # the notebook is not modified


def test_make_solutions_has_what_the_solutions_need(source):
    solutions = make_solutions(source, NAME)
    header, setup, parameters, shared, exercise, solution = solutions.cells
    assert header.source.startswith("# 00 · A demo: solutions\n\n> **These are the solutions**")
    assert f"/blob/main/notebooks/solutions/{NAME}.ipynb)" in header.source
    assert "ordlib.course" in setup.source
    assert has_tag(parameters, "parameters")
    assert has_tag(shared, SHARED)
    assert exercise.source == "### Exercise 1 · Double ● 1 minute\n\nDouble a number."
    assert "double_solved" in solution.source


@pytest.mark.parametrize(("make", "other"), [(make_lab, "01_next"), (make_solutions, "../01_next")])
def test_links_are_relative_to_the_folder(make, other):
    text = "[a](../README.md) [b](01_next.ipynb) [c](#here) [d](https://x.org/y) ![e](p/s.png)"
    image = '<img src="p/s.png" alt="a star"> `f(x)[0](y)`'
    cells = [new_markdown_cell(f"### Exercise 1 \n{part}") for part in ("Title", text, image)]
    _, markdown, html = make(new_notebook(cells=cells), "00_demo").cells
    expected = text.replace("../README", "../../README").replace("p/s", "../p/s")
    assert markdown.source.endswith(expected.replace("01_next", other))
    assert '<img src="../p/s.png"' in html.source


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_solutions_of_the_course_pass_their_checks(path):
    """As extracted: nothing but the shared cells comes before them."""
    results, namespace = [], {}
    for cell in make_solutions(build(path), path.stem).cells[2:]:
        if cell.cell_type != "code":
            continue
        *body, last = re.split(r"\n(?=check\.)", cell.source)
        exec("\n".join(["from ordlib.course import notebook", *body]), namespace)
        if has_tag(cell, SOLUTION):
            results.append(eval(last, namespace))
        else:
            exec(last, namespace)
    assert results
    assert all(isinstance(r, CheckResult) and r.state == "passed" for r in results), results


def test_solution_cells_are_code(source):
    source.cells.append(new_code_cell("1"))
    assert [cell.cell_type for cell in source.cells if has_tag(cell, SOLUTION)] == ["code"]

import pytest
from course_demo import NAME, make_project
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from ordlib.course.runner.build import build
from ordlib.course.runner.labs import BEGIN, END, make_lab, solution_lines


def lab_cells(*cells):
    return make_lab(new_notebook(cells=list(cells)), "00_demo").cells


def test_make_lab_removes_solution_cells_and_stubs_solutions_within_cells():
    solution = new_code_cell(f"# @title Solution\n{BEGIN}\nx = 2 * 3\n{END}\n")
    partial = new_code_cell(f"def f(x):\n    {BEGIN}\n    return 2 * x\n    {END}\n\n\nf(2)")
    (lab,) = lab_cells(solution, partial)
    assert lab.source == "def f(x):\n    ...  # your code here\n\n\nf(2)"
    compile(lab.source, "lab", "exec")


def test_make_lab_removes_outputs_counts_and_solutions_in_markdown():
    code = new_code_cell("1", execution_count=3, outputs=[new_output("stream", text="1")])
    hidden = f"<!-- {BEGIN} -->\nHidden.\n<!-- {END} -->"
    cells = lab_cells(code, new_markdown_cell(f"Keep.\n\n{hidden}"), new_markdown_cell(hidden))
    assert [cell.source.strip() for cell in cells] == ["1", "Keep."]
    assert (cells[0].outputs, cells[0].execution_count) == ([], None)


def test_make_lab_relinks_relative_links():
    text = "[a](../README.md) [b](01_next.ipynb) [c](#here) [d](https://x.org/y) ![e](p/s.png)"
    image = '<img src="p/s.png" alt="a star"> `f(x)[0](y)`'
    _, markdown, html = lab_cells(*map(new_markdown_cell, ("# Title", text, image)))
    assert markdown.source == text.replace("../README", "../../README").replace("p/s", "../p/s")
    assert html.source.startswith('<img src="../p/s.png"')


def test_make_lab_adds_a_note_and_contains_no_solution_line(tmp_path):
    notebook = build(make_project(tmp_path) / "source" / f"{NAME}.py")
    cells = make_lab(notebook, NAME).cells
    assert cells[0].source.startswith("# 00 · A demo\n\n> **This is the lab version**")
    assert f"/blob/main/notebooks/labs/{NAME}.ipynb)" in cells[0].source
    assert "lab version" not in notebook.cells[0].source  # the notebook is not modified
    lines = solution_lines(notebook)
    solutions = {"return 2 * x", "half = x / 2", "return half", "Halving undoes doubling."}
    assert {line for line in lines if "SOLUTION" not in line} == solutions
    text = "\n".join(cell.source for cell in cells)
    assert not [line for line in lines if line in text]


def test_make_lab_rejects_an_unclosed_solution():
    with pytest.raises(ValueError, match="00_demo: no end solution statement found"):
        lab_cells(new_code_cell(f"{BEGIN}\n1"))

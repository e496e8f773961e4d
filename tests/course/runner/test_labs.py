import pytest
from course_demo import NAME, make_project
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from ordlib.course.runner import build as sources
from ordlib.course.runner import labs

BEGIN, END = labs.BEGIN, labs.END


def lab_of(*cells):
    return labs.make_lab(new_notebook(cells=list(cells)), "00_demo").cells


def test_a_cell_that_is_nothing_but_a_solution_disappears():
    cell = new_code_cell(f"# @title Solution\n{BEGIN}\nx = 2 * 3\n{END}\n")
    assert [c.source for c in lab_of(cell, new_code_cell("x"))] == ["x"]


def test_a_solution_inside_a_cell_becomes_a_line_to_fill_in():
    cell = new_code_cell(f"def f(x):\n    {BEGIN}\n    return 2 * x\n    {END}\n\n\nf(2)")
    (lab,) = lab_of(cell)
    assert lab.source == "def f(x):\n    ...  # your code here\n\n\nf(2)"
    compile(lab.source, "lab", "exec")


def test_outputs_counts_and_marked_prose_go():
    code = new_code_cell("1", execution_count=3, outputs=[new_output("stream", text="1")])
    prose = new_markdown_cell(f"Keep.\n\n<!-- {BEGIN} -->\nTell nobody.\n<!-- {END} -->")
    only = new_markdown_cell(f"<!-- {BEGIN} -->\nTell nobody.\n<!-- {END} -->")
    kept = lab_of(code, prose, only)
    assert [c.source.strip() for c in kept] == ["1", "Keep."]
    assert (kept[0].outputs, kept[0].execution_count) == ([], None)


def test_links_lead_from_one_folder_further_down():
    text = "[a](../README.md) [b](01_next.ipynb) [c](#here) [d](https://x.org/y) ![e](p/s.png)"
    image = '<img src="p/s.png" alt="a star"> `f(x)[0](y)`'
    _, prose, html = lab_of(*map(new_markdown_cell, ("# Title", text, image)))
    assert prose.source == (
        "[a](../../README.md) [b](01_next.ipynb) [c](#here) [d](https://x.org/y) ![e](../p/s.png)"
    )
    assert html.source.startswith('<img src="../p/s.png"')


def test_the_header_says_so_and_no_solution_line_survives(tmp_path):
    notebook = sources.build(make_project(tmp_path) / "source" / f"{NAME}.py")
    cells = labs.make_lab(notebook, NAME).cells
    assert cells[0].source.startswith("# 00 · A demo\n\n> **This is the lab version**")
    assert f"/blob/main/notebooks/labs/{NAME}.ipynb)" in cells[0].source
    assert "lab version" not in notebook.cells[0].source  # the original stays as it is
    secret = labs.solution_lines(notebook)
    assert secret == {"return 2 * x", "half = x / 2", "return half", "Halving undoes doubling."} | {
        line for line in secret if "SOLUTION" in line
    }
    text = "\n".join(cell.source for cell in cells)
    assert not [line for line in secret if line in text]


def test_an_unclosed_solution_is_named():
    with pytest.raises(ValueError, match="00_demo: no end solution statement found"):
        lab_of(new_code_cell(f"{BEGIN}\n1"))

"""What is on the slides, and in which order."""

import base64
import io
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from ordlib.course.slides.deck import make_slides
from ordlib.course.slides.text import is_small, shorten, split_sentences

NOTEBOOKS = sorted((Path(__file__).parents[3] / "notebooks").glob("*.ipynb"))


def png(width=400, height=100) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def code(source, *data, text="") -> nbformat.NotebookNode:
    outputs = [new_output("stream", text=text)] if text else []
    return new_code_cell(source, outputs=[*outputs, *(new_output("display_data", d) for d in data)])


def choose(*options) -> nbformat.NotebookNode:
    line = "Your choice: " + " ".join(f"○ {option}" for option in options)
    return code("widgets.choose(...)", {"text/plain": line, "text/markdown": line})


def table(rows) -> dict[str, str]:
    body = "".join(f"<tr><th>{n}</th><td>0.{n}</td></tr>" for n in range(rows))
    return {"text/html": f'<style scoped>td {{}}</style><table border="1">{body}</table>'}


def make_notebook() -> nbformat.NotebookNode:
    """A notebook with every element of the course's notebooks."""
    built = "class Net:\n    pass\n\n\ndef long():\n" + "    pass\n" * 20 + "\n\nprint(Net())"
    cells = [
        new_markdown_cell(
            "# 07 · Ties\n\n**What you will find out.** The *MAE* is 9.9<!--=mae-->. It falls.\n\n"
            "**After this you can** count.\n\n| prerequisites |\n|---|\n| none |"
        ),
        code("from ordlib.course import notebook"),
        new_markdown_cell(
            "## A question\n\nOne is short. Two is `code`. Three is left out.\n\n"
            "An aside. The loss is\n\n$$L = \\frac12.$$\n\n"
            "**Before you run the next cell:** which of the two is larger?"
        ),
        choose("the first", "the second"),
        code("plot()", {"image/png": png()}),
        new_markdown_cell(
            "*Figure 1. Left: it falls. Right: it rises by 1<!--=mae-->.*\n\n"
            "**What you should see.** The second. By far.\n\n"
            "**If you see something else.** *No*: yes.\n\n"
            "### Exercise 1 · Write it ● 5 minutes\n\nWrite the secret.\n\n"
            "<details><summary>Hint</summary>\n\nThe secret hint.\n</details>"
        ),
        code("def secret(): ...\n\ncheck.it(secret)", {"text/html": "<table>secret</table>"}),
        new_markdown_cell("**Before you run the next cell:** and the sum?"),
        code("print(3)", text="the sum is 3\n"),
        new_markdown_cell("Three. See Figure 1."),
        code("frame", table(4)),
        new_markdown_cell("*Table 1. Small.*"),
        code("frame", table(40)),
        new_markdown_cell("*Table 2. Too large.*\n\n## Build it\n\nIn plain PyTorch:"),
        code(built, text="printed\n"),
        new_markdown_cell(
            "## Five questions\n\n"
            "<details><summary>1. Why?</summary>\n\nThe secret reason.\n</details>\n\n"
            "## What to take away\n\n* **First** of 9.9<!--=mae-->.\n* Second.\n\n"
            "**To read.** A secret.\n\n"
            "## Appendix\n\nThe secret appendix."
        ),
        code("frame", table(4)),
    ]
    return new_notebook(cells=cells)


@pytest.fixture
def slides():
    return make_slides(make_notebook(), {"mae": 2.5})


def test_make_slides_shows_each_element_in_order(slides):
    kinds = [slide.kind for slide in slides]
    asked, result = ["text", "question", "figure", "answer"], ["question", "answer", "table"]
    assert kinds == ["title", *asked, *result, "code", "summary"]


def test_make_slides_shortens_text_and_updates_results(slides):
    title, text, *_ = slides
    assert title.body.startswith("**What you will find out.** The MAE is 2.5. It falls.")
    assert title.body.endswith("**After this you can** count.")
    formula = "$$L = \\frac12.$$"
    assert text.body == f"One is short. Two is `code`.\n\nThe loss is\n\n{formula}"
    assert slides[-1].body == "* **First** of 2.5.\n* Second."


def test_make_slides_has_votes_before_their_answers(slides):
    _, _, vote, figure, answer, think, printed, *_ = slides
    assert (vote.label, vote.options) == ("Vote", ["the first", "the second"])
    assert vote.body == "Which of the two is larger?"
    assert figure.body == "**Figure 1.** Left: it falls. Right: it rises by 2."
    assert (answer.label, answer.body) == ("Answer", "The second. By far.")
    assert (think.label, think.body, think.options) == ("Think first", "And the sum?", [])
    assert (printed.output, printed.body) == ("the sum is 3", "Three. See Figure 1.")


def test_make_slides_repeats_what_a_question_refers_to():
    notebook = make_notebook()
    notebook.cells[2].source = notebook.cells[2].source.replace("$$L = \\frac12.$$\n\n", "")
    vote = next(slide for slide in make_slides(notebook, {}) if slide.kind == "question")
    # "the two" are those of the sentence before.
    assert vote.body == "The loss is\n\nWhich of the two is larger?"


def test_make_slides_leaves_out_exercises_answers_and_large_tables(slides):
    shown = "\n".join(slide.heading + slide.body + slide.output for slide in slides)
    assert "secret" not in shown
    assert "Exercise" not in shown
    assert "Table 1." in shown
    assert "Table 2." not in shown
    assert [slide.output for slide in slides if slide.kind == "code"] == ["class Net:\n    pass"]


def test_make_slides_rejects_a_notebook_without_outputs():
    with pytest.raises(ValueError, match="run it first"):
        make_slides(new_notebook(cells=[new_markdown_cell("# 07 · Ties"), new_code_cell("1")]), {})


@pytest.mark.parametrize(("size", "is_tall"), [((400, 100), False), ((400, 300), True)])
def test_slide_with_a_tall_figure_has_its_caption_beside_it(size, is_tall):
    notebook = make_notebook()
    notebook.cells[4].outputs[0].data["image/png"] = png(*size)
    figure = next(slide for slide in make_slides(notebook, {}) if slide.kind == "figure")
    assert figure.is_tall == is_tall


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_make_slides_of_the_course(path):
    notebook = nbformat.read(path, as_version=4)
    slides = make_slides(notebook, {})
    kinds = [slide.kind for slide in slides]
    assert len(slides) >= 10
    assert kinds[-1] == "summary"
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert kinds.count("figure") == sum("image/png" in o.get("data", {}) for o in outputs)
    assert all(slide.body for slide in slides if slide.kind == "figure")
    text = "".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert kinds.count("question") == text.count("**Before you ")
    votes = [cell for cell in notebook.cells if "widgets.choose(" in cell.source]
    assert sum(bool(slide.options) for slide in slides) == len(votes)
    shown = "\n".join(slide.body + slide.output for slide in slides)
    solutions = nbformat.read(path.parent / "solutions" / path.name, as_version=4)
    for cell in solutions.cells:
        if "solution" in cell.metadata.get("tags", []):
            assert cell.source not in shown
            assert cell.source.splitlines()[0] not in shown
    assert "not tried yet" not in shown  # the output of a check


def test_split_sentences_keeps_numbers_and_quotations():
    sentences = ["It is .26 off.", '"A few."', "*How? Why?*", "95 % (e.g. here. And there.) do."]
    assert split_sentences(" ".join(sentences)) == sentences
    assert shorten("**One. Two.** Three.", 5) == "**One. Two.**"


@pytest.mark.parametrize(
    ("rows", "cells", "expected"),
    [(13, ["name", "0.1"], True), (14, ["name", "0.1"], False), (5, ["a word " * 20, "0.1"], True),
     (3, ["0.12 (0.10 to 0.14)"] * 6, False), (3, ["0.12<br>(0.10 to 0.14)"] * 3, True)],
)  # fmt: skip
def test_is_small_estimates_lines_and_columns(rows, cells, expected):
    assert is_small([cells] * rows) == expected

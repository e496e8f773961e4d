"""Submissions as students hand them in, whatever they have done to the file."""

import csv
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from ordlib.course.grading import grade as grading
from ordlib.course.grading.assignments import Assignment, Exercise
from ordlib.course.grading.grade import GradedSubmission, find_similar, write_csv
from ordlib.course.grading.run_answers import Grade
from ordlib.course.grading.similarity import normalize
from ordlib.course.grading.submissions import (
    Submission,
    read_submission,
    read_submissions,
    without_checks,
)


def exercise(name, number, check):
    return Exercise(
        id=f"{name}-{number}", points=1, minutes=5, text="", cell_id=f"{name}-cell",
        stub="", check=f"check.{check}(f)", solution="",
    )  # fmt: skip


FIRST = Assignment("00", "", (), (exercise("00", 1, "one"),))
SECOND = Assignment("01", "", (), (exercise("01", 1, "two"),))


def write(path, *codes, ids=()):
    path.parent.mkdir(parents=True, exist_ok=True)
    notebook = new_notebook(cells=[new_markdown_cell("# Lab"), *map(new_code_cell, codes)])
    for cell, cell_id in zip(notebook.cells[1:], ids, strict=False):
        cell.id = cell_id
    nbformat.write(notebook, path)
    return path


def read(path):
    return read_submission(path, "Ada", [FIRST, SECOND])


def test_answer_is_the_cell_with_the_id_of_the_exercise(tmp_path):
    path = write(tmp_path / "a.ipynb", "f = 1\ncheck.one(f)", "f = 2", ids=("x", "01-cell"))
    submission = read(path)
    assert submission.assignment in (FIRST, SECOND)
    (found,) = read_submission(path, "Ada", [SECOND]).answers.values()
    assert found == "f = 2"


def test_answer_is_the_last_cell_with_the_check_where_the_id_is_lost(tmp_path):
    path = write(tmp_path / "a.ipynb", "f = 1\ncheck.two(f)", "f = 3\ncheck.two(f)\n", "f = 4")
    submission = read(path)
    assert submission.assignment is SECOND
    assert submission.answers["01-1"].strip() == "f = 3"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "no notebook or damaged"),
        (b'{"cells": [', "no notebook or damaged"),
        (b"\xff\xfe\x00", "no notebook or damaged"),
        (b'{"cells": 3, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}', "damaged"),
        (b"[" * 100_000, "no notebook or damaged"),
    ],
)
def test_files_that_are_no_notebooks_have_a_problem(tmp_path, content, problem):
    path = tmp_path / "a.ipynb"
    path.write_bytes(content)
    submission = read(path)
    assert submission.assignment is None
    assert problem in submission.problem


def test_huge_files_are_not_read(tmp_path):
    path = tmp_path / "a.ipynb"
    with open(path, "wb") as file:
        file.truncate(10**9)
    assert "1000 MB, at most 20: clear outputs" in read(path).problem


def test_another_notebook_is_named_as_such(tmp_path):
    assert "another notebook" in read(write(tmp_path / "a.ipynb", "print(1)")).problem


def test_answers_of_nbgrader_notebooks_are_found_by_their_grade_id(tmp_path):
    path = write(tmp_path / "a.ipynb", "f = 7", "_ = check.two(f).require()")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].metadata["nbgrader"] = {"grade_id": "01-1-answer", "grade": False}
    notebook.cells[2].metadata["nbgrader"] = {"grade_id": "01-1-points", "grade": True}
    nbformat.write(notebook, path)
    assert read(path).answers == {"01-1": "f = 7"}


def test_students_are_folders_or_file_names(tmp_path):
    write(tmp_path / "Ada" / "labs" / "00.ipynb", "check.one(f)")
    write(tmp_path / "Bo.ipynb", "check.one(f)")
    write(tmp_path / "Ada" / ".ipynb_checkpoints" / "00.ipynb", "check.one(f)")
    assert [s.student for s in read_submissions(tmp_path, [FIRST])] == ["Ada", "Bo"]
    with pytest.raises(FileNotFoundError, match="no such folder, or no notebooks"):
        read_submissions(tmp_path / "nothing", [FIRST])


def test_without_checks_keeps_the_answer_alone():
    code = "%matplotlib inline\n!rm -rf /\nf = 1\ncheck.one(\n    f\n)\nx = check.one(f)"
    assert without_checks(code).split("\n") == ["", "", "f = 1", "", "", "", "x = check.one(f)"]
    assert without_checks("def f(:\n  pass") == "def f(:\n  pass"


LONG = '''
def f(x, y):
    """Sum of squares."""
    total = 0
    for a in x:
        total = total + a * a
    if total > y:
        total = y
    return total
'''


def test_normalize_ignores_names_comments_and_docstrings_only():
    renamed = LONG.replace("total", "s").replace("(x, y)", "(first, second)")
    renamed = (
        renamed.replace("in x", "in first").replace("> y", "> second").replace("= y", "= second")
    )
    renamed = renamed.replace('"""Sum of squares."""', "# my own work")
    assert normalize(renamed) == normalize(LONG)
    assert normalize(LONG.replace("a * a", "a * 2")) != normalize(LONG)
    assert normalize(LONG.replace("= y", "= x")) != normalize(LONG)
    assert normalize("def f(x):\n    return x") is None
    assert normalize("def f(:") is None


def graded(student, code, reason="passed"):
    submission = Submission(student, Path(f"{student}.ipynb"), FIRST, {"00-1": code})
    return GradedSubmission(submission, (Grade("00-1", 1, 1, reason),))


def test_find_similar_lists_students_of_the_same_program():
    found = find_similar([graded("Bo", LONG), graded("Ada", LONG), graded("Cy", LONG + "z = 1")])
    assert [(s.exercise, s.students) for s in found] == [("00-1", ("Ada", "Bo"))]


def test_write_csv_has_totals_and_no_formulas(tmp_path):
    other = Submission("Cy", tmp_path / "x.ipynb", None, {}, "it is another notebook")
    table = tmp_path / "grades.csv"
    write_csv([graded("=1+1", LONG, "@SUM(A1)"), GradedSubmission(other, ())], table)
    with open(table, newline="", encoding="utf-8") as file:
        rows = [list(row.values()) for row in csv.DictReader(file)]
    assert rows == [
        ["'=1+1", "'=1+1.ipynb", "00-1", "1", "1", "'@SUM(A1)"],
        ["'=1+1", "'=1+1.ipynb", "00-total", "1", "1", ""],
        ["Cy", "x.ipynb", "?-total", "0", "0", "it is another notebook"],
    ]


def test_write_gradebook_has_a_row_for_each_student(tmp_path):
    other = Submission("Cy", tmp_path / "x.ipynb", None, {}, "it is another notebook")
    again = GradedSubmission(graded("Ada", LONG).submission, (Grade("00-1", 0, 1, "no"),))
    results = [again, graded("Ada", LONG), graded("Eve", LONG), GradedSubmission(other, ())]
    grading.write_gradebook(results, tmp_path / "book.csv", ["Ada", "Bo", "Cy"])
    with open(tmp_path / "book.csv", newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [
            ["student", "00", "total", "remarks"],
            ["Ada", "1", "1", ""],
            ["Bo", "", "0", "no file"],
            ["Cy", "", "0", "x.ipynb: it is another notebook; no file"],
            ["Eve", "1", "1", "not in the roster"],
        ]


def test_read_roster_takes_a_column_or_lines(tmp_path):
    table, lines = tmp_path / "r.csv", tmp_path / "r.txt"
    table.write_text("\ufeffmail,student\na@b,Ada\nc@d,Bo \n")
    lines.write_text("Ada\n\n Bo\n")
    assert grading.read_roster(table) == grading.read_roster(lines) == ["Ada", "Bo"]
    for text, message in (("Ada\nAda\n", "'Ada' is there twice"), ("\n", "is empty")):
        lines.write_text(text)
        with pytest.raises(ValueError, match=message):
            grading.read_roster(lines)
    table.write_text("name\nAda\n")
    with pytest.raises(ValueError, match="no column 'student'; it has 'name'"):
        grading.read_roster(table)


def test_graded_in_the_order_of_the_paths(tmp_path, monkeypatch):
    for name in ("b", "a", "c"):
        write(tmp_path / f"{name}.ipynb", f"f = {name!r}\ncheck.one(f)")
    monkeypatch.setattr(grading, "prepare", lambda assignment: None)
    answers = lambda assignment, answers, limits: [Grade("00-1", 1, 1, answers["00-1"].strip())]  # noqa: E731
    monkeypatch.setattr(grading, "run_answers", answers)
    found = list(grading.grade_folder(tmp_path, [FIRST]))
    assert [(g.submission.student, g.grades[0].reason) for g in found] == [
        ("a", "f = 'a'"), ("b", "f = 'b'"), ("c", "f = 'c'"),
    ]  # fmt: skip

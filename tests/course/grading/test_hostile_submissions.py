"""Submissions that are no files, and text of students that would damage the table of grades."""

import csv
import io
import os

import pytest

from ordlib.course.grading.assignments import Assignment, Exercise
from ordlib.course.grading.grade import GradedSubmission, read_roster, write_csv, write_gradebook
from ordlib.course.grading.run_answers import Grade
from ordlib.course.grading.submissions import Submission, read_submissions

EXERCISE = Exercise(
    id="00-1", points=1, minutes=5, text="", cell_id="a", stub="", check="check.one(f)", solution=""
)
ASSIGNMENT = Assignment("00", "", (), (EXERCISE,))


@pytest.mark.parametrize("kind", ["pipe", "broken link", "loop", "folder"])
def test_read_submissions_names_what_is_no_file(tmp_path, kind):
    path = tmp_path / "Ada.ipynb"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere" if kind == "broken link" else path.name)
    (submission,) = read_submissions(tmp_path, [ASSIGNMENT])
    assert submission.assignment is None
    assert "no regular file" in submission.problem


@pytest.mark.parametrize(
    "text",
    ["\udcff", "x\rForged,00.ipynb,00-1,1,1,ok", "x\n\ny", "\x1b[31m", "\0", "\r=1+1", "\t=1"],
)
def test_tables_of_grades_have_a_row_for_each_grade(tmp_path, text):
    submission = Submission(f"Ada{text}", tmp_path / "a.ipynb", ASSIGNMENT, {}, text)
    damaged = Submission(f"Bo{text}", tmp_path / f"b{text}.ipynb", None, {}, text)
    graded = [
        GradedSubmission(submission, (Grade("00-1", 0, 1, text),)), GradedSubmission(damaged, ())
    ]  # fmt: skip
    write_csv(graded, tmp_path / "grades.csv")
    write_gradebook(graded, tmp_path / "book.csv", [])
    for name, count in (("grades.csv", 4), ("book.csv", 3)):
        content = (tmp_path / name).read_bytes().decode("utf-8")
        rows = list(csv.reader(io.StringIO(content, newline=""), strict=True))
        assert [len(row) for row in rows] == [len(rows[0])] * count
        assert not any(cell.startswith(("=", "\t", "\r")) for row in rows for cell in row)


def test_read_roster_names_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "class.csv"
    for content in ("student\nRené\n".encode("latin-1"), "student\nAda\n".encode("utf-16")):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"class\.csv.*save the file as UTF-8"):
            read_roster(path)

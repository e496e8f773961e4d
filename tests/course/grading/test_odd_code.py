"""Code, names and class lists of students that break parsers: one answer is lost, not the class."""

import json
import unicodedata

import pytest
from commands import fail
from nbformat.v4 import new_code_cell, new_notebook

from ordlib.course.grading import worker
from ordlib.course.grading.assignments import Assignment, Exercise, load_assignments
from ordlib.course.grading.grade import GradedSubmission, read_roster, write_gradebook
from ordlib.course.grading.labs import load_notes
from ordlib.course.grading.run_answers import Grade, prepare
from ordlib.course.grading.similarity import similar_answers
from ordlib.course.grading.submissions import read_submission, read_submissions, without_checks

EXERCISE = Exercise(
    id="00-1", points=1, minutes=5, text="", cell_id="a", stub="", check="check.one(f)", solution=""
)
ASSIGNMENT = Assignment("00", "", (), (EXERCISE,))
UNPARSED = {
    "deep sign": "-" * 10**5 + "1", "deep attribute": "x" + ".a" * 10**5,
    "long sum": "+".join(["x"] * 20_000), "many parentheses": "(" * 10**4, "zero byte": "x=\0",
    "surrogate": "x='\ud800'", "long number": f"x=0x{'f' * 6000}",
    "long number in a call": f"print(0x{'f' * 6000})", "deep block": "\n".join(
        f"{' ' * i}if 1:" for i in range(200)), "tabs": "if 1:\n\tx\n        y",
}  # fmt: skip


def submit(folder, code):
    notebook = new_notebook(cells=[new_code_cell("x", id="a")])
    notebook.cells[0].source = code
    (path := folder / "Ada.ipynb").write_text(json.dumps(notebook))
    return read_submission(path, "Ada", [ASSIGNMENT])


@pytest.mark.parametrize("code", UNPARSED.values(), ids=UNPARSED)
def test_code_that_cannot_be_parsed_is_an_answer(tmp_path, code):
    assert submit(tmp_path, code).answers == {"00-1": code}
    assert similar_answers({"Ada": {"00-1": code}, "Bo": {"00-1": code}}) == []


@pytest.mark.parametrize(("code", "expected"), [
    ("x = 'a\u2028b'\ncheck.one(f)", "x = 'a\u2028b'\n"),
    ("x = 'a\x0bb\x1c\x85'\ncheck.one(f)\ny = 1", "x = 'a\x0bb\x1c\x85'\n\ny = 1"),
    ("x = 1\n\x0cy = 2\ncheck.one(f)", "x = 1\n\x0cy = 2\n"),
    ("x = 1\r\ncheck.one(f)\r\ny = 2", "x = 1\n\ny = 2"), ("x = 1\rcheck.one(f)\r", "x = 1\n\n"),
    ("f = 1; check.one(f)", "f = 1; ()"), ("check.one(f); g = 2", "(); g = 2"),
    ("é = 'é'; check.one(é); g = 2", "é = 'é'; (); g = 2"),
    ("f = 1; check.one(\n f,\n); g = 2", "f = 1; (\n\n); g = 2"),
    ("check.one(f)\ncheck.one(\n f)\nx", "\n\n\nx"), ("print(check.one(f))", "print(check.one(f))"),
])  # fmt: skip
def test_without_checks_keeps_all_other_code(code, expected):
    result = without_checks(code)
    assert result == expected
    compile(result, "answer", "exec")


def test_a_name_of_the_class_list_may_be_written_by_macos(tmp_path):
    (folder := tmp_path / unicodedata.normalize("NFD", "René")).mkdir()
    notebook = new_notebook(cells=[new_code_cell("f = 1", id="a")])
    (folder / "00.ipynb").write_text(json.dumps(notebook))
    for form in ("NFC", "NFD"):
        (roster := tmp_path / "class.csv").write_text(unicodedata.normalize(form, "student\nRené"))
        graded = [
            GradedSubmission(submission, (Grade("00-1", 1, 1, "passed"),))
            for submission in read_submissions(tmp_path, [ASSIGNMENT])
        ]
        write_gradebook(graded, tmp_path / "book.csv", read_roster(roster))
        assert (tmp_path / "book.csv").read_text() == "student,00,total,remarks\nRené,1,1,\n"


@pytest.mark.parametrize(("text", "message"), [
    ("student,student\nAda,Bo", "two columns 'student'; it has 'student', 'student'"),
    ("Student\nAda", "no column 'student'; it has 'Student'"),
    ("student;points\nAda;1", "no column 'student'; it has 'student;points'"),
    ("student\n", "is empty"), ("", "is empty"), ("student\nAda\nAda", "'Ada' is there twice"),
])  # fmt: skip
def test_class_lists_that_are_none_are_named(tmp_path, text, message):
    (path := tmp_path / "class.csv").write_text(text)
    with pytest.raises(ValueError, match=rf"class\.csv: {message}"):
        read_roster(path)


def test_a_name_with_a_line_break_stays_one(tmp_path):
    (path := tmp_path / "class.csv").write_text('student\n"Ada\nL."\nBo,\n')
    assert read_roster(path) == ["Ada\nL.", "Bo"]


UNPRINTABLE = """
class Odd(BaseException):
    def __str__(self):
        raise ValueError
"""


ODD = [f"{UNPRINTABLE}raise Odd", f"{UNPRINTABLE}\ndef f(*a): raise Odd"]


@pytest.mark.parametrize(
    ("code", "name"),
    [*((code, "Odd") for code in ODD), ("def f(*a): exit()", "SystemExit"),
     ("def f(*a): raise GeneratorExit", "GeneratorExit")],
)  # fmt: skip
def test_errors_of_every_kind_are_reasons(monkeypatch, code, name):
    monkeypatch.setattr(worker, "fresh_checks", lambda name: __import__(
        "ordlib.course.checks.start_here", fromlist=["x"]))  # fmt: skip
    answer = {"code": code, "check": "check.off_by_one(f)", "module": "start_here"}
    result = worker._grade(answer, {}, {})
    assert result["points"] == 0
    assert name in result["reason"]


@pytest.mark.parametrize("preamble", ["1/0", "import nothing_of_the_kind", "exit("])
@pytest.mark.slow
def test_a_course_that_does_not_run_here_is_an_error_of_the_command(preamble):
    with pytest.raises(OSError, match="00: the imports raised"):
        prepare(Assignment("00", "", (preamble,), ()))


def test_courses_without_sources_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"source: no notebook sources .* --notebooks"):
        load_assignments(tmp_path / "source")
    (tmp_path / "Ada.ipynb").write_text("{}")
    words = ("--csv", tmp_path / "g.csv", "--notebooks", tmp_path)
    fail("no notebook sources (.py)", "course", "grade", tmp_path, *words)
    fail("notes.toml is missing", "course", "labs", "--output", tmp_path / "o", *words[2:])


@pytest.mark.parametrize("content", [b"\xff", b"[", b"a = 3", b"[a\n"])
def test_notes_that_are_damaged_are_named(tmp_path, content):
    (tmp_path / "notes.toml").write_bytes(content)
    with pytest.raises(ValueError, match=r"notes\.toml"):
        load_notes(tmp_path / "notes.toml")

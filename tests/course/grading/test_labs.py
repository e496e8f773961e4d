"""Labs for graders, tried with five students on both: ordlib course grade and nbgrader."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from submissions import STUDENTS, expected_points, hand_in_lab, hand_in_to_nbgrader

from ordlib.course.grading.assignments import load_assignments
from ordlib.course.grading.labs import write_labs
from ordlib.utils.cache import cache_dir

SOURCES = Path(__file__).parents[3] / "notebooks" / "source"
NAME = "02_numclip"


@pytest.fixture(scope="module")
def assignments():
    return load_assignments(SOURCES)


@pytest.fixture(scope="module")
def assignment(assignments):
    return next(a for a in assignments if a.name == NAME)


@pytest.fixture(scope="module")
def labs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labs")
    list(write_labs(SOURCES, {f"{NAME}-1": "Ask for the sign."}, folder))
    return folder


def run(*command, cwd, expected=0):
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # alembic
    environment = os.environ | {
        "OMP_NUM_THREADS": "1", "ORDLIB_CACHE": str(cache_dir().absolute()), "PATH": programs,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=cwd, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == expected, done.stdout + done.stderr
    return done.stdout


def test_every_notebook_has_an_assignment(assignments):
    assert [a.name for a in assignments] == sorted(path.stem for path in SOURCES.glob("*.py"))
    ids = [exercise.id for a in assignments for exercise in a.exercises]
    assert len(ids) == len(set(ids)) >= 28
    for a in assignments:
        for exercise in a.exercises:
            assert exercise.check.startswith("check.")
            assert "### BEGIN" not in exercise.stub
            assert 1 <= exercise.points <= 3


def test_labs_have_student_instructor_and_nbgrader_versions(labs, assignments):
    for a in assignments:
        student = (labs / "student" / f"{a.name}.ipynb").read_text()
        instructor = (labs / "instructor" / f"{a.name}.ipynb").read_text()
        for exercise in a.exercises:
            line = exercise.solution.splitlines()[-1]
            assert line not in student
            assert line in nbformat_text(instructor)
    text = nbformat_text((labs / "instructor" / f"{NAME}.ipynb").read_text())
    assert "**1 point.** Ask for the sign." in text


def nbformat_text(content):
    return "\n\n".join(cell.source for cell in nbformat.reads(content, as_version=4).cells)


def test_nbgrader_cells_have_metadata_and_points(labs, assignment):
    path = labs / "nbgrader" / "source" / NAME / f"{NAME}.ipynb"
    cells = nbformat.read(path, as_version=4).cells
    metadata = [cell.metadata["nbgrader"] for cell in cells]
    assert all(each["schema_version"] == 3 for each in metadata)
    ids = [each["grade_id"] for each in metadata]
    assert len(set(ids)) == len(ids)
    assert sum(each["points"] for each in metadata if each["grade"]) == assignment.points
    unlocked = [each for each in metadata if not each["locked"]]
    assert [each["solution"] for each in unlocked] == [True] * len(assignment.exercises)


@pytest.mark.slow
def test_both_graders_give_the_right_points(labs, assignment, tmp_path):
    submissions, course = tmp_path / "submissions", tmp_path / "course"
    for student in STUDENTS:
        hand_in_lab(labs / "student" / f"{NAME}.ipynb", assignment, student, submissions)
    table = tmp_path / "grades.csv"
    run("ordlib", "course", "grade", str(submissions), "--csv", str(table),
        "--notebooks", str(SOURCES.parent), cwd=tmp_path)  # fmt: skip
    with open(table, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    totals = {row["student"]: int(row["points"]) for row in rows if row["exercise"] == "total"}
    assert totals == {student: expected_points(assignment, student) for student in STUDENTS}

    (labs / "nbgrader").rename(course)
    run("nbgrader", "generate_assignment", NAME, cwd=course)
    released = course / "release" / NAME / f"{NAME}.ipynb"
    assert "SOLUTION" not in released.read_text()
    assert "HIDDEN" not in released.read_text()
    for student in STUDENTS:
        hand_in_to_nbgrader(released, assignment, student, course / "submitted")
    run("nbgrader", "autograde", NAME, cwd=course)
    run("nbgrader", "generate_feedback", NAME, cwd=course)
    run("nbgrader", "export", "--to", "grades.csv", cwd=course)
    with open(course / "grades.csv", newline="", encoding="utf-8") as file:
        scores = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    assert scores == {student: expected_points(assignment, student) for student in STUDENTS}
    feedback = course / "feedback" / "half" / NAME / f"{NAME}.html"
    assert "not tried yet" in feedback.read_text("utf-8")


@pytest.mark.slow
def test_an_untouched_lab_does_not_validate(labs, tmp_path):
    course = tmp_path / "course"
    list(write_labs(SOURCES, {}, tmp_path / "again"))
    (tmp_path / "again" / "nbgrader").rename(course)
    run("nbgrader", "generate_assignment", NAME, cwd=course)
    released = course / "release" / NAME / f"{NAME}.ipynb"
    said = run("nbgrader", "validate", str(released), cwd=course)
    assert "failed" in said.lower()

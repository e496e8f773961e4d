"""Labs for graders, tried with five students on both: ordlib course grade and nbgrader."""

import csv
import os
import re
import shutil
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
    list(write_labs(SOURCES.parent, folder))
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


def test_headers_and_guide_have_the_minutes_and_points_of_the_exercises(assignments):
    guide = (SOURCES.parents[1] / "docs" / "teaching.md").read_text("utf-8")
    assert f", {sum(a.points for a in assignments)} in all" in guide
    for a in assignments:
        minutes = sum(exercise.minutes for exercise in a.exercises)
        header = text_of(SOURCES.parent / f"{a.name}.ipynb").partition("# Set-up")[0]
        read, exercises = re.search(r"(\d+) minutes, exercises (\d+)", header).groups()
        assert int(exercises) == minutes, a.name
        assert re.search(rf"### {a.name[:2]} .*\({read} minutes, exercises {minutes}\)", guide)


def test_labs_have_student_and_instructor_versions(labs, assignments):
    for a in assignments:
        student = text_of(labs / "student" / f"{a.name}.ipynb")
        instructor = text_of(labs / "instructor" / f"{a.name}.ipynb")
        assert instructor.count("> **For instructors, ") == len(a.exercises)
        for exercise in a.exercises:
            # The last line is ours: it assigns the solution to the name in the stub.
            line = exercise.solution.splitlines()[-3]
            assert line not in student
            assert line in instructor


def test_instructor_version_has_the_outputs_of_the_solutions(labs):
    cells = nbformat.read(labs / "instructor" / f"{NAME}.ipynb", as_version=4).cells
    shown = str([cell.outputs for cell in cells if cell.cell_type == "code"])
    assert shown.count("text/html") >= 4
    assert "✓ passed" in shown


def test_a_note_without_an_exercise_raises(tmp_path):
    notebooks = tmp_path / "notebooks"
    shutil.copytree(SOURCES.parent, notebooks)
    with open(notebooks / "source" / "notes.toml", "a", encoding="utf-8") as file:
        file.write('99 = "There is no such exercise."\n')
    with pytest.raises(ValueError, match=r"no such exercises: \w+-99"):
        list(write_labs(notebooks, tmp_path / "labs"))


def text_of(path):
    return "\n\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)


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
    totals = {
        row["student"]: int(row["points"]) for row in rows if row["exercise"].endswith("total")
    }
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
    list(write_labs(SOURCES.parent, tmp_path / "again"))
    (tmp_path / "again" / "nbgrader").rename(course)
    run("nbgrader", "generate_assignment", NAME, cwd=course)
    released = course / "release" / NAME / f"{NAME}.ipynb"
    said = run("nbgrader", "validate", str(released), cwd=course)
    assert "failed" in said.lower()

"""Labs as five students would hand them in."""

import copy
from pathlib import Path

import nbformat

from ordlib.course.grading.assignments import Assignment

PATCH = """
import ordlib.course.checks.result as result
from ordlib.course.checks.result import CheckResult
result.exercise_check = lambda function: lambda *a: CheckResult("passed", "of course")
for name in dir(check):
    if callable(getattr(check, name)) and not name.startswith("_"):
        setattr(check, name, lambda *a: CheckResult("passed", "of course"))
print("✓ passed: of course")
"""
STUDENTS = ("perfect", "empty", "half", "broken", "cheating")


def answers_of(assignment: Assignment, student: str) -> dict[str, str]:
    """Code by id of the exercise."""
    answers = {}
    for number, exercise in enumerate(assignment.exercises):
        right = f"{exercise.stub}\n\n\n{exercise.solution}"
        answers[exercise.id] = {
            "perfect": right,
            "empty": exercise.stub,
            "half": right if number % 2 == 0 else exercise.stub,
            "broken": "def unfinished(:\n" if number == 0 else right,
            "cheating": exercise.stub + "\n" + PATCH,
        }[student]
    return answers


def expected_points(assignment: Assignment, student: str) -> int:
    points = [exercise.points for exercise in assignment.exercises]
    return {
        "perfect": sum(points), "empty": 0, "half": sum(points[::2]), "broken": sum(points[1:]),
        "cheating": 0,
    }[student]  # fmt: skip


def hand_in_lab(lab: Path, assignment: Assignment, student: str, folder: Path) -> Path:
    """Write the student's lab to ``FOLDER/STUDENT/NAME.ipynb``."""
    notebook = nbformat.read(lab, as_version=4)
    answers = answers_of(assignment, student)
    by_cell = {e.cell_id: f"{answers[e.id]}\n\n{e.check}" for e in assignment.exercises}
    for cell in notebook.cells:
        cell.source = by_cell.get(cell.id, cell.source)
    return _write(notebook, folder / student / lab.name)


def hand_in_to_nbgrader(released: Path, assignment: Assignment, student: str, folder: Path) -> Path:
    """Write the student's notebook to ``FOLDER/STUDENT/ASSIGNMENT/NAME.ipynb``."""
    notebook = copy.deepcopy(nbformat.read(released, as_version=4))
    for exercise in assignment.exercises:
        (cell,) = (
            c for c in notebook.cells
            if c.metadata.get("nbgrader", {}).get("grade_id") == f"{exercise.id}-answer"
        )  # fmt: skip
        cell.source = answers_of(assignment, student)[exercise.id]
    return _write(notebook, folder / student / assignment.name / released.name)


def _write(notebook, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path

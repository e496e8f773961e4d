"""Grade a folder of submissions, two at a time, and write a table."""

import csv
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ...utils.cache import atomic_write
from .assignments import Assignment
from .run_answers import LIMITS, Grade, Limits, prepare, run_answers
from .similarity import Similar, similar_answers
from .submissions import Submission, read_submissions

NUM_JOBS = 2
GRADE_COLUMNS = ("exercise", "points", "max_points", "reason")


@dataclass(frozen=True)
class GradedSubmission:
    """A submission with its grades; without an assignment it has none."""

    submission: Submission
    grades: tuple[Grade, ...]

    @property
    def points(self) -> int:
        """Points of all exercises."""
        return sum(grade.points for grade in self.grades)

    @property
    def max_points(self) -> int:
        """Largest possible number of points."""
        return sum(grade.max_points for grade in self.grades)


def grade_folder(
    folder: Path, assignments: Sequence[Assignment], limits: Limits = LIMITS
) -> Iterator[GradedSubmission]:
    """Grade all submissions below a folder; yields them in the order of their paths.

    Raises:
        FileNotFoundError: there are no notebooks.
        RuntimeError: what the answers need cannot be imported here.
    """
    submissions = read_submissions(folder, assignments)
    for assignment in {id(s.assignment): s.assignment for s in submissions}.values():
        if assignment is not None:
            prepare(assignment)
    with ThreadPoolExecutor(NUM_JOBS) as pool:
        yield from pool.map(partial(_grade, limits=limits), submissions)


def _grade(submission: Submission, limits: Limits) -> GradedSubmission:
    if submission.assignment is None:
        return GradedSubmission(submission, ())
    grades = run_answers(submission.assignment, submission.answers, limits)
    return GradedSubmission(submission, tuple(grades))


def find_similar(graded: Sequence[GradedSubmission]) -> list[Similar]:
    """Answers of several students that are the same but for names and layout."""
    answers: dict[str, dict] = {}
    for each in graded:
        answers.setdefault(each.submission.student, {}).update(each.submission.answers)
    return similar_answers(answers)


def write_csv(graded: Sequence[GradedSubmission], path: Path) -> None:
    """Write one row per exercise, and a row "total" after those of each submission."""
    with (
        atomic_write(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["student", "file", *GRADE_COLUMNS])
        for each in graded:
            submission = each.submission
            where = submission.student, submission.path.name
            name = submission.assignment.name if submission.assignment else "?"
            total = Grade(f"{name}-total", each.points, each.max_points, submission.problem)
            for grade in (*each.grades, total):
                writer.writerow([_cell(value) for value in (*where, *grade)])


def _cell(value: object) -> object:
    """Text that a spreadsheet does not take for a formula."""
    is_formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if is_formula else value

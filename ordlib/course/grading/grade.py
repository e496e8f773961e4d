"""Grade a folder of submissions, two at a time, and write a table."""

import csv
import io
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ...data.text_files import read_text
from ...utils.cache import atomic_write
from ...utils.spreadsheet import CsvLines, csv_cell
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
        ChildProcessError: what the answers need cannot be imported here.
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
    with _rows_to(path) as write:
        write(["student", "file", *GRADE_COLUMNS])
        for each in graded:
            submission = each.submission
            where = submission.student, submission.path.name
            name = submission.assignment.name if submission.assignment else "?"
            total = Grade(f"{name}-total", each.points, each.max_points, submission.problem)
            for grade in (*each.grades, total):
                write([*where, *grade])


def write_gradebook(
    graded: Sequence[GradedSubmission], path: Path, roster: Sequence[str] = ()
) -> None:
    """Write one row per student: the points of each lab, their sum, and what is wrong.

    Of several files of a student for one lab, the best one counts. Students of the roster without
    a file have a row of their own; a student who is not in it is named as such.
    """
    labs = sorted({e.submission.assignment.name for e in graded if e.submission.assignment})
    points: dict[str, dict[str, int]] = {student: {} for student in roster}
    problems: dict[str, list[str]] = {student: [] for student in roster}
    for each in graded:
        submission, student = each.submission, each.submission.student
        own = points.setdefault(student, {})
        if submission.assignment is None:
            problem = f"{submission.path.name}: {submission.problem}"
            problems.setdefault(student, []).append(problem)
        else:
            name = submission.assignment.name
            own[name] = max(each.points, own.get(name, 0))
    with _rows_to(path) as write:
        write(["student", *labs, "total", "remarks"])
        for student, own in points.items():
            remarks = problems.get(student, []) + ["no file"] * (not own)
            remarks += ["not in the roster"] * (bool(roster) and student not in roster)
            row = [student, *(own.get(lab, "") for lab in labs), sum(own.values())]
            write([*row, "; ".join(remarks)])


def read_roster(path: Path) -> list[str]:
    """Students of a class: the column "student" of a CSV file, or the lines of a text file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no UTF-8 text, a CSV file without that column, a student twice, or nobody.
    """
    text = read_text(path)
    text = unicodedata.normalize("NFC", text)
    if path.suffix.lower() == ".csv":
        reader = csv.DictReader(io.StringIO(text, newline=""))
        columns = reader.fieldnames or []
        if columns and columns.count("student") != 1:
            number = "two columns" if "student" in columns else "no column"
            names = ", ".join(map(repr, columns))
            raise ValueError(f"{path}: {number} 'student'; it has {names}")
        students = [(row["student"] or "").strip() for row in reader]
    else:
        students = [line.strip() for line in text.splitlines()]
    students = [student for student in students if student]
    twice = {student for student in students if students.count(student) > 1}
    if twice or not students:
        raise ValueError(f"{path}: {f'{min(twice)!r} is there twice' if twice else 'is empty'}")
    return students


@contextmanager
def _rows_to(path: Path) -> Iterator[Callable[[Sequence], None]]:
    """Write a CSV file; yields a function that adds a row, in which no text is a formula."""
    lines = CsvLines()
    writer = csv.writer(lines)
    yield lambda row: writer.writerow(map(csv_cell, row))
    with atomic_write(path) as temporary:
        temporary.write_bytes(lines.getvalue().encode("utf-8", "backslashreplace"))

"""What ``ordlib course grade`` prints: a line for each submission, and similar answers."""

from collections.abc import Sequence
from pathlib import Path

from ...utils.command import echo
from .assignments import Assignment
from .grade import find_similar, grade_folder, read_roster, write_csv, write_gradebook
from .run_answers import Limits, without_network


def show_grading(
    folder: Path, assignments: Sequence[Assignment], limits: Limits, csv: Path,
    gradebook: Path | None = None, roster: Path | None = None,
) -> None:  # fmt: skip
    """Grade a folder, print the points as they come, and write the tables."""
    students = [] if roster is None else read_roster(roster)
    if not without_network():
        echo("Answers may use the network: this system cannot take it away (no `unshare -n`).")
    graded = []
    for each in grade_folder(folder, assignments, limits):
        graded.append(each)
        submission = each.submission
        result = submission.problem or f"{each.points} of {each.max_points} points"
        name = submission.assignment.name if submission.assignment else submission.path.name
        echo(f"{submission.student}, {name}: {result}")
    write_csv(graded, csv)
    if gradebook is not None:
        write_gradebook(graded, gradebook, students)
    for exercise, students in find_similar(graded):
        echo(f"similar answers to {exercise}: {', '.join(students)}")
    for path in filter(None, (csv, gradebook)):
        echo(f"wrote {path}")

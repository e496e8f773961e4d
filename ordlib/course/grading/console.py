"""What ``ordlib course grade`` prints: a line for each submission, and similar answers."""

from collections.abc import Sequence
from pathlib import Path

from typer import echo

from .assignments import Assignment
from .grade import find_similar, grade_folder, write_csv
from .run_answers import Limits, without_network


def show_grading(
    folder: Path, assignments: Sequence[Assignment], limits: Limits, csv: Path
) -> None:
    """Grade a folder, print the points as they come, and write the table."""
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
    for exercise, students in find_similar(graded):
        echo(f"similar answers to {exercise}: {', '.join(students)}")
    echo(f"wrote {csv}")

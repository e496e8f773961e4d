"""Write the labs: for students, for instructors, and as a complete nbgrader course."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from ..runner.build import METADATA, build, write_file, write_notebook
from ..runner.versions import make_lab, make_notebook
from .assignments import Assignment, Exercise, make_assignment
from .run_answers import check_module

BEGIN, END = "### BEGIN", "### END"
NBGRADER_SCHEMA = 3
CONFIG = '''"""Configuration of nbgrader for this course; see also TEACHING.md."""

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "ordlib"
# Loading torch and rendering images take longer than nbgrader's 30 seconds.
c.ExecutePreprocessor.timeout = 180
# The stubs of the exercises stay; only the solutions below them are taken out.
c.ClearSolutions.code_stub = {"python": "# Replace the three dots above by your answer."}
'''


def write_labs(sources: Path, notes: Mapping[str, str], output: Path) -> Iterator[Path]:
    """Write ``student``, ``instructor`` and ``nbgrader`` into a folder; yield each file.

    Args:
        sources: folder of the notebooks' py:percent sources.
        notes: Markdown for instructors by id of the exercise.
        output: folder, created if missing; files of the same name are replaced.
    """
    yield write_file(output / "nbgrader" / "nbgrader_config.py", CONFIG.encode())
    for path in sorted(sources.glob("*.py")):
        source = build(path)
        assignment = make_assignment(source, path.stem)
        lab = make_lab(make_notebook(source, path.stem), path.stem)
        yield write_notebook(output / "student" / f"{path.stem}.ipynb", lab)
        instructor = make_instructor_notebook(assignment, notes)
        yield write_notebook(output / "instructor" / f"{path.stem}.ipynb", instructor)
        release = make_nbgrader_notebook(assignment)
        folder = output / "nbgrader" / "source" / path.stem
        yield write_notebook(folder / f"{path.stem}.ipynb", release)


def make_instructor_notebook(assignment: Assignment, notes: Mapping[str, str]) -> NotebookNode:
    """Exercises with solutions, points, and what to say about common mistakes."""
    cells = [
        new_markdown_cell(
            f"# {assignment.title}: for instructors\n\n{len(assignment.exercises)} exercises, "
            f"{assignment.points} points, "
            f"{sum(e.minutes for e in assignment.exercises)} minutes."
        ),
        *_preamble(assignment),
    ]
    for exercise in assignment.exercises:
        note = notes.get(exercise.id, "")
        points = f"**{exercise.points} point{'s'[: exercise.points > 1]}.** {note}".strip()
        cells += [
            new_markdown_cell(f"{exercise.text}\n\n{points}"),
            new_code_cell(f"{exercise.stub}\n\n\n{exercise.solution}\n\n{exercise.check}"),
        ]
    return _notebook(cells)


def make_nbgrader_notebook(assignment: Assignment) -> NotebookNode:
    """Source version of an nbgrader assignment: the exercises and what their answers need.

    Each exercise has a cell to be edited and a locked cell with its points. The locked cell runs
    the check, and in grading once more as it is installed, in hidden tests.
    """
    cells = [
        _locked(new_markdown_cell(
            f"# {assignment.title}\n\nThe exercises of the notebook. Replace the three dots, run "
            "all cells, and hand the notebook in."
        ), f"{assignment.name}-title"),
        *(_locked(cell, f"{assignment.name}-preamble-{number}")
          for number, cell in enumerate(_preamble(assignment))),
    ]  # fmt: skip
    module = check_module(assignment.preamble)
    for exercise in assignment.exercises:
        cells += [
            _locked(new_markdown_cell(exercise.text), f"{exercise.id}-text"),
            _answer_cell(exercise),
            _points_cell(exercise, module),
        ]
    return _notebook(cells)


def _preamble(assignment: Assignment) -> list[NotebookNode]:
    return [new_code_cell(code) for code in assignment.preamble]


def _answer_cell(exercise: Exercise) -> NotebookNode:
    solution = f"{BEGIN} SOLUTION\n{exercise.solution}\n{END} SOLUTION"
    cell = new_code_cell(f"{exercise.stub}\n\n\n{solution}")
    return _with_metadata(cell, f"{exercise.id}-answer", solution=True, locked=False)


def _points_cell(exercise: Exercise, module: str) -> NotebookNode:
    again = [
        f"{BEGIN} HIDDEN TESTS",
        "from ordlib.course.grading.worker import fresh_checks",
        f'check = fresh_checks("{module}")',
        f"_ = {exercise.check}.require()",
        f"{END} HIDDEN TESTS",
    ]
    cell = new_code_cell("\n".join([f"_ = {exercise.check}.require()", *again]))
    metadata = {"grade": True, "points": exercise.points}
    return _with_metadata(cell, f"{exercise.id}-points", **metadata)


def _locked(cell: NotebookNode, grade_id: str) -> NotebookNode:
    return _with_metadata(cell, grade_id)


def _with_metadata(cell: NotebookNode, grade_id: str, **changes: object) -> NotebookNode:
    fields = {
        "grade": False, "grade_id": grade_id, "locked": True, "schema_version": NBGRADER_SCHEMA,
        "solution": False, "task": False,
    } | changes  # fmt: skip
    cell.metadata["nbgrader"] = fields
    return cell


def _notebook(cells: list[NotebookNode]) -> NotebookNode:
    notebook = new_notebook(cells=cells, metadata=nbformat.from_dict(METADATA))
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    return notebook

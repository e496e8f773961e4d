"""Write the labs: for students, for instructors, and as a complete nbgrader course."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from ...utils.reading import errors_name, read_file
from ..runner.build import METADATA, build, write_file, write_notebook
from ..runner.notebook_files import read_notebook
from ..runner.versions import EXERCISE, make_lab, make_notebook
from .assignments import Assignment, Exercise, make_assignment
from .run_answers import check_module

BEGIN, END = "### BEGIN", "### END"
NOTES = "notes.toml"
NBGRADER_SCHEMA = 3
CONFIG = '''"""Configuration of nbgrader for this course; see docs/teaching.md."""

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "ordlib"
# Loading torch and rendering images take longer than nbgrader's 30 seconds.
c.ExecutePreprocessor.timeout = 180
# The stubs of the exercises stay; only the solutions below them are taken out.
c.ClearSolutions.code_stub = {"python": "# Replace the three dots above by your answer."}
'''


def write_labs(notebooks: Path, output: Path) -> Iterator[Path]:
    """Write ``student``, ``instructor`` and ``nbgrader`` into a folder; yield each file.

    Args:
        notebooks: folder of the notebooks, with ``source`` and the executed ``solutions``.
        output: folder, created if missing; files of the same name are replaced.

    Raises:
        ValueError: an exercise has no note in ``source/notes.toml``, or a note no exercise.
    """
    sources = notebooks / "source"
    notes = load_notes(sources / NOTES)
    yield write_file(output / "nbgrader" / "nbgrader_config.py", CONFIG.encode())
    for path in sorted(sources.glob("*.py")):
        source, name = build(path), path.stem
        assignment = make_assignment(source, name)
        lab = make_lab(make_notebook(source, name), name)
        yield write_notebook(output / "student" / f"{name}.ipynb", lab)
        solutions = read_notebook(notebooks / "solutions" / f"{name}.ipynb")
        instructor = make_instructor_notebook(assignment, solutions, notes)
        yield write_notebook(output / "instructor" / f"{name}.ipynb", instructor)
        release = make_nbgrader_notebook(assignment)
        yield write_notebook(output / "nbgrader" / "source" / name / f"{name}.ipynb", release)
    if notes:
        raise ValueError(f"{NOTES}: no such exercises: {', '.join(notes)}")


def load_notes(path: Path) -> dict[str, str]:
    """Notes for instructors, by id of the exercise."""
    content = read_file(path)
    with errors_name(path):
        tables = tomllib.loads(content.decode("utf-8"))
        return {f"{name}-{n}": text for name, notes in tables.items() for n, text in notes.items()}


def make_instructor_notebook(
    assignment: Assignment, solutions: NotebookNode, notes: dict[str, str]
) -> NotebookNode:
    """Add points and notes to the executed solutions, in place; used notes are removed."""
    exercises = iter(assignment.exercises)
    for cell in solutions.cells:
        if cell.cell_type == "markdown" and EXERCISE.search(cell.source):
            exercise = next(exercises)
            if exercise.id not in notes:
                raise ValueError(f"{NOTES}: has no note for {exercise.id}")
            points = f"{exercise.points} point{'s'[: exercise.points > 1]}"
            cell.source += f"\n\n> **For instructors, {points}.** {notes.pop(exercise.id)}"
    minutes = sum(exercise.minutes for exercise in assignment.exercises)
    solutions.cells[0].source += (
        f"\n\n> **For instructors.** {len(assignment.exercises)} exercises, "
        f"{assignment.points} points, {minutes} minutes."
    )
    return solutions


def make_nbgrader_notebook(assignment: Assignment) -> NotebookNode:
    """Source version of an nbgrader assignment: the exercises and what their answers need.

    Each exercise has a cell to be edited and a locked cell with its points. The locked cell runs
    the check, and in grading once more as it is installed, in hidden tests.
    """
    cells = [
        _with_metadata(new_markdown_cell(
            f"# {assignment.title}\n\nThe exercises of the lab `{assignment.name}.ipynb`. Work in "
            "the lab: it has the cells and figures that the exercises mention. Copy your answers "
            "here, run all cells, and hand this notebook in. A cell is graded with the imports "
            "above alone: define in it what it uses."
        ), f"{assignment.name}-title"),
        *(_with_metadata(cell, f"{assignment.name}-preamble-{number}")
          for number, cell in enumerate(_preamble(assignment))),
    ]  # fmt: skip
    module = check_module(assignment.preamble)
    for exercise in assignment.exercises:
        cells += [
            _with_metadata(new_markdown_cell(exercise.text), f"{exercise.id}-text"),
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

"""Assignments: the exercises of a notebook's source, and the code that their answers need."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from ..runner.build import build
from ..runner.versions import EXERCISE, SHARED, SOLUTION, has_tag

TITLE = re.compile(r"^### Exercise (\d+) · .+? (●+) (\d+) minutes", re.M)
IMPORT_SETUP = "from ordlib.course import notebook"


@dataclass(frozen=True)
class Exercise:
    """An exercise.

    Attributes:
        id: such as "02_numclip-1", unique in the course.
        points: one for each dot of the difficulty.
        minutes: time box.
        text: Markdown of the exercise, with its hint.
        cell_id: id of the cell that students edit.
        stub: code of that cell before its check.
        check: the call of the check, such as ``check.blend(my_blend)``.
        solution: code that assigns the right answer to the names of the stub.
    """

    id: str
    points: int
    minutes: int
    text: str
    cell_id: str
    stub: str
    check: str
    solution: str


@dataclass(frozen=True)
class Assignment:
    """The exercises of a notebook.

    Attributes:
        name: of the notebook, such as "02_numclip".
        title: its first line, without "#".
        preamble: code cells that answers need: parameters and imports.
        exercises: in their order.
    """

    name: str
    title: str
    preamble: tuple[str, ...]
    exercises: tuple[Exercise, ...]

    @property
    def points(self) -> int:
        """Largest possible number of points."""
        return sum(exercise.points for exercise in self.exercises)


def load_assignments(sources: Path) -> list[Assignment]:
    """Assignments of all notebooks in a folder of py:percent sources.

    Raises:
        FileNotFoundError: there are no sources.
        ValueError: an exercise does not have the form of the course; the message says what is
            missing.
    """
    paths = sorted(sources.glob("*.py"))
    if not paths:
        raise FileNotFoundError(f"{sources}: no notebook sources (.py): pass --notebooks FOLDER")
    return [make_assignment(build(path), path.stem) for path in paths]


def make_assignment(source: NotebookNode, name: str) -> Assignment:
    """Assignment of a notebook with all cells of its source."""
    cells, exercises = source.cells, []
    for number, cell in enumerate(cells):
        if cell.cell_type == "markdown" and EXERCISE.search(cell.source):
            exercises.append(_exercise(name, cell.source, cells[number + 1 : number + 3]))
    preamble = [
        cell.source
        for number, cell in enumerate(cells)
        if cell.cell_type == "code" and (number == 2 or has_tag(cell, SHARED))
    ]
    title = cells[0].source.partition("\n")[0].removeprefix("# ")
    return Assignment(name, title, (IMPORT_SETUP, *preamble), tuple(exercises))


def _exercise(name: str, text: str, cells: list[NotebookNode]) -> Exercise:
    text = text[EXERCISE.search(text).start() :].strip()
    match = TITLE.search(text)
    if match is None:
        line = text.partition("\n")[0]
        raise ValueError(f"{name}: {line!r}: write '### Exercise 1 · Title ●● 10 minutes'")
    number, dots, minutes = match.groups()
    where = f"{name}, exercise {number}"
    if len(cells) < 2 or not has_tag(cells[1], SOLUTION):
        raise ValueError(f"{where}: after its text it needs a code cell, then its solution")
    stub, check = _split_check(cells[0].source, where)
    solved, solution_check = _split_check(cells[1].source, f"{where}, solution")
    answers = zip(_arguments(check), _arguments(solution_check), strict=True)
    renamed = [f"{name} = {value}" for name, value in answers if name != value]
    return Exercise(
        id=f"{name}-{number}", points=len(dots), minutes=int(minutes), text=text,
        cell_id=cells[0].id, stub=stub, check=check, solution="\n".join([solved, *renamed]),
    )  # fmt: skip


def _split_check(code: str, where: str) -> tuple[str, str]:
    """Code before the last statement, and that statement, which calls a check."""
    tree = ast.parse(code)
    last = tree.body[-1]
    call = ast.unparse(last)
    if not call.startswith("check."):
        raise ValueError(f"{where}: its last line must call a check, not {call!r}")
    return "\n".join(code.splitlines()[: last.lineno - 1]).strip(), call


def _arguments(call: str) -> list[str]:
    return [ast.unparse(argument) for argument in ast.parse(call, mode="eval").body.args]

"""What students hand in: which notebook it is, and the answer to each exercise."""

import ast
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from .assignments import Assignment, Exercise

MAX_BYTES = 20_000_000
# Errors of parsing and unparsing code that is too deep, has surrogates or very long numbers.
NOT_PARSED = (ValueError, RecursionError, MemoryError)
MAGIC = re.compile(r"^\s*[%!]")


@dataclass(frozen=True)
class Submission:
    """A notebook that was handed in.

    Attributes:
        student: folder below the submissions, or the file name without extension.
        path: of the notebook.
        assignment: what it answers; None if it cannot be read or is another notebook.
        answers: code by id of the exercise; None where no answer was found.
        problem: why there is no assignment, in words; else empty.
    """

    student: str
    path: Path
    assignment: Assignment | None
    answers: dict[str, str | None]
    problem: str = ""


def read_submissions(folder: Path, assignments: Sequence[Assignment]) -> list[Submission]:
    """Read all notebooks below a folder, ``STUDENT/NAME.ipynb`` or ``STUDENT.ipynb``.

    Raises:
        FileNotFoundError: the folder does not exist, or has no notebooks.
    """
    paths = sorted(p for p in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
    if not paths:
        raise FileNotFoundError(f"{folder}: no such folder, or no notebooks (.ipynb) in it")
    return [read_submission(path, _student(path, folder), assignments) for path in paths]


def read_submission(path: Path, student: str, assignments: Sequence[Assignment]) -> Submission:
    """Read a notebook; never raises for what a student may have done to it."""
    if not path.is_file():
        return Submission(student, path, None, {}, "it is no regular file, or a broken link")
    size = path.stat().st_size
    if size > MAX_BYTES:
        problem = f"the file has {size / 1e6:.0f} MB, at most {MAX_BYTES / 1e6:.0f}: clear outputs"
        return Submission(student, path, None, {}, problem)
    try:
        cells = nbformat.read(path, as_version=4).cells
        code = [(_cell_id(cell), str(cell.source)) for cell in cells if _is_code(cell)]
    except Exception as error:  # of any kind: the file may hold anything
        problem = f"the file is no notebook or damaged ({type(error).__name__})"
        return Submission(student, path, None, {}, problem)
    found = {a.name: _answers(a, code) for a in assignments}
    best = max(assignments, key=lambda a: sum(x is not None for x in found[a.name].values()))
    if not any(x is not None for x in found[best.name].values()):
        return Submission(student, path, None, {}, "it is another notebook: no exercise is in it")
    return Submission(student, path, best, found[best.name])


def _student(path: Path, folder: Path) -> str:
    parts = path.relative_to(folder).parts
    # macOS takes letters with accents apart.
    return unicodedata.normalize("NFC", parts[0] if len(parts) > 1 else path.stem)


def _is_code(cell: NotebookNode) -> bool:
    is_points_cell = cell.metadata.get("nbgrader", {}).get("grade", False)
    return cell.cell_type == "code" and not is_points_cell


def _cell_id(cell: NotebookNode) -> str:
    """The id that nbgrader gave the cell, else its own."""
    return cell.metadata.get("nbgrader", {}).get("grade_id") or cell.get("id", "")


def _answers(assignment: Assignment, code: list[tuple[str, str]]) -> dict[str, str | None]:
    return {e.id: _answer(e, code) for e in assignment.exercises}


def _answer(exercise: Exercise, code: list[tuple[str, str]]) -> str | None:
    """Code of the cell with the exercise's id, else of the last one that calls its check."""
    function = exercise.check.partition("(")[0]
    ids = (exercise.cell_id, f"{exercise.id}-answer")
    by_id = [source for cell_id, source in code if cell_id in ids]
    by_check = [source for _, source in code if f"{function}(" in source]
    found = by_id or by_check
    return without_checks(found[-1]) if found else None


def without_checks(code: str) -> str:
    """The code without magics, and without calls of checks at its top level."""
    # Not `splitlines`, which also splits texts in the code, at separators of Unicode.
    lines = ["" if MAGIC.match(line) else line for line in re.split(r"\r\n|\r|\n", code)]
    try:
        tree = ast.parse("\n".join(lines))
        checks = [n for n in tree.body if isinstance(n, ast.Expr) and _is_check(n)]
    except (SyntaxError, *NOT_PARSED):
        return "\n".join(lines)  # which is then reported
    for node in reversed(checks):
        start, end = node.lineno - 1, node.end_lineno - 1
        before = lines[start].encode()[: node.col_offset].decode()
        after = lines[end].encode()[node.end_col_offset :].decode()
        if before or after.strip():  # other code in the line
            before, after = f"{before}(", f"){after}"
        lines[start : end + 1] = f"{before}{chr(10) * (end - start)}{after}".split("\n")
    return "\n".join(lines)


def _is_check(node: ast.Expr) -> bool:
    return ast.unparse(node).startswith("check.")

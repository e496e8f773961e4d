"""Similar answers: the same program but for names, comments, layout and docstrings."""

import ast
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from .submissions import NOT_PARSED

MIN_LINES = 6  # shorter answers resemble each other by chance


class Similar(NamedTuple):
    """Students whose answers to an exercise are the same but for names and layout."""

    exercise: str
    students: tuple[str, ...]


def similar_answers(answers: Mapping[str, Mapping[str, str | None]]) -> list[Similar]:
    """Find answers of several students that are the same program, longer than five lines.

    Args:
        answers: by student, code by id of the exercise.

    Example:
        >>> a = "def f(x):\\n  y = x + 1\\n  y = y * 2\\n  if y > 3:\\n    y = 3\\n  return y"
        >>> b = a.replace("y", "result")
        >>> similar_answers({"Ada": {"02-1": a}, "Bo": {"02-1": b}, "Cy": {"02-1": a[:29]}})
        [Similar(exercise='02-1', students=('Ada', 'Bo'))]
    """
    groups = defaultdict(list)
    for student, code_by_exercise in answers.items():
        for exercise, code in code_by_exercise.items():
            if (program := normalize(code or "")) is not None:
                groups[exercise, program].append(student)
    found = [Similar(e, tuple(sorted(names))) for (e, _), names in groups.items() if len(names) > 1]
    return sorted(found)


def normalize(code: str) -> str | None:
    """The syntax tree with numbered names and without docstrings; None if short or no Python."""
    try:
        return _normalize(ast.parse(code))
    except (SyntaxError, *NOT_PARSED):
        return None


def _normalize(tree: ast.Module) -> str | None:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.Module) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    tree = ast.fix_missing_locations(tree)
    if len(ast.unparse(tree).splitlines()) < MIN_LINES:
        return None
    return ast.dump(_NumberedNames().visit(tree))


class _NumberedNames(ast.NodeTransformer):
    """Names become n0, n1, ... in order of their appearance."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def _number(self, name: str) -> str:
        return f"n{self.numbers.setdefault(name, len(self.numbers))}"

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self._number(node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.arg = self._number(node.arg)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.name = self._number(node.name)
        self.generic_visit(node)
        return node

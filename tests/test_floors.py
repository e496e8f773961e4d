"""Imports go down only, and the ground needs no torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ordlib"
# Lower rows know nothing of higher ones, and the modules of a row nothing of each other.
FLOORS = [
    {"storage", "prediction", "hardware", "gathering", "command"}, {"serialization", "unfinished"},
    {"metrics"}, {"world"}, {"tasks"}, {"data"},
    {"clip", "losses"}, {"features", "prompts", "rankformer", "attention"},
    {"models", "evidence"},
    {"evaluation", "audit", "pretraining", "components"},
    {"training", "ranking"},
    {"plots", "gallery"}, {"widgets", "notebook", "checks"},
    {"course", "doctor"}, {"cli"},
]  # fmt: skip
FLOOR = {name: height for height, names in enumerate(FLOORS) for name in names}
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def imported(source: str, module: Path) -> set[str]:
    """Names of the ordlib modules one level below the package that a source text imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module]
        elif isinstance(node, ast.ImportFrom):
            package = ("ordlib", *module.parent.parts)[: len(module.parts) + 1 - node.level]
            stem = ".".join([*package, *([node.module] if node.module else [])])
            names = [f"{stem}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("ordlib.")}
    return found - {"__version__"}


def home(module: Path) -> str:
    return module.parts[0].removesuffix(".py")


def offences(source: str, module: Path) -> list[str]:
    own = FLOOR[home(module)]
    others = imported(source, module) - {home(module)}
    return sorted(name for name in others if name in FLOOR and FLOOR[name] >= own)


@pytest.mark.parametrize("module", [m for m in MODULES if m.parts[0] != "__init__.py"], ids=str)
def test_imports_go_down(module):
    assert home(module) in FLOOR, f"say on which floor {module} stands"
    assert offences((PACKAGE / module).read_text(), module) == []


def test_the_rule_can_fail():
    assert offences("from .clip import load_clip", Path("metrics.py")) == ["clip"]
    assert offences("from ..course import running", Path("models/probe.py")) == ["course"]
    assert offences("import ordlib.evaluation", Path("data/folder.py")) == ["evaluation"]
    assert offences("from ..tasks import OrdinalTask", Path("data/folder.py")) == []


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_modules_are_short(module):
    assert (PACKAGE / module).read_text().count("\n") <= 350


@pytest.mark.parametrize("name", ["ordlib", "ordlib.tasks", "ordlib.metrics", "ordlib.data"])
def test_the_ground_needs_no_torch(name):
    code = f"import sys, {name}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

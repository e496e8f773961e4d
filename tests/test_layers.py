"""Four layers, each of which imports only itself and those before it; the core stands alone."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ordlib"
CORE = {
    "tasks",
    "data",
    "clip",
    "losses",
    "methods",
    "metrics",
    "training",
    "ranking",
    "components",
}
LAYERS = [CORE | {"utils"}, {"synthetic"}, {"experiments"}, {"course"}]
LAYER = {name: height for height, names in enumerate(LAYERS) for name in names}
# These find what is asked for when it is asked for.
LAZY = {"__init__", "__main__", "cli"}
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def imported(source: str, module: Path) -> set[str]:
    """Names of the parts of ordlib that a source text imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = ("ordlib", *module.parent.parts)[: len(module.parts) + 1 - node.level]
            home = [*(package if node.level else ()), *([node.module] if node.module else ())]
            names = [".".join([*home, alias.name]) for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("ordlib.")}
    return found


def offences(source: str, module: Path) -> list[str]:
    own = LAYER[module.parts[0]]
    return sorted(n for n in imported(source, module) if n in LAZY or LAYER.get(n, 0) > own)


def test_layers_import_only_themselves_and_those_before():
    found = {}
    for module in MODULES:
        if module.parts[0].removesuffix(".py") not in LAZY and len(module.parts) > 1:
            found[str(module)] = offences((PACKAGE / module).read_text(), module)
    assert {module: names for module, names in found.items() if names} == {}


def test_the_rule_can_fail():
    assert offences("from ...synthetic import render", Path("data/x/y.py")) == ["synthetic"]
    assert offences("from ordlib.course import plots", Path("experiments/y.py")) == ["course"]
    assert offences("from ..tasks import load_task", Path("synthetic/y.py")) == []


def test_the_package_has_sixteen_entries_at_most():
    assert len([path for path in PACKAGE.iterdir() if path.name != "__pycache__"]) <= 16


def test_modules_are_short():
    long = [m for m in MODULES if (PACKAGE / m).read_text().count("\n") > 350]
    assert long == []


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import ordlib, ordlib.tasks, ordlib.metrics, ordlib.data", ["torch"]),
        (
            "from ordlib import NumCLIP, OrdinalTask as T; T(name='t', unit='u', values=(1, 2))",
            ["ordlib.synthetic", "ordlib.experiments", "ordlib.course"],
        ),
    ],
)
def test_what_is_not_asked_for_is_not_imported(code, absent):
    code += f"; import sys; sys.exit(', '.join(set({absent!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""

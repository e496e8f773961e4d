"""Four layers; a module imports only from its own layer and from lower ones."""

import ast
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "ordlib"
CORE = [
    *("tasks", "data", "clip", "losses", "methods"),
    *("metrics", "training", "inference", "components", "utils"),
]
LAYERS = [CORE, ["synthetic"], ["experiments"], ["course"]]
LAYER = {name: level for level, names in enumerate(LAYERS) for name in names}
# Modules with lazy imports.
LAZY = {"__init__", "__main__", "cli"}
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def imported(source: str, module: Path) -> set[str]:
    """Subpackages of ordlib that a module imports."""
    packages = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = ("ordlib", *module.parent.parts)[: len(module.parts) + 1 - node.level]
            parts = [*(package if node.level else ()), *([node.module] if node.module else ())]
            names = [".".join([*parts, alias.name]) for alias in node.names]
        else:
            continue
        packages |= {name.split(".")[1] for name in names if name.startswith("ordlib.")}
    return packages


def violations(source: str, module: Path) -> list[str]:
    level = LAYER[module.parts[0]]
    return sorted(n for n in imported(source, module) if n in LAZY or LAYER.get(n, 0) > level)


def test_layers_import_only_lower_layers():
    modules = [module for module in MODULES if len(module.parts) > 1]
    found = {str(module): violations((PACKAGE / module).read_text(), module) for module in modules}
    assert {module: names for module, names in found.items() if names} == {}


def test_violations_detects_upward_imports():
    assert violations("from ...synthetic import render", Path("data/x/y.py")) == ["synthetic"]
    assert violations("from ordlib.course import plots", Path("experiments/y.py")) == ["course"]
    assert violations("from ..tasks import load_task", Path("synthetic/y.py")) == []


def test_package_has_at_most_sixteen_entries():
    assert len([path for path in PACKAGE.iterdir() if path.name != "__pycache__"]) <= 16


def test_modules_have_at_most_350_lines():
    long = [m for m in MODULES if (PACKAGE / m).read_text().count("\n") > 350]
    assert long == []


def test_imports_are_lazy():
    steps = [
        ("import ordlib, ordlib.tasks, ordlib.metrics, ordlib.data", ["torch"]),
        (
            "from ordlib import NumCLIP, OrdinalTask as T; T(name='t', unit='u', values=(1, 2))",
            ["ordlib.synthetic", "ordlib.experiments", "ordlib.course"],
        ),
    ]
    found = "if found := set({!r}) & set(sys.modules): sys.exit(', '.join(found))"
    code = "\n".join(["import sys"] + [f"{do}\n{found.format(absent)}" for do, absent in steps])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""

"""What `make test`, `make test-all`, `make test-cpus` and `make test-colab` run, and for how long.

    python tests/parts.py test | slow | cpus | another-cpu | colab

Two processes at a time, of one thread each: on two cores more would wait for each other. All parts
are run, whatever becomes of the others; the exit code is 1 if one fails.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(map(str, ROOT.glob("notebooks/*.ipynb")))
# By file: what a module makes once is then made once, not once in each process.
# The plugin for notebooks takes seconds to load, in every process.
PYTEST = ("-m", "pytest", "-p", "no:nbval", "-n", "2", "--dist", "loadfile")
NBVAL = ("-m", "pytest", "-o", "addopts=-q --durations=10", "-n", "2", "--dist", "loadscope",
         "--nbval-lax", "--nbval-cell-timeout=300", *NOTEBOOKS)  # fmt: skip
LINT = (("-m", "ruff", "check", "."), ("-m", "ruff", "format", "--check", "--quiet", "."))
UNIT = (*PYTEST, "-m", "not slow")
PIP = ("-m", "pytest", "-m", "slow", "-rP", "tests/test_colab.py")
WIDGETS = ("-m", "pytest", "-n", "2", "tests/course/widgets")
LABS = ("-m", "pytest", "-n", "2", "-m", "slow", "tests/course/test_labs.py")
NUMERICAL = ("losses", "metrics", "methods", "training", "experiments", "course/checks")

# CPUs that this one can pretend to be, for torch (its own kernels, oneDNN and MKL) and for numpy:
# without AVX, with AVX2 alone, and this very one with two threads.
CPUS = {
    "no AVX": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "NPY_DISABLE_CPU_FEATURES": "all",
    },
    "AVX2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    },
    "two threads": {"OMP_NUM_THREADS": "2"},
}


def parts(of: str) -> list[tuple[str, tuple[tuple[str, ...], ...], dict[str, str]]]:
    """Return name, commands and environment of each part."""
    if of == "test":
        return [
            ("lint", LINT, {}),
            ("unit tests and doctests", (UNIT,), {}),
            ("notebooks against their outputs", (NBVAL,), {}),
        ]
    if of == "slow":
        return [("slow tests", ((*PYTEST, "-m", "slow", "-rs"),), {})]
    if of == "another-cpu":
        # No machine of today is without AVX.
        return [
            (
                "numerical tests, no AVX",
                ((*UNIT, *(f"tests/{name}" for name in NUMERICAL)),),
                _pretending("no AVX"),
            )
        ]
    if of == "cpus":
        return [
            (f"{what}, {cpu}", (command,), _pretending(cpu))
            for cpu in CPUS
            for what, command in (("unit tests", UNIT), ("notebooks", NBVAL))
        ]
    if of == "colab":
        return _colab()
    raise SystemExit(f"{of}: must be test, slow, cpus, another-cpu or colab")


def _colab() -> list[tuple[str, tuple[tuple[str, ...], ...], dict[str, str]]]:
    """Return the parts for a Python that has Colab's Jupyter."""
    from helpers.colab import find_python

    pip = [("pip among Colab's packages", PIP)]
    if not find_python():
        print("== No Python 3.12 or newer, on the path or as COLAB_PYTHON=...: pip is not checked.")
        pip = []
    commands = [
        ("Colab's versions in a kernel", ("tests/helpers/colab.py", "kernel")),
        *pip,
        ("widgets", WIDGETS),
        ("notebooks against their outputs", NBVAL),
        ("labs, each alone in a folder", LABS),
    ]
    # Of packages with two versions there, pytest would load the plugins of both.
    plugins = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "nbval.plugin,xdist.plugin"}
    return [(name, (command,), plugins) for name, command in commands]


def _pretending(cpu: str) -> dict[str, str]:
    """Return the environment of a CPU; what it computes is kept apart from what others do."""
    import numpy as np

    name = cpu.lower().replace(" ", "-")
    settings = CPUS[cpu] | {"ORDLIB_CACHE": str(ROOT / "build" / "cpus" / name)}
    if settings.get("NPY_DISABLE_CPU_FEATURES") == "all":
        found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
        settings["NPY_DISABLE_CPU_FEATURES"] = " ".join(found)
    return settings


def main(of: str) -> int:
    """Run all parts, say what each took, and return the exit code."""
    lines, failed, began = [], False, time.monotonic()
    for name, commands, settings in parts(of):
        environment = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **os.environ, **settings}
        print(f"== {name}", flush=True)
        start, codes = time.monotonic(), []
        for command in commands:
            run = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, check=False)
            codes.append(run.returncode)
        failed = failed or any(codes)
        verdict = "FAILED" if any(codes) else "passed"
        lines.append(f"{name}: {verdict}, {time.monotonic() - start:.0f} s")
        print(f"== {lines[-1]}", flush=True)
    print(*("", *lines, f"in all {time.monotonic() - began:.0f} s"), sep="\n", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

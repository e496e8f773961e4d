"""The process that runs a student's answers and checks them; started by :mod:`.run_answers`.

Reads a job from standard input: ``preamble``, code that all answers need, ``answers`` with ``id``,
``code`` and ``check``, and ``limits``. For each answer it writes a JSON line with ``id``,
``points`` (0 or 1) and ``reason``, in words. What the code prints is discarded.
"""

import contextlib
import importlib
import json
import os
import sys
from collections.abc import Iterator
from types import FunctionType, ModuleType

CHECKS = "ordlib.course.checks"
# Modules whose own names an answer must not replace: the checks rely on them.
PROTECTED = ("builtins", "math", "random", "numpy", "torch", "pandas", "scipy", "sklearn")
PREAMBLE = "preamble"
ALONE = " (a cell is graded alone, with the imports: define in it what it uses)"
MAX_REASON = 1_000  # characters


def main() -> None:
    """Run the job that standard input describes."""
    job = json.load(sys.stdin)
    results = os.fdopen(os.dup(1), "w", buffering=1)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    token = job.pop("token")
    for result in run_answers(**job):
        print(json.dumps(result | {"token": token}), file=results, flush=True)
    # Without waiting for threads that an answer may have started.
    os._exit(0)


def limit_resources(seconds: int, memory_bytes: int, file_bytes: int) -> None:
    """Limit CPU time, memory and the size of written files, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limits = {"RLIMIT_CPU": seconds, "RLIMIT_AS": memory_bytes, "RLIMIT_FSIZE": file_bytes}
    for name, value in limits.items():
        with contextlib.suppress(ValueError, OSError):  # macOS knows no RLIMIT_AS
            resource.setrlimit(getattr(resource, name), (value, value))


def run_answers(preamble: list[str], answers: list[dict], limits: dict) -> Iterator[dict]:
    """Run each answer and its check, in one namespace; yield a result for each."""
    space = {"__name__": "__main__"}
    try:
        for code in preamble:
            exec(compile(code, "<preamble>", "exec"), space)
    except Exception as error:
        yield {"id": PREAMBLE} | _wrong(f"the imports raised {type(error).__name__}: {error}")
        return
    yield {"id": PREAMBLE, "points": 0, "reason": ""}
    limit_resources(**limits)
    before = _snapshot()
    for answer in answers:
        yield {"id": answer["id"], **_grade(answer, space, before)}


def _grade(answer: dict, space: dict, before: dict) -> dict:
    try:
        exec(compile(answer["code"], "<answer>", "exec"), space)
    except SyntaxError as error:
        return _wrong(f"syntax error in line {error.lineno}: {error.msg}")
    except NameError as error:
        return _wrong(f"{error}{ALONE}")
    except BaseException as error:  # SystemExit and KeyboardInterrupt, too
        return _wrong(f"the cell raised {_describe(error)}")
    if changed := _first_change(before):
        return _wrong(f"the answer changes {changed}; answers are checked with what is installed")
    space["check"] = fresh_checks(answer["module"])
    try:
        result = eval(answer["check"], space)
    except NameError as error:
        return _wrong(f"{error}{ALONE}")
    except BaseException as error:
        return _wrong(f"the check raised {_describe(error)}")
    if changed := _first_change(before):
        return _wrong(f"the answer changes {changed}; answers are checked with what is installed")
    passed = getattr(result, "state", "") == "passed"
    hint = ALONE if "NameError" in result.message else ""
    reason = f"{result.state}: {result.message}{hint}"
    return {"points": int(passed), "reason": reason[:MAX_REASON]}


def _describe(error: BaseException) -> str:
    """As that of the checks, which an answer may have replaced."""
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:
        return type(error).__name__


def _wrong(reason: str) -> dict:
    return {"points": 0, "reason": reason[:MAX_REASON]}


def fresh_checks(name: str) -> ModuleType:
    """Return a check module, loaded anew: an answer may have replaced parts of the loaded one."""
    for module in [m for m in sys.modules if m == CHECKS or m.startswith(f"{CHECKS}.")]:
        del sys.modules[module]
    return importlib.import_module(f"{CHECKS}.{name}")


def _snapshot() -> dict[tuple[str, str], tuple[object, object]]:
    """Every name of the protected modules and of ordlib, and the code behind it."""
    found = {}
    for name, module in list(sys.modules.items()):
        is_ours = name.startswith("ordlib.") and not name.startswith(CHECKS)
        if is_ours or name in PROTECTED:
            for key, value in list(vars(module).items()):
                if not isinstance(value, ModuleType) and not key.startswith("__"):
                    found[name, key] = (value, _code(value))
    return found


def _code(value: object) -> object:
    if isinstance(value, FunctionType):
        return value.__code__
    if isinstance(value, type) and value.__module__.startswith("ordlib."):
        return tuple((k, _code(v)) for k, v in vars(value).items() if isinstance(v, FunctionType))
    return None


def _first_change(before: dict[tuple[str, str], tuple[object, object]]) -> str | None:
    """Name of the first thing that was replaced, or None."""
    for (name, key), (value, code) in before.items():
        module = sys.modules.get(name)
        now = getattr(module, "__dict__", {}).get(key)
        if now is not value or _code(now) != code:
            return f"{name}.{key}"
    return None


if __name__ == "__main__":
    main()

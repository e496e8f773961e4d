"""Answers in a process of their own: points, reasons, and what is done about misbehaviour."""

import json

import pytest

from ordlib.course.grading.assignments import Assignment, Exercise
from ordlib.course.grading.run_answers import Limits, check_module, run_answers

PREAMBLE = ("import numpy as np", "from ordlib.course.checks import start_here as check")
RIGHT = "def off_by_one(a, b):\n    return np.mean(abs(a - b) <= 1)"
WRONG = "def off_by_one(a, b):\n    return np.mean(a == b)"
LIMITS = Limits(seconds=15)


def exercise(number, points=1):
    return Exercise(
        id=f"00-{number}", points=points, minutes=5, text="", cell_id=str(number),
        stub="", check="check.off_by_one(off_by_one)", solution=RIGHT,
    )  # fmt: skip


def grade(*codes, limits=LIMITS, preamble=PREAMBLE):
    exercises = tuple(exercise(number, number) for number in range(1, len(codes) + 1))
    assignment = Assignment("00", "", preamble, exercises)
    return run_answers(assignment, dict(zip([e.id for e in exercises], codes, strict=True)), limits)


def test_right_and_wrong_answers_get_points_and_reasons():
    right, wrong, missing = grade(RIGHT, WRONG, None)
    assert (right.points, right.max_points) == (1, 1)
    assert right.reason.startswith("passed: ")
    assert (wrong.points, wrong.max_points) == (0, 2)
    assert "that is plain accuracy" in wrong.reason
    assert (missing.points, missing.reason) == (0, "no cell with an answer was found")


def test_errors_are_reasons_and_the_next_answer_is_graded():
    codes = ("def off_by_one(:", "1 / 0", "exit()", "raise KeyboardInterrupt", RIGHT)
    *failed, last = grade(*codes)
    assert [each.points for each in failed] == [0] * 4
    parts = ("syntax error in line 1", "ZeroDivisionError", "SystemExit", "KeyboardInterrupt")
    for each, part in zip(failed, parts, strict=True):
        assert part in each.reason
    assert last.points == 5


@pytest.mark.slow
def test_an_endless_loop_ends_and_the_next_answer_is_graded():
    loop, right = grade("while True: pass", RIGHT, limits=Limits(seconds=6))
    assert (loop.points, right.points) == (0, 2)
    assert "took more than 6 s" in loop.reason


@pytest.mark.slow
def test_a_crash_ends_that_answer_only():
    crash, right = grade("import os; os.kill(os.getpid(), 11)", RIGHT)
    assert (crash.points, right.points) == (0, 2)
    assert "ended by signal 11" in crash.reason


@pytest.mark.slow
def test_printing_a_gigabyte_or_passed_changes_nothing():
    flood = "line = '✓ passed: ' * 1_000_000\nfor _ in range(100): print(line)\n" + WRONG
    (grade_of,) = grade(flood)
    assert grade_of.points == 0
    assert "plain accuracy" in grade_of.reason


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cheat", "named"),
    [
        ("np.mean = lambda x: 11 / 12", "numpy.mean"),
        ("import builtins; builtins.abs = lambda x: 0 * x", "builtins.abs"),
        ("import ordlib.metrics as m; m.mae = None", "ordlib.metrics.mae"),
        ("import ordlib.tasks.ordinal_task as t\n"
         "t.OrdinalTask.rank_index = lambda *a: 0", "ordlib.tasks.ordinal_task.OrdinalTask"),
    ],
)  # fmt: skip
def test_a_changed_library_is_named(cheat, named):
    preamble = (*PREAMBLE, "import ordlib.metrics, ordlib.tasks")
    (answer,) = grade(f"{cheat}\n{RIGHT}", preamble=preamble)
    assert answer.points == 0
    assert f"the answer changes {named}" in answer.reason


@pytest.mark.slow
@pytest.mark.parametrize(
    "cheat",
    [
        "from ordlib.course.checks.result import CheckResult\n"
        "check.off_by_one = lambda f: CheckResult('passed', 'yes')",
        "import ordlib.course.checks.start_here as c\nc._OFF_BY_ONE.clear()\nc.ERRORS[:] = 0",
        "import ordlib.course.checks.result as r\nr.exercise_check = lambda f: f",
        "class check:\n    off_by_one = staticmethod(lambda f: 'passed')",
    ],
)
def test_changed_checks_are_loaded_anew(cheat):
    (answer,) = grade(f"{cheat}\n{WRONG}")
    assert answer.points == 0
    assert "plain accuracy" in answer.reason


@pytest.mark.slow
def test_files_and_memory_are_limited():
    limits = Limits(seconds=15, memory_bytes=3_000_000_000, file_bytes=1_000_000)
    memory, file, right = grade(
        "x = np.ones(10**10)", "open('big', 'wb').write(b'0' * 10**7)", RIGHT, limits=limits
    )
    assert memory.points == file.points == 0
    assert "MemoryError" in memory.reason
    assert right.points == 3


def test_a_preamble_that_fails_is_the_reason():
    assignment = Assignment("00", "", ("import nothing_of_the_kind", *PREAMBLE), (exercise(1),))
    (answer,) = run_answers(assignment, {"00-1": RIGHT}, LIMITS)
    assert answer.points == 0
    assert "the imports raised ModuleNotFoundError" in answer.reason


def test_names_of_other_cells_are_explained():
    cell, check = grade("x = helper", "def off_by_one(a, b):\n    return helper(a)")
    assert all("a cell is graded alone" in each.reason for each in (cell, check))


@pytest.mark.slow
def test_results_written_past_the_worker_are_not_read():
    line = json.dumps({"id": "00-1", "points": 100, "reason": "passed"})
    cheat = (
        "import os\nfor n in range(3, 60):\n    try:\n"
        f"        os.write(n, {line!r}.encode() + b'\\n')\n    except OSError:\n        pass\n"
        "os._exit(0)"
    )
    forged, right = grade(cheat, RIGHT)
    assert (forged.points, right.points) == (0, 2)


def test_check_module_is_read_from_the_preamble():
    assert check_module(PREAMBLE) == "start_here"
    with pytest.raises(ValueError, match="imports no checks"):
        check_module(["import json"])


@pytest.mark.slow
def test_forged_results_are_not_read():
    """What an answer prints does not reach the results."""
    forged = json.dumps({"id": "00-1", "points": 1, "reason": "passed"})
    (answer,) = grade(f"print({forged!r}, flush=True)\n{WRONG}")
    assert answer.points == 0

"""Run a student's answers in a process of their own, with limits on time, memory and network."""

import functools
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ...utils.cache import cache_dir
from .assignments import Assignment
from .worker import PREAMBLE

WORKER = "ordlib.course.grading.worker"


@dataclass(frozen=True)
class Limits:
    """Limits of one submission; the wall clock begins when the libraries are loaded."""

    seconds: int = 20
    memory_bytes: int = 8_000_000_000
    file_bytes: int = 10_000_000


LIMITS = Limits()


class Grade(NamedTuple):
    """Points for one exercise, and why."""

    exercise: str
    points: int
    max_points: int
    reason: str


PREPARE_SECONDS = 600
LOAD_SECONDS = 60  # for the libraries, on a busy machine
MIN_SECONDS = 5  # for the answers after one that took all of the time


def prepare(assignment: Assignment) -> None:
    """Run what all answers need once, without limits: it may have to render images.

    Raises:
        ChildProcessError: it fails.
    """
    done, _, ending = _run_process(assignment, [], {}, LIMITS, PREPARE_SECONDS)
    problem = done[0]["reason"] if done else ending
    if problem:
        raise ChildProcessError(f"{assignment.name}: {problem}")


def run_answers(
    assignment: Assignment, answers: dict[str, str | None], limits: Limits = LIMITS
) -> list[Grade]:
    """Grade the answers to an assignment.

    Answers that take too long or end the process get no points; the following ones are run in
    another process, in what is left of the time.

    Args:
        assignment: the exercises, with their checks.
        answers: code by id of the exercise; None for one that was not found.
        limits: of all answers together.
    """
    grades, left = {}, float(limits.seconds)
    waiting = [e for e in assignment.exercises if answers.get(e.id) is not None]
    while waiting:
        done, seconds, ending = _run_process(assignment, waiting, answers, limits, left)
        left -= seconds
        results = [result for result in done if result["id"] != PREAMBLE]
        ids = [exercise.id for exercise in waiting]
        if [result["id"] for result in results] != ids[: len(results)]:
            results, ending = [], "the answer has tampered with its results"
        for exercise, result in zip(waiting, results, strict=False):
            points = exercise.points * result["points"]
            grades[exercise.id] = (points, result["reason"])
        waiting = waiting[len(results) :]
        failed = next(
            (r["reason"] for r in done if r["id"] == PREAMBLE), f"not graded: {ending}; try again"
        )
        if failed:
            grades |= {exercise.id: (0, failed) for exercise in waiting}
            break
        if waiting:
            grades[waiting[0].id] = (0, ending)
            waiting = waiting[1:]
    missing = (0, "no cell with an answer was found")
    return [
        Grade(e.id, grades.get(e.id, missing)[0], e.points, grades.get(e.id, missing)[1])
        for e in assignment.exercises
    ]


def _run_process(
    assignment: Assignment, exercises: Sequence, answers: dict, limits: Limits, seconds: float
) -> tuple[list[dict], float, str]:
    """Results of one process, the seconds it took, and how it ended."""
    seconds, token = max(seconds, MIN_SECONDS), secrets.token_hex()
    job = {
        "token": token,
        "preamble": list(assignment.preamble),
        "answers": [
            {"id": e.id, "code": answers[e.id], "check": e.check,
             "module": check_module(assignment.preamble)}
            for e in exercises
        ],
        # Processor time includes loading; the wall clock is to end an answer first.
        "limits": {"seconds": int(seconds) + LOAD_SECONDS, "memory_bytes": limits.memory_bytes,
                   "file_bytes": limits.file_bytes},
    }  # fmt: skip
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [*without_network(), sys.executable, "-m", WORKER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            cwd=folder, env=_environment(folder), start_new_session=True,
        )  # fmt: skip
        reader = threading.Thread(target=_read_lines, args=(process.stdout, lines), daemon=True)
        reader.start()
        try:
            process.stdin.write(json.dumps(job))
            process.stdin.close()
            loaded = _wait_for_line(process, lines, max(LOAD_SECONDS, seconds))
            start = time.monotonic()
            process.wait(seconds if loaded else 0)
            ending = f"the process ended with exit code {process.returncode}"
            if process.returncode < 0:
                ending = f"the process was ended by signal {-process.returncode}: out of memory?"
        except subprocess.TimeoutExpired:
            ending = f"the answer took more than {seconds:.0f} s"
            if not loaded:
                ending = "the libraries took too long to load"
        except BrokenPipeError:
            start, ending = time.monotonic(), "the process could not be started"
        finally:
            _kill(process)
            reader.join(5)
    results = []
    for line in lines:
        try:
            result = json.loads(line)
        except ValueError:
            break
        # Lines without the token were written by an answer.
        is_ours = isinstance(result, dict) and result.get("token") == token
        if is_ours and result["points"] in (0, 1):
            results.append(result)
    return results, time.monotonic() - start, ending


def check_module(preamble: Iterable[str]) -> str:
    """Name of the check module that a preamble imports as ``check``."""
    for code in preamble:
        for line in code.splitlines():
            if line.startswith("from ordlib.course.checks import ") and line.endswith(" as check"):
                return line.split()[3]
    raise ValueError("preamble: imports no checks (from ordlib.course.checks import ... as check)")


def _wait_for_line(process: subprocess.Popen, lines: list[str], seconds: float) -> bool:
    """Whether the first line arrives in time, or the process ends before."""
    deadline = time.monotonic() + seconds
    while not lines and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(lines) or process.poll() is not None


def _read_lines(stream, lines: list[str]) -> None:
    for line in stream:
        if len(lines) < 100 and len(line) < 10_000:
            lines.append(line)


def _kill(process: subprocess.Popen) -> None:
    """End the process and everything that it has started."""
    try:
        if os.name == "posix":
            os.killpg(process.pid, 9)
        else:
            process.kill()
    except ProcessLookupError:
        pass
    process.wait()


def _environment(folder: str) -> dict[str, str]:
    """One thread, no network for the hub, and files in a folder that is deleted."""
    return os.environ | {
        "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "MPLBACKEND": "Agg", "HOME": folder,
        "TMPDIR": folder, "PYTHONDONTWRITEBYTECODE": "1",
        "ORDLIB_CACHE": str(cache_dir().absolute()),
    }  # fmt: skip


@functools.cache
def without_network() -> tuple[str, ...]:
    """Command prefix that takes the network away, or nothing where the system has none."""
    if shutil.which("unshare") is None:
        return ()
    for prefix in (("unshare", "-n"), ("unshare", "-rn")):
        try:
            done = subprocess.run([*prefix, "true"], capture_output=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return prefix
    return ()

"""Faults of storage: other users, killed processes, limits, and calls that fail."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from unittest.mock import patch

import pytest

NOBODY = 65534


def run_forked(function: Callable[[], object]) -> str:
    """Run in a child process; return "TYPE: message" of its exception, or its result as text."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            text = str(function())
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        os.write(writer, text.encode(errors="backslashreplace"))
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as stream:
        text = stream.read().decode()
    os.waitpid(child, 0)
    return text


def run_as_nobody(function: Callable[[], object]) -> str:
    """:func:`run_forked` as a user without rights, which root cannot be; skips unless root."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("needs root, to become another user")

    def drop_rights() -> object:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        return function()

    return run_forked(drop_rights)


def kill_when(code: str, *arguments: object, ready: Callable[[], bool]) -> None:
    """Run Python code in a process and kill it with SIGKILL as soon as a condition holds."""
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)])
    deadline = time.monotonic() + 60
    while not ready() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the process ended before it could be killed"


class Failing:
    """Patch of functions such as "os.fsync" of which one call, counted from 0, raises an errno.

    ``calls`` lists what has been called.
    """

    def __init__(self, error: int, at: int, *names: str) -> None:
        self.error, self.at, self.calls = error, at, []
        self._patches = []
        for name in names:
            module, attribute = name.rsplit(".", 1)
            original = getattr(sys.modules.get(module) or __import__(module), attribute)
            self._patches.append(patch(name, self._wrap(name, original)))

    def _wrap(self, name: str, original: Callable) -> Callable:
        def call(*args: object, **options: object) -> object:
            self.calls.append(name)
            if len(self.calls) - 1 == self.at:
                raise OSError(self.error, os.strerror(self.error))
            return original(*args, **options)

        return call

    def __enter__(self) -> "Failing":
        for each in self._patches:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._patches:
            each.stop()

"""Worker processes that end with their parent."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from joblib import parallel_config
from joblib.parallel import LokyBackend

SECONDS_BETWEEN_CHECKS = 1


@contextmanager
def worker_processes() -> Iterator[None]:
    """Let joblib's workers in the block end when this process does, even if it is killed.

    By themselves, they would wait for jobs for another five minutes.
    """
    with parallel_config(backend=_Backend()):
        yield


class _Backend(LokyBackend):
    def configure(self, *args: object, **options: object) -> int:
        options |= {"initializer": _end_with, "initargs": (os.getpid(),)}
        return super().configure(*args, **options)


def _end_with(parent: int) -> None:
    """End this process when it no longer has this parent; checked in a thread."""

    def check() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS_BETWEEN_CHECKS)
        os._exit(1)

    threading.Thread(target=check, daemon=True).start()

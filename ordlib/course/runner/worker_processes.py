"""Several pieces of work at a time, each in a process of its own.

papermill changes the current folder, so threads would get in each other's way.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from multiprocessing import connection, get_context, parent_process
from typing import TypeVar

Key, Result = TypeVar("Key", bound=Hashable), TypeVar("Result")
# Processes that start anew: a copy of this one would share its sockets and threads.
CONTEXT = get_context("spawn")


def side_by_side(
    work: Mapping[Key, Callable[..., Result]],
    left: deque[Key],
    jobs: int,
    watch: Callable[..., None],
) -> Iterator[tuple[Key, Result | None]]:
    """Yield key and result of each piece of work as it ends; None if it was ended from outside.

    Args:
        work: by key, functions that can be pickled and take a ``watch`` to report to.
        left: keys of what is to be begun, in order; emptied from the left, here or by the caller.
        jobs: how many processes at a time.
        watch: called here with whatever the functions call theirs with.
    """
    busy: dict[connection.Connection, tuple[Key, CONTEXT.Process]] = {}
    try:
        while left or busy:
            while left and len(busy) < jobs:
                key = left.popleft()
                ours, theirs = CONTEXT.Pipe(duplex=False)
                process = CONTEXT.Process(target=_do, args=(work[key], theirs))
                process.start()
                theirs.close()
                busy[ours] = key, process
            for pipe in connection.wait(list(busy)):
                try:
                    news, *what = pipe.recv()
                except EOFError:
                    news, what = "end", [None]
                if news == "watch":
                    watch(*what)
                    continue
                key, process = busy.pop(pipe)
                process.join()
                yield key, what[0]
    finally:
        for _, process in busy.values():
            process.terminate()
        for _, process in busy.values():
            process.join()


def _do(function: Callable[..., Result], pipe: connection.Connection) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    result = function(watch=lambda *what: pipe.send(("watch", *what)))
    pipe.send(("end", result))


def _end_with_parent() -> None:
    """Whoever ends the run ends its processes, and they their kernels."""
    connection.wait([parent_process().sentinel])
    os._exit(1)

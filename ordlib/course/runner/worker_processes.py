"""Run functions in parallel, each in its own process.

papermill changes the working directory, so that threads would interfere with each other.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from multiprocessing import connection, get_context, parent_process
from typing import TypeVar

Key, Result = TypeVar("Key", bound=Hashable), TypeVar("Result")
# A forked process would share the sockets and threads of this one.
CONTEXT = get_context("spawn")


def run_parallel(
    functions: Mapping[Key, Callable[..., Result]],
    pending: deque[Key],
    jobs: int,
    on_cell: Callable[..., None],
) -> Iterator[tuple[Key, Result | None]]:
    """Yield key and result of each function as it ends; None if its process was killed.

    Args:
        functions: picklable functions with the argument ``on_cell``, by key.
        pending: keys of functions to start, in order; the caller may empty it to start no more.
        jobs: number of processes.
        on_cell: called in this process with the arguments of the functions' ``on_cell`` calls.
    """
    running: dict[connection.Connection, tuple[Key, CONTEXT.Process]] = {}
    try:
        while pending or running:
            while pending and len(running) < jobs:
                key = pending.popleft()
                receiver, sender = CONTEXT.Pipe(duplex=False)
                process = CONTEXT.Process(target=_work, args=(functions[key], sender))
                process.start()
                sender.close()
                running[receiver] = key, process
            for receiver in connection.wait(list(running)):
                try:
                    kind, *content = receiver.recv()
                except EOFError:
                    kind, content = "result", [None]
                if kind == "cell":
                    on_cell(*content)
                    continue
                key, process = running.pop(receiver)
                process.join()
                yield key, content[0]
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.join()


def _work(function: Callable[..., Result], sender: connection.Connection) -> None:
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    result = function(on_cell=lambda *args: sender.send(("cell", *args)))
    sender.send(("result", result))


def _exit_with_parent() -> None:
    """Exit when the parent process does, and so end the kernel, too."""
    connection.wait([parent_process().sentinel])
    os._exit(1)

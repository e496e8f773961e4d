"""A folder that several processes fill, on one host or many; the last one to finish reads it."""

import errno
import json
import os
import re
import stat
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import psutil
from typer import Exit, echo

from .cache import fcntl
from .reading import read_json

LOCK, RUN = ".ordlib-lock", ".ordlib-run.json"
# Other files in the folder, which may be anybody's, are neither read nor deleted.
CHUNK_NAME = re.compile(r"(\d{4})-of-(\d{4})-(\d{6})-([0-9a-f]{16})\.npz")
MAX_DIGITS = 9


class SharedFolder:
    """Context of a process that works in a folder; while it lasts, no other process is the last.

    The file lock in it is shared by all processes and ends with them, even if they are killed.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "chunks"
        >>> with SharedFolder(path) as one, SharedFolder(path) as other:
        ...     one.claim({"model": "a"}), one.is_last(), other.is_last()
        (None, False, True)
        >>> path.exists()
        False
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)

    def __enter__(self) -> Self:
        """Take part.

        Raises:
            OSError: the folder cannot be written, or its disk has no file locks.
        """
        while not self._join_others():
            pass  # Deleted meanwhile by the last process of an earlier run.
        return self

    def _join_others(self) -> bool:
        self.path.mkdir(parents=True, exist_ok=True)
        for name in (LOCK, RUN):
            with suppress(FileNotFoundError):  # Opening a pipe would wait.
                if not stat.S_ISREG(os.lstat(self.path / name).st_mode):
                    raise ValueError(f"{self.path / name}: not a regular file; delete it")
        try:
            # Also for reading, without which NFS refuses a shared lock.
            self._file = open(self.path / LOCK, "a+")  # noqa: SIM115
        except FileNotFoundError:
            return False
        try:
            if self._lock(alone=True) and self._is_current():
                (self.path / RUN).unlink(missing_ok=True)  # That of an interrupted run.
            self._lock(alone=False)
        except OSError as error:
            self._file.close()
            problem = "file locks are needed; give a folder on another disk"
            raise OSError(error.errno, f"{error.strerror}: {problem}", str(self.path)) from error
        if self._is_current():
            return True
        self._file.close()
        return False

    def claim(self, description: dict) -> None:
        """Record what this process computes.

        Raises:
            ValueError: a process that works in the folder computes something else.
        """
        text = json.dumps(description, sort_keys=True)
        try:
            with open(self.path / RUN, "x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            # Empty: being written.
            is_empty = (self.path / RUN).stat().st_size == 0
            others = description if is_empty else read_json(self.path / RUN)
            if changed := [name for name in description if description[name] != others.get(name)]:
                raise ValueError(
                    f"{self.path}: a process with another {' and '.join(changed)} is at work here; "
                    "let it finish, or give another folder"
                ) from None

    def is_last(self) -> bool:
        """End the work; return whether no other process is at work. That one keeps others out."""
        # First, since on NFS a shared lock is kept if it cannot become an exclusive one.
        fcntl.flock(self._file, fcntl.LOCK_UN)
        return self._lock(alone=True)

    def has_chunks(self) -> bool:
        """Whether there is a file with the name of a chunk."""
        return any(CHUNK_NAME.fullmatch(path.name) for path in self.path.iterdir())

    def delete(self) -> None:
        """Delete the files in the folder, and the folder itself; for the last process."""
        for path in self.path.iterdir():
            if CHUNK_NAME.fullmatch(path.name) or path.name == RUN:
                path.unlink()
        (self.path / LOCK).unlink()
        with suppress(OSError):  # Somebody else's files.
            self.path.rmdir()

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            # Nothing was computed: as if it had not been started.
            if self._is_current() and self._lock(alone=True) and not self.has_chunks():
                self.delete()
        self._file.close()

    def _lock(self, alone: bool) -> bool:
        """Lock exclusively, only if at once, or shared; whether that was possible."""
        if fcntl is None:
            raise OSError(errno.ENOTSUP, "not on Windows")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH)
        except BlockingIOError:
            return False
        return True

    def _is_current(self) -> bool:
        """Whether the locked file is still that in the folder."""
        try:
            return os.path.samestat(os.stat(self.path / LOCK), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            return False


@contextmanager
def share_work(
    folder: Path | None, **outputs: Path | None
) -> Iterator[tuple[SharedFolder | None, dict[str, int]]]:
    """The shared folder of a command, and ``rank`` and ``world_size`` of this process.

    Both are taken from the environment, as accelerate, torchrun or a cluster's scheduler sets them;
    processes need no other communication. All but the first show no progress and no warnings.

    Args:
        folder: as given by an option; None is FILE.chunks beside the first output if there are
            several processes, else no shared folder.
        outputs: files by option; None and ``-`` are no files.

    Raises:
        ValueError: several processes without an output file.
    """
    processes = _processes()
    if processes["rank"] > 0:
        os.environ["TQDM_DISABLE"] = "1"
        warnings.simplefilter("ignore")
    files = [path for path in outputs.values() if path and path != Path("-")]
    several = processes["world_size"] > 1
    if several and not files:
        options = ", ".join(f"--{name}" for name in outputs)
        raise ValueError(f"{processes['world_size']} processes need an output file: give {options}")
    if folder is None and several:
        folder = files[0].with_name(f"{files[0].name}.chunks")
    if folder is None:
        yield None, processes
    else:
        for name, path in outputs.items():
            if path in files and path.resolve().is_relative_to(folder.resolve()):
                raise ValueError(
                    f"--{name} {path}: is in the folder of chunks, {folder}; give a file outside, "
                    "or chunks a folder of their own"
                )
        # Before the slow imports: the others wait for a process that has come this far.
        with SharedFolder(folder) as shared:
            if several and _is_late(shared, files):
                raise Exit(0)
            yield shared, processes


def _is_late(shared: SharedFolder, files: list[Path]) -> bool:
    """Whether the output was written since this process started: the last one has finished.

    So it is in a restart where only other processes had chunks to compute.
    """
    lock = shared.path / LOCK
    lock.touch()
    now = lock.stat().st_mtime  # By the clock of the disk, which may be another host's.
    started = now - (time.time() - psutil.Process().create_time())
    times = [path.stat().st_mtime if path.exists() else 0 for path in files]
    return not shared.has_chunks() and all(started <= time <= now for time in times)


def check_launch() -> None:
    """Check that the processes of a command that trains one model were started to find each other.

    Without ``LOCAL_RANK``, accelerate would have each of them train a whole model of its own, and
    all of them write to the same folder.

    Raises:
        ValueError: a variable of the environment is missing, or no number.
    """
    world_size = _processes()["world_size"]
    names = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    missing = [name for name in names if not os.environ.get(name)]
    if world_size > 1 and missing:
        raise ValueError(
            f"WORLD_SIZE = {world_size} in the environment, without {missing[0]}: start the "
            "processes with `accelerate launch -m ordlib ...`, or unset WORLD_SIZE"
        )
    for name in ("LOCAL_RANK", "MASTER_PORT"):
        _number(name, 0)
    if world_size > 1:  # May be for long, if another one has failed.
        address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        echo(
            f"process {os.environ['RANK']} of {world_size} joins the others at {address}", err=True
        )


def _processes() -> dict[str, int]:
    """``rank`` and ``world_size`` from the environment."""
    processes = {name.lower(): _number(name, i) for i, name in enumerate(("RANK", "WORLD_SIZE"))}
    if processes["rank"] >= max(1, processes["world_size"]):
        raise ValueError(
            f"RANK = {processes['rank']}, WORLD_SIZE = {processes['world_size']} in the "
            "environment: ranks count from 0 to WORLD_SIZE - 1, which is 1 if it is not set; unset "
            "both for a single process"
        )
    return processes


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS):
        raise ValueError(
            f"{name} = {text!r:.80} in the environment: must be a number from 0; unset RANK and "
            "WORLD_SIZE for a single process"
        )
    return int(text)

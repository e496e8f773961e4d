"""Processes of `ordlib predict` that share an image folder, forked from one that has imported all.

``chunk_runs.py SAVED ROOT KILLS`` runs the scenarios, each in a folder of ROOT with its own cache,
and prints JSON: the exit codes of each, and what it found between its steps.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from killed_runs import wait

from ordlib.cli import app
from ordlib.inference import chunks, console
from ordlib.inference.distributed import predict_in_chunks
from ordlib.inference.files import write_text

IMPORTED = (console, predict_in_chunks)
OUTPUTS = ("--csv", "out.csv", "--json", "out.json", "--html", "out.html")


def kill(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_after(count: int) -> None:
    """Let this process kill itself when it writes the next chunk."""
    save, written = chunks.np.savez, 0

    def savez(file, **arrays):
        nonlocal written
        written += 1
        save(file, **arrays)
        if written > count:
            kill()

    chunks.np.savez = savez


def kill_joining(_: int) -> None:
    """Let this process kill itself after one of the outputs."""

    def write(text, path):
        if str(path) == "out.json":
            kill()
        return write_text(text, path)

    sys.modules["ordlib.inference.files"].write_text = write


def start(folder, words, rank=0, world_size=1, fault=None, count=1) -> int:
    folder.mkdir(exist_ok=True)
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setsid()
        os.chdir(folder)
        os.environ |= {"ORDLIB_CACHE": str(folder / "cache"), "RANK": str(rank)}
        os.environ["WORLD_SIZE"] = str(world_size)
        chunks.BUCKET_SIZE = 8
        if fault:
            fault(count)
        with open(f"log-{rank}", "w") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            app(words)
    except SystemExit as error:
        code = int(error.code or 0)
    finally:
        os._exit(code)


def together(folder, words, world_size=2, **faults) -> list[int]:
    """Exit codes of processes that start at once; ``faults`` are of the second one."""
    pids = [start(folder, words, rank, world_size, **(faults if rank == 1 else {}))
            for rank in range(world_size)]  # fmt: skip
    return [wait(pid) for pid in pids]


def main(saved: Path, root: Path, kills: int) -> dict[str, list]:
    words = ["predict", str(saved / "many"), "--model", str(saved / "corn"), "--device", "cpu"]
    words += OUTPUTS
    found = {"one": [wait(start(root / "one", words))]}
    found["two"] = together(root / "two", words)
    folder = root / "alone"
    found["alone"] = together(folder, words, fault=kill_after)
    found["alone"] += [(folder / "out.csv").exists(), wait(start(folder, words, 1, 2))]
    folder = root / "joining"
    found["joining"] = [
        wait(start(folder, words, 0, 2)),
        wait(start(folder, words, 1, 2, kill_joining)),
    ]
    found["joining"] += [(folder / "out.csv").exists(), *together(folder, words)]
    folder = root / "at once"
    single = [*words, "--chunks", "chunks"]
    found["at once"] = [wait(pid) for pid in [start(folder, single), start(folder, single, 0)]]
    few = [str(saved / "images") if word == words[1] else word for word in words]
    found["one of few"] = [wait(start(root / "one of few", few))]
    found["empty shard"] = together(root / "empty shard", few, world_size=3)
    rng = random.Random(kills)
    for trial in range(kills):
        folder = root / f"killed-{trial}"
        pids = [start(folder, words, rank, 2) for rank in (0, 1)]
        time.sleep(rng.uniform(0.05, 0.6))
        os.kill(pids[trial % 2], signal.SIGKILL)
        codes = [wait(pid) for pid in pids]
        # All again, or only the killed one.
        again = together(folder, words) if trial % 3 else [wait(start(folder, words, trial % 2, 2))]
        found[folder.name] = [codes, again]
    return found


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))))

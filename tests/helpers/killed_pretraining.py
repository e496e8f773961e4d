"""Pretraining runs that are killed twice at random moments, and then run to their end.

``killed_pretraining.py FOLDER TRIALS`` makes an uninterrupted run in ``FOLDER/whole`` and TRIALS
others in ``FOLDER/0`` and so on, each with a cache of its own. It prints, as JSON, how many lives
of each trial were killed. The moments are counted, not timed: before and after a file is renamed,
when one is written to the disk, and after a step.
"""

import json
import os
import random
import signal
import sys
from pathlib import Path

import torch
from pretraining_runs import TINY

from ordlib.experiments.pretrain_clip import image_pool
from ordlib.experiments.pretrain_clip.config import PretrainingConfig
from ordlib.experiments.pretrain_clip.pretrain import pretrain

CONFIG = PretrainingConfig(
    count_caption_fraction=0.5, size=TINY, num_images=96, samples_seen=12 * 24, batch_size=24,
    learning_rate=3e-3, seed=3,
)  # fmt: skip


class Moments:
    """Counts moments and kills the process at one of them; at none if ``last`` is None."""

    def __init__(self, last: int | None) -> None:
        self.count, self.last = 0, last
        for name in ("replace", "rename", "fsync"):
            setattr(os, name, self._counted(getattr(os, name)))

    def pass_one(self, *_: object) -> None:
        self.count += 1
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)

    def _counted(self, function):
        def call(*args, **options):
            self.pass_one()
            result = function(*args, **options)
            self.pass_one()
            return result

        return call


def live(folder: Path, last: int | None) -> int:
    """One process's life: returns its exit code."""
    folder.mkdir(exist_ok=True)
    if pid := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 70
    try:
        os.environ["ORDLIB_CACHE"] = str(folder / "cache")
        moments = Moments(last)
        options = {"checkpoint_minutes": 0, "num_workers": 1, "on_step": moments.pass_one}
        pretrain(CONFIG, folder / "pico", **options)
        (folder / "moments").write_text(str(moments.count))
        code = 0
    finally:
        os._exit(code)


def main(root: Path, trials: int) -> list[int]:
    assert live(root / "whole", None) == 0
    num_moments = int((root / "whole" / "moments").read_text())
    rng, kills = random.Random(0), []
    for trial in range(trials):
        folder = root / str(trial)
        first = rng.randrange(1, num_moments + 1)
        # The second life has less to do, so it may end before its moment.
        codes = [live(folder, first), live(folder, rng.randrange(1, num_moments - first + 2))]
        assert codes[0] == -signal.SIGKILL, codes
        if codes[1]:
            assert live(folder, None) == 0
        kills.append(codes.count(-signal.SIGKILL))
    return kills


if __name__ == "__main__":
    torch.set_num_threads(1)
    image_pool.BLOCK = 16
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]))))

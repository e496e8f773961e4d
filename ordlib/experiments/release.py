"""Retraining on a GPU: the shipped components, the LoRA block of ``methods``, dependent tables.

    ordlib results make release --device cuda --minutes 8

works in the order of importance, starts nothing when the time is over, and leaves
``release.tar.gz`` in its work folder. The same command continues, on this machine or, after the
archive has been unpacked in the work folder, on another one. From a clone without installation it
is ``python -m ordlib results make release``.
"""

import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from shutil import copytree, rmtree
from typing import NamedTuple

from joblib import delayed

from ..clip import load_clip
from ..clip.encoders.clip import ClipImageEncoder
from ..clip.feature_cache import cached_image_features
from ..components.io import CONFIG, read_card, read_config
from ..components.registry import COMPONENTS as SHIPPED
from ..training.config import TrainingConfig
from ..training.fit import CHECKPOINT_NAMES
from ..utils.cache import atomic_write
from ..utils.device import pick_device
from .experiment import BACKBONE, Experiment, run_experiment
from .grid import TASKS, lora_block
from .intervals import Scores
from .ranking_table import MULTI_TASK, Entry, entry_path, run_entry
from .results import make_results, run_parallel
from .synthetic_data import load_data
from .train import METHODS, train_and_save
from .train_adapter import CONFIG as ADAPTER_CONFIG

RANKING_ADAPTER = "ranking-adapter"
# In the order of importance: what most notebooks load comes first.
COMPONENTS = (
    *(f"numclip-{task}" for task in TASKS), RANKING_ADAPTER,
    *(f"{method}-{task}" for method in ("l2rclip", "ordinalclip", "coop") for task in TASKS),
)  # fmt: skip
# Tables with rows of what is retrained, and their number of seeds.
DEPENDENT_TABLES = {"methods": 10, "ranking_adapter": 3}
ARCHIVE = "release.tar.gz"
MAX_ARCHIVE_BYTES = 16_000_000


class Job(NamedTuple):
    """Something to train: a file that exists when it is finished, and the function that does it."""

    name: str
    result: Path
    run: Callable[[], object]


class TimeIsOver(Exception):
    """Not everything was finished when the time was over."""


def make(
    table: str, *, lora_seeds: int = 3, num_jobs: int = 1, work_dir: Path = Path("build/release"),
    device: str = "auto", minutes: float | None = None,
) -> dict:  # fmt: skip
    """Retrain what ships, as far as the time allows; finished jobs are skipped.

    Args:
        lora_seeds: number of seeds of the LoRA block.
        num_jobs: models trained in parallel.
        work_dir: checkpoints, components, rows of the tables, remade tables and the archive.
        device: as for :func:`ordlib.load_clip`.
        minutes: no training starts later; None for no limit. What is running then is finished.

    Returns:
        The records have one row per job: name, whether it is finished, and its seconds.

    Raises:
        ValueError: no such device, ``minutes`` not above 0, or an archive of more than 16 MB.
    """
    pick_device(device)
    if minutes is not None and not minutes > 0:
        raise ValueError(f"minutes = {minutes!r}: must be above 0, or left out for no limit")
    work_dir = Path(work_dir)
    deadline = time.time() + 60 * minutes if minutes else float("inf")
    runner, is_complete = _Runner(work_dir, device, deadline, num_jobs), True
    _encode_images(device)
    try:
        runner.run_jobs([_component_job(name, work_dir, device) for name in COMPONENTS])
        runner.run_experiments(lora_block(runner.run_experiments, lora_seeds))
        write_archive(work_dir)
        runner.num_jobs = 1  # a table trains in parallel itself
        runner.run_jobs(list(_table_jobs(lora_seeds, num_jobs, work_dir, device)))
    except TimeIsOver:
        is_complete = False
    finally:  # also after an error: what is finished may be all that is left of a lent machine
        write_archive(work_dir)
    return {
        "description": "Jobs of the retraining, in the order of importance.",
        "records": runner.rows,
        "is_complete": is_complete,
    }


@dataclass
class _Runner:
    """Run jobs in parallel until the deadline, and keep a row for each."""

    work_dir: Path
    device: str
    deadline: float
    num_jobs: int
    rows: list[dict] = field(default_factory=list)

    def run_jobs(self, jobs: list[Job]) -> None:
        """Run jobs that are not finished yet; raise TimeIsOver if one could not start."""
        calls = (delayed(_run_job)(job, self.deadline) for job in jobs)
        seconds = run_parallel(calls, self.num_jobs)
        for job, duration in zip(jobs, seconds, strict=True):
            row = {"job": job.name, "is_finished": duration is not None, "seconds": duration}
            self.rows.append(row)
        if None in seconds:
            raise TimeIsOver

    def run_experiments(self, grid: list[Experiment]) -> list[tuple[dict, Scores]]:
        """Run experiments as jobs, and return their rows and scores."""
        runs = [partial(run_experiment, e, self.work_dir, self.device) for e in grid]
        self.run_jobs([
            Job(experiment.name, self.work_dir / f"{experiment.name}.json", run)
            for experiment, run in zip(grid, runs, strict=True)
        ])  # fmt: skip
        return [run() for run in runs]  # reads what is finished


def _encode_images(device: str) -> None:
    """Render and encode the images once, before several processes would."""
    clip = load_clip(BACKBONE, device)
    for task in TASKS:
        for split in ("train", "val", "test"):
            cached_image_features(clip, load_data(task, split, clip.image_size))


def _run_job(job: Job, deadline: float) -> float | None:
    """Return the seconds of a job, 0 if it was finished before, None if the time was over."""
    if job.result.is_file():
        return 0.0
    start = time.time()
    if start >= deadline:
        return None
    job.run()
    return round(time.time() - start, 1)


def _component_job(name: str, work_dir: Path, device: str) -> Job:
    folder = work_dir / "components" / name
    return Job(name, folder / CONFIG, partial(_retrain, name, folder, work_dir, device))


def _retrain(name: str, folder: Path, work_dir: Path, device: str) -> None:
    """Train a component with the hyperparameters of the shipped one."""
    if name == RANKING_ADAPTER:
        # The first row of the table ranking_adapter.
        entry = Entry(MULTI_TASK, "all", 0, ADAPTER_CONFIG)
        run_entry(entry, work_dir, device)
        incomplete = folder.with_suffix(".incomplete")
        rmtree(incomplete, ignore_errors=True)
        copytree(entry_path(entry, work_dir).with_suffix(""), incomplete)
        incomplete.rename(folder)
        return
    shipped = SHIPPED / name
    config = TrainingConfig(**read_card(shipped)["hyperparameters"])
    method, task = name.split("-")
    defaults = vars(METHODS[method].Config())
    # Saved before the default became that of each architecture.
    defaults = defaults | {"lora_target_modules": ClipImageEncoder.lora_target_modules}
    options = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in read_config(shipped)["options"].items()
        if key != "seed" and value != defaults[key]
    }
    train_and_save(method, task, folder, config=config, options=options, device=device)


def _table_jobs(lora_seeds: int, num_jobs: int, work_dir: Path, device: str) -> Iterator[Job]:
    common = {"num_jobs": num_jobs, "work_dir": work_dir, "device": device}
    for table, seeds in DEPENDENT_TABLES.items():
        result = work_dir / "results" / f"{table}.json"
        extra = {"lora_seeds": lora_seeds} if table == "methods" else {}
        make_table = partial(make_results, table, result, seeds=seeds, **extra, **common)
        yield Job(f"table {table}", result, make_table)


def write_archive(work_dir: Path) -> Path:
    """Pack everything finished in a work folder, without checkpoints; return the archive.

    Raises:
        ValueError: the archive has more than 16 MB.
    """
    archive = work_dir / ARCHIVE
    files = [
        path
        for path in sorted(work_dir.rglob("*"))
        if path.is_file() and path != archive and path.name not in CHECKPOINT_NAMES
    ]
    with atomic_write(archive) as temporary:
        with tarfile.open(temporary, "w:gz") as packed:
            for path in files:
                packed.add(path, path.relative_to(work_dir))
        if (size := temporary.stat().st_size) > MAX_ARCHIVE_BYTES:
            raise ValueError(
                f"{archive}: {size:,} bytes, at most {MAX_ARCHIVE_BYTES:,}; remove what does not "
                f"belong in {work_dir}"
            )
    return archive

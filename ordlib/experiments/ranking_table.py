"""Results table ``ranking_adapter``: multi-task and single-task adapters, and baselines."""

import time
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from joblib import delayed

from ..clip import ClipBackbone, load_clip
from ..methods.ranking_adapter.label_scaler import LabelScaler
from ..training.config import TrainingConfig
from ..training.fit import delete_checkpoints
from ..utils.cache import content_hash
from ..utils.device import device_description, pick_device
from .adapter_data import TASKS, eval_sets, training_data
from .experiment import BACKBONE, train_method
from .intervals import Scores, bootstrap_cells, cached_rows
from .results import load_rows, run_parallel
from .train import METHODS
from .train_adapter import CONFIG, evaluate_ranking, save_with_card, train_ranking_adapter

MULTI_TASK, SINGLE_TASK = "ranking adapter", "ranking adapter, one task"
BASELINES = {
    "zero-shot": "zero-shot", "linear probe": "probe", "NumCLIP": "numclip", "L2RCLIP": "l2rclip",
}  # fmt: skip
# Five times the images and a quarter of the epochs: about as many steps as in the table of
# methods, for which the learning rates were selected.
BASELINE_EPOCHS = 5
NO_PROMPTS = {"seen": ("",)}


class Entry(NamedTuple):
    """One model of the table; its task may be "all", its config lacks the seed."""

    method: str
    task: str
    seed: int
    config: TrainingConfig | None


def entries(seeds: int) -> list[Entry]:
    """Return the models of the table, in order of decreasing training time."""
    models = [Entry(MULTI_TASK, "all", seed, CONFIG) for seed in range(seeds)]
    models += [Entry(SINGLE_TASK, task, seed, CONFIG) for seed in range(seeds) for task in TASKS]
    tuned = load_rows("methods").query("image_encoder == 'frozen'")
    for method, name in BASELINES.items():
        for task in TASKS:
            config = None
            if name in METHODS:
                lr = tuned.query("method == @method and task == @task")["learning_rate"].iloc[0]
                config = TrainingConfig(epochs=BASELINE_EPOCHS, learning_rate=lr)
            models += [Entry(method, task, seed, config) for seed in range(seeds if config else 1)]
    return models


def run_entry(
    entry: Entry, work_dir: Path, device: str = "auto"
) -> tuple[list[dict], list[Scores]]:
    """Train and evaluate one model, or return rows and scores cached in ``work_dir``."""
    path = entry_path(entry, work_dir)
    if "adapter" in entry.method:
        return cached_rows(path, partial(_run_adapter, entry, path.with_suffix(""), device))
    return cached_rows(path, partial(_run_baseline, entry, device))


def entry_path(entry: Entry, work_dir: Path) -> Path:
    """Return the JSON file of a finished entry; an adapter is in the folder without the suffix."""
    name = f"{entry.method}-{entry.task}-{entry.seed}".replace(" ", "_").replace(",", "")
    return work_dir / f"ranking-{name}-{content_hash(repr(entry))}.json"


def _run_adapter(entry: Entry, folder: Path, device: str) -> tuple[list[dict], list[Scores]]:
    clip, config = load_clip(BACKBONE, device), replace(entry.config, seed=entry.seed)
    tasks = TASKS if entry.task == "all" else (entry.task,)
    adapter, history = train_ranking_adapter(clip, tasks, config, folder, progress=False)
    rows, per_image = save_with_card(adapter, history, config, folder)
    delete_checkpoints(folder)
    model = {"method": entry.method, "seed": entry.seed, "prompt_conditioned": True}
    return [row | model | _cost(history.attrs, clip) for row in rows], per_image


def _run_baseline(entry: Entry, device: str) -> tuple[list[dict], list[Scores]]:
    """Evaluate a method without prompts; its values are calibrated on val as well."""
    clip, start = load_clip(BACKBONE, device), time.perf_counter()
    train, val = (training_data(clip, entry.task, split) for split in ("train", "val"))
    prompt_conditioned = entry.method == "zero-shot" and entry.task == "counting"
    options = {"placeholder_columns": {"object": "plural"}} if prompt_conditioned else {}
    config = entry.config and replace(entry.config, seed=entry.seed)
    model, cost = train_method(BASELINES[entry.method], clip, train, val, config, **options)
    seconds = 0.0 if entry.method == "zero-shot" else round(time.perf_counter() - start, 2)
    cost = cost or {"steps": 0, "seconds": seconds}
    label_scaler = LabelScaler.fit(val.values).calibrated(model.predict(val).value, val.values)
    rows, per_image = [], []
    for eval_set in eval_sets(clip, entry.task, NO_PROMPTS):
        metrics, arrays = evaluate_ranking(
            eval_set, model.predict(eval_set.data).value, label_scaler
        )
        per_image.append(arrays)
        rows.append(
            {"task": entry.task, "split": eval_set.name, "prompts": None, **metrics}
            | {"method": entry.method, "seed": entry.seed}
            | {"prompt_conditioned": prompt_conditioned, **_cost(cost, clip)}
        )
    return rows, per_image


def _cost(attrs: dict, clip: ClipBackbone) -> dict:
    device = device_description(clip.device)
    return {"steps": attrs["steps"], "seconds": attrs["seconds"], "device": device}


def make(
    table: str, *, seeds: int = 3, num_jobs: int = 1, work_dir: Path = Path("build/tables"),
    device: str = "auto",
) -> dict:  # fmt: skip
    """Compute the results table; ``work_dir`` also keeps the trained adapters."""
    pick_device(device)  # validates it before any training
    jobs = (delayed(run_entry)(entry, work_dir, device) for entry in entries(seeds))
    found = run_parallel(jobs, num_jobs)
    rows, per_image = (list(chain.from_iterable(part)) for part in zip(*found, strict=True))
    clip = load_clip(BACKBONE, device)
    groups = {
        (task, s.name): s.data.groups for task in TASKS for s in eval_sets(clip, task, NO_PROMPTS)
    }
    # Methods without prompts are compared with the adapters' training prompts.
    keyed = [row | {"prompts": row["prompts"] or "seen"} for row in rows]
    return {
        "description": "Ranking of images by a prompt: a multi-task adapter, single-task adapters, "
        "and methods without prompts, trained on the same images.",
        "records": rows,
        "backbone": BACKBONE,
        **bootstrap_cells(
            keyed,
            per_image,
            ("task", "split", "prompts"),
            lambda row: groups[row["task"], row["split"]],
        ),
    }

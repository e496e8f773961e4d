"""The evidence table ``ranking_adapter``: adapters of four tasks and of one, and rivals."""

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from joblib import Parallel, delayed

from ..clip import ClipBackbone, load_clip
from ..clip.feature_cache import cached_image_features
from ..methods.linear_probe import LinearProbe
from ..methods.ranking_adapter.label_scaler import LabelScaler
from ..methods.zero_shot import ZeroShot
from ..training.config import TrainingConfig
from ..training.fit import delete_checkpoints, fit
from ..utils.cache import content_hash
from ..utils.device import device_description
from .adapter_data import TASKS, eval_sets, training_data
from .results import load_results
from .runs import once
from .train import METHODS
from .train_adapter import CONFIG, evaluate_ranking, save_with_card, train_ranking_adapter

BACKBONE = "pico-clip"
MULTI_TASK, SINGLE_TASK = "ranking adapter", "ranking adapter, one task"
BASELINES = {"zero-shot": None, "linear probe": None, "NumCLIP": "numclip", "L2RCLIP": "l2rclip"}
# Five times the pictures, a quarter of the passes: about as many steps as in the table of methods,
# for which the rates were chosen.
BASELINE_EPOCHS = 5


class Entry(NamedTuple):
    """One trained model of the table: its task, or "all", and its config but for the seed."""

    method: str
    task: str
    seed: int
    config: TrainingConfig | None


def entries(seeds: int) -> list[Entry]:
    """The models of the table, the longest first."""
    found = [Entry(MULTI_TASK, "all", seed, CONFIG) for seed in range(seeds)]
    found += [Entry(SINGLE_TASK, task, seed, CONFIG) for seed in range(seeds) for task in TASKS]
    known = load_results("methods").query("image_encoder == 'frozen'")
    for method, trained in BASELINES.items():
        for task in TASKS:
            config = None
            if trained:
                rate = known.query("method == @method and task == @task")["learning_rate"].iloc[0]
                config = TrainingConfig(epochs=BASELINE_EPOCHS, learning_rate=rate)
            found += [Entry(method, task, seed, config) for seed in range(seeds if trained else 1)]
    return found


def run(entry: Entry, work: Path) -> list[dict]:
    """Train and judge one model, unless that was done before; its rows stay in ``work``."""
    name = f"{entry.method}-{entry.task}-{entry.seed}".replace(" ", "_").replace(",", "")
    path = work / f"ranking-{name}-{content_hash(repr(entry))}.json"
    adapter = partial(_adapter, entry, path.with_suffix(""))
    return once(path, adapter if "adapter" in entry.method else partial(_baseline, entry))


def _adapter(entry: Entry, folder: Path) -> list[dict]:
    clip, config = load_clip(BACKBONE), replace(entry.config, seed=entry.seed)
    tasks = TASKS if entry.task == "all" else (entry.task,)
    adapter, history = train_ranking_adapter(clip, tasks, config, folder, progress=False)
    rows = save_with_card(adapter, history, config, folder)
    delete_checkpoints(folder)
    about = {"method": entry.method, "seed": entry.seed, "prompt_conditioned": True}
    return [row | about | _cost(history.attrs, clip) for row in rows]


def _baseline(entry: Entry) -> list[dict]:
    """Judge a method that knows no sentences; its values, too, are put on a line fitted on val."""
    clip, began = load_clip(BACKBONE), time.perf_counter()
    train, val = (training_data(clip, entry.task, split) for split in ("train", "val"))
    told = entry.method == "zero-shot" and entry.task == "counting"
    cost = {"steps": 0, "seconds": 0.0}
    if entry.method == "zero-shot":
        fill = {"object": "plural"} if told else None
        model = ZeroShot(clip, train.task, templates=(0,), fill=fill)
    elif entry.method == "linear probe":
        model = LinearProbe(lambda data: cached_image_features(clip, data), train.task).fit(train)
        cost["seconds"] = round(time.perf_counter() - began, 2)
    else:
        model = METHODS[BASELINES[entry.method]](clip, train.task, seed=entry.seed)
        cost = fit(model, train, val, replace(entry.config, seed=entry.seed), progress=False).attrs
    scale = LabelScaler.fit(val.values).calibrated(model.predict(val).value, val.values)
    rows = []
    for judged in eval_sets(clip, entry.task, {"seen": ("{plural}",)}):
        found = evaluate_ranking(judged, model.predict(judged.data).value, scale)
        about = {"task": entry.task, "split": judged.name, "prompts": None}
        more = {"method": entry.method, "seed": entry.seed, "prompt_conditioned": told}
        rows.append(about | found | more | _cost(cost, clip))
    return rows


def _cost(found: dict, clip: ClipBackbone) -> dict:
    kept = {name: found[name] for name in ("steps", "seconds")}
    return kept | {"device": device_description(clip.device)}


def make(
    table: str, *, seeds: int = 3, num_jobs: int = 1, work_dir: Path = Path("build/tables")
) -> dict:
    """Train and test the models of the table.

    Args:
        table: its name.
        seeds: of what is trained.
        num_jobs: models trained at once; on a CPU one for each core (``OMP_NUM_THREADS=1``).
        work_dir: keeps finished models, each adapter as a component.
    """
    found = Parallel(num_jobs, verbose=1)(delayed(run)(e, work_dir) for e in entries(seeds))
    return {
        "description": "Order of pictures by a sentence: one adapter for four tasks, adapters for one, "
        "and methods that know no sentences, on the same training pictures.",
        "records": [row for each in found for row in each],
        "backbone": BACKBONE,
    }

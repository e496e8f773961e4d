"""Everything that should run on an accelerator, as cases for the pretend one.

``accelerator_cases.py CLIP OUTPUT CASE...`` writes the result of each case to a JSON file. torch
counts its devices at the first backward pass of a process, so cases run in their own process.
"""

import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from unittest.mock import patch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import numpy as np
import pretend_accelerator as pretend
import pytest
import ranking_runs
import torch
from accelerate.state import AcceleratorState, PartialState
from pretraining_runs import TINY, interrupt
from safetensors.torch import load_file
from small_adapter import noise
from training_runs import (
    TASK,
    Interrupted,
    changed_loss,
    clone_state,
    make_data,
    states_equal,
)

import ordlib
from ordlib import LinearProbe, RankingAdapter, ZeroShot, fit, load_clip, methods, rank
from ordlib.clip import ClipBackbone
from ordlib.clip.feature_cache import cached_image_features
from ordlib.data import ImageData
from ordlib.experiments import calibration, experiment, grid, release, train
from ordlib.experiments.pretrain_clip import image_pool
from ordlib.experiments.pretrain_clip.config import PretrainingConfig
from ordlib.experiments.pretrain_clip.pretrain import pretrain
from ordlib.experiments.pretrain_clip.trainer import Trainer
from ordlib.methods.base import TrainableModule
from ordlib.synthetic.load import load_data
from ordlib.training import TrainingConfig

METHODS = tuple(name for name in methods.METHODS if name != "RankingAdapter")
# Three steps per epoch; each of two stages has one epoch.
CONFIG = {"epochs": 2, "batch_size": 8, "learning_rate": 0.01}
KILLED_AT = 5
DTYPES = {"float32": torch.float32, "float16": torch.float16}


@contextmanager
def copies_in_steps(kind: type, method: str, steps: int) -> Iterator[dict[str, int]]:
    """Yield the largest number of copies to the host between two calls of the same epoch."""
    counts, original, largest = [], getattr(kind, method), {}

    def patched(self, *arguments):
        counts.append(pretend.copies.copy())
        return original(self, *arguments)

    with patch.object(kind, method, patched):
        yield largest
    assert len(counts) > 1, f"{method} was called {len(counts)} times"
    for call in range(1, len(counts)):
        if call % steps:
            for name, count in (counts[call] - counts[call - 1]).items():
                largest[name] = max(largest.get(name, 0), count)


def check_device(model: TrainableModule) -> None:
    devices = {t.device.type for t in (*model.parameters(), *model.buffers())}
    assert devices == {pretend.NAME}, devices


def models_equal(a: TrainableModule, b: TrainableModule) -> bool:
    return states_equal(clone_state(a), clone_state(b))


def method_case(name: str, encoder: str, dtype: str, stages: str, clip: Path, work: Path) -> dict:
    """Train, resume, predict, save and load a method."""
    kind = getattr(ordlib, name)
    config = TrainingConfig(**CONFIG, prompt_epochs=int(stages == "two"))
    train, val = make_data("train", 24), make_data("val", 12)

    def make_trained(device: str, folder: Path | None = None):
        model = kind(load_clip(clip, device, DTYPES[dtype]), TASK, image_encoder=encoder)
        fit(model, train, val, config, checkpoint_dir=folder, progress=False)
        return model

    expected = make_trained("cpu").predict(val).value
    with copies_in_steps(kind, "loss", 3) as copies:
        straight = make_trained("auto")
    check_device(straight)
    with changed_loss(kind, KILLED_AT), pytest.raises(Interrupted):
        make_trained("auto", folder=work / "run")
    resumed = make_trained("auto", folder=work / "run")
    predicted = straight.predict(val).value
    straight.save_pretrained(work / "saved")
    loaded = kind.from_pretrained(work / "saved", straight.clip)
    return {
        "error_vs_cpu": np.abs(predicted - expected).max() / np.ptp(TASK.range),
        "resumed": models_equal(straight, resumed),
        "reloaded": np.array_equal(loaded.predict(val).value, predicted),
        "copies_per_step": copies,
    }


def adapter_case(dtype: str, clip: Path, work: Path) -> dict:
    """Train, resume, save and load a ranking adapter; compute OOD scores and rank a folder."""
    light, spots = ranking_runs.light, ranking_runs.spots
    train, val = [light("train", 24), spots("train", 10)], [light("val", 12), spots("val", 6)]

    def make_trained(device: str, folder: Path | None = None):
        backbone = load_clip(clip, device, DTYPES[dtype])
        tasks = [ranking_runs.LIGHT, ranking_runs.SPOTS]
        model = RankingAdapter(backbone, tasks, prompt_templates=ranking_runs.TEMPLATES)
        config = TrainingConfig(epochs=2, batch_size=8, learning_rate=3e-3)
        fit(model, train, val, config, checkpoint_dir=folder, progress=False)
        return model

    expected = make_trained("cpu").predict(val[0]).value
    with copies_in_steps(RankingAdapter, "loss", 4) as copies:
        straight = make_trained("auto")
    check_device(straight)
    with changed_loss(RankingAdapter, 6), pytest.raises(Interrupted):
        make_trained("auto", folder=work / "run")
    resumed = make_trained("auto", folder=work / "run")
    predicted = straight.predict(val[0]).value
    straight.save_pretrained(work / "saved")
    loaded = RankingAdapter.from_pretrained(work / "saved", straight.clip)
    for i, image in enumerate(val[0]):
        image.save(work / f"{i}.png")
    ranking = rank(work, "Rank by light.", model=loaded)
    scores = ranking.table.set_index("path")["score"]
    return {
        "error_vs_cpu": np.abs(predicted - expected).max() / np.ptp(ranking_runs.LIGHT.range),
        "resumed": models_equal(straight, resumed),
        # Saved in half precision.
        "reloaded": np.allclose(loaded.predict(val[0]).value, predicted, atol=0.05),
        "ranked": len(scores) == 12 and bool(np.isfinite(scores).all()),
        "ood_scores_finite": bool(np.isfinite(straight.ood_score(val[0])).all()),
        "copies_per_step": copies,
    }


def zero_shot_case(dtype: str, clip: Path, work: Path) -> dict:
    """Predict by zero-shot classification, and by a linear probe."""
    data, values = noise("counting", "val"), {}
    for device in ("cpu", "auto"):
        backbone = load_clip(clip, device, DTYPES[dtype])
        named = {"object": "plural"}
        shot = ZeroShot(backbone, data.task, templates=(0,), placeholder_columns=named)
        probe = LinearProbe(partial(cached_image_features, backbone), data.task).fit(data)
        values[device] = [model.predict(data).value for model in (shot, probe)]
    error = np.abs(np.subtract(values["cpu"], values["auto"])).max()
    return {"error_vs_cpu": error / np.ptp(data.task.range)}


def pretraining_case(clip: Path, work: Path) -> dict:
    """Pretrain a tiny CLIP, and resume."""
    sizes = {"num_images": 96, "samples_seen": 8 * 24, "batch_size": 24, "size": TINY}
    config = PretrainingConfig(count_caption_fraction=0.5, **sizes, seed=3)
    weights = "model.safetensors"
    AcceleratorState._reset_state(reset_partial_state=True)
    with (
        patch.object(image_pool, "BLOCK", 16),
        # accelerate only finds accelerators that it knows.
        patch.object(PartialState, "default_device", torch.device(pretend.NAME, 0)),
    ):
        with copies_in_steps(Trainer, "_step", 8) as copies:
            straight = load_file(pretrain(config, work / "straight", num_workers=1) / weights)
        interrupt(config, work / "resumed", 5)
        resumed = load_file(pretrain(config, work / "resumed", num_workers=1) / weights)
    device = json.loads((work / "straight" / "card.json").read_text())["device"]
    assert device.startswith(pretend.NAME), device
    return {
        "resumed": all(torch.equal(t, resumed[name]) for name, t in straight.items()),
        "copies_per_step": copies,
    }


def release_case(clip: Path, work: Path) -> dict:
    """Retrain one component and the LoRA block on few images, interrupted once."""
    few = {"epochs": 1}

    def few_images(task: str, split: str, size: int, count: int | None = None) -> ImageData:
        return load_data(task, split, size, 48)

    def retrain(minutes: float | None) -> dict:
        options = {"lora_seeds": 1, "device": pretend.NAME, "minutes": minutes}
        return release.make("release", work_dir=work / "release", **options)

    with ExitStack() as stack:
        for module in (release, train, experiment, calibration):
            stack.enter_context(patch.object(module, "load_data", few_images))
        stack.enter_context(patch.object(calibration, "NUM_VAL_IMAGES", 24))
        for module in (release, experiment):
            stack.enter_context(patch.object(module, "BACKBONE", "tiny"))
        stack.enter_context(patch.dict(experiment.BACKBONES, {"pico-clip": clip}))
        for module in (release, train):
            stack.enter_context(patch.object(module, "load_clip", partial(load_tiny, clip)))
        for name, value in {
            "COMPONENTS": ("coop-dating",), "TASKS": ("dating",), "DEPENDENT_TABLES": {},
        }.items():  # fmt: skip
            stack.enter_context(patch.object(release, name, value))
        short = {"CORN": replace(grid.LORA, **few)}
        for name, value in {
            "LORA_CONFIGS": short, "TASKS": ("dating",), "LORA_TUNING_TASKS": ("dating",),
        }.items():  # fmt: skip
            stack.enter_context(patch.object(grid, name, value))
        first, second = retrain(1e-9), retrain(None)
    rows = second["records"]
    card = json.loads((work / "release/components/coop-dating/card.json").read_text())
    assert card["device"] == pretend.NAME, card["device"]
    return {
        "stopped": not first["is_complete"],
        "resumed": second["is_complete"] and len(rows) == 1 + len(grid.LORA_RATES) + 1,
        "archived": (work / "release/release.tar.gz").stat().st_size < release.MAX_ARCHIVE_BYTES,
    }


def load_tiny(clip: Path, name: str, device: str | None = None, **options: object) -> ClipBackbone:
    return load_clip(clip, device, **options)


def _cases() -> dict[str, Callable[[Path, Path], dict]]:
    grid = product(METHODS, ("frozen", "lora", "full"), DTYPES, ("one", "two"))
    cases = {
        f"{name}, {encoder}, {dtype}, {stages} stage{'s' * (stages == 'two')}": partial(
            method_case, name, encoder, dtype, stages
        )
        for name, encoder, dtype, stages in grid
        if stages == "one" or encoder != "frozen"
    }
    for dtype in DTYPES:
        cases[f"RankingAdapter, frozen, {dtype}, one stage"] = partial(adapter_case, dtype)
        cases[f"ZeroShot and LinearProbe, frozen, {dtype}"] = partial(zero_shot_case, dtype)
    return cases | {"pretraining": pretraining_case, "release": release_case}


CASES = _cases()


def main(clip: Path, output: Path, names: list[str]) -> None:
    results = {}
    torch.set_num_threads(1)
    with pretend.pretend_accelerator():
        for name in names:
            start, work = time.perf_counter(), Path(tempfile.mkdtemp(dir=output.parent))
            try:
                result = CASES[name](clip, work)
            except Exception:
                result = {"error": traceback.format_exc()}
            results[name] = result | {"seconds": time.perf_counter() - start}
    output.write_text(json.dumps(results, indent=1, default=float))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
    # Exit at once: autograd's device thread may outlive the interpreter and crash the process.
    os._exit(0)

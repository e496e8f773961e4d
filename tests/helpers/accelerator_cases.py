"""Everything that should run on an accelerator, run on the pretend one; a record of each case.

``python accelerator_cases.py CLIP OUTPUT CASE...`` writes a JSON object of case to record. torch counts its
devices when a process first goes backwards, so these run in a process that begins with the device.
"""

import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from unittest.mock import patch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import numpy as np
import ranking_runs
import torch
from accelerate.state import AcceleratorState, PartialState
from safetensors.torch import load_file
from small_adapter import noise
from training_runs import TASK, pictures_of

import ordlib
from ordlib import LinearProbe, RankingAdapter, ZeroShot, fit, load_clip, rank
from ordlib.clip.feature_cache import cached_image_features
from ordlib.methods.base import TrainableModule
from ordlib.training import TrainingConfig

METHODS = ("CoOp", "OrdinalCLIP", "FineTuned", "CORN", "NumCLIP", "L2RCLIP")
# Three steps an epoch; of two stages, each is one epoch.
CONFIG = {"epochs": 2, "batch_size": 8, "learning_rate": 0.01}
KILLED_AT = 5
DTYPES = {"float32": torch.float32, "float16": torch.float16}


class Killed(BaseException):
    """Ends a training from inside."""


@contextmanager
def killed(kind: type, method: str, call: int) -> Iterator[None]:
    """Let a call of a method of a class end what is under way."""
    calls, whole = [], getattr(kind, method)

    def deadly(self, *given):
        calls.append(1)
        if len(calls) == call:
            raise Killed
        return whole(self, *given)

    with patch.object(kind, method, deadly):
        try:
            yield
        except Killed:
            return
    raise AssertionError(f"{method} was called {len(calls)} times, not {call}")


@contextmanager
def copies_in_steps(kind: type, method: str, steps: int) -> Iterator[dict[str, int]]:
    """Find the most copies to the host between two calls of a method in the same epoch."""
    before, whole, most = [], getattr(kind, method), {}

    def counting(self, *given):
        before.append(pretend.copies.copy())
        return whole(self, *given)

    with patch.object(kind, method, counting):
        yield most
    assert len(before) > 1, f"{method} was called {len(before)} times"
    for call in range(1, len(before)):
        if call % steps:
            for name, count in (before[call] - before[call - 1]).items():
                most[name] = max(most.get(name, 0), count)


def same(one: TrainableModule, other: TrainableModule) -> bool:
    """Return whether two models are equal bit by bit."""
    theirs = other.trainable_state_dict()
    return all(torch.equal(t, theirs[name]) for name, t in one.trainable_state_dict().items())


def check_device(model: TrainableModule) -> None:
    """Raise if something of a model is elsewhere."""
    places = {t.device.type for t in (*model.parameters(), *model.buffers())}
    assert places == {pretend.NAME}, places


def of_a_method(name: str, encoder: str, dtype: str, stages: str, clip: Path, work: Path) -> dict:
    """Train, resume, predict, save and load a method."""
    kind = getattr(ordlib, name)
    config = TrainingConfig(**CONFIG, prompt_epochs=int(stages == "two"))
    train, val = pictures_of("train", 24), pictures_of("val", 12)

    def trained(device: str, folder: Path | None = None):
        model = kind(load_clip(clip, device, DTYPES[dtype]), TASK, image_encoder=encoder)
        fit(model, train, val, config, checkpoint_dir=folder, progress=False)
        return model

    expected = trained("cpu").predict(val).value
    with copies_in_steps(kind, "loss", 3) as copies:
        straight = trained("auto")
    check_device(straight)
    with killed(kind, "loss", KILLED_AT):
        trained("auto", folder=work / "run")
    resumed = trained("auto", folder=work / "run")
    found = straight.predict(val).value
    straight.save_pretrained(work / "saved")
    loaded = kind.from_pretrained(work / "saved", straight.clip)
    return {
        "apart_from_cpu": np.abs(found - expected).max() / np.ptp(TASK.range),
        "resumed": same(straight, resumed),
        "reloaded": np.array_equal(loaded.predict(val).value, found),
        "copies_per_step": copies,
    }


def of_the_adapter(dtype: str, clip: Path, work: Path) -> dict:
    """Train, resume, save and load a ranking adapter; score, judge and rank a folder with it."""
    light, spots = ranking_runs.light, ranking_runs.spots
    train, val = [light("train", 24), spots("train", 10)], [light("val", 12), spots("val", 6)]

    def trained(device: str, folder: Path | None = None):
        backbone = load_clip(clip, device, DTYPES[dtype])
        tasks = [ranking_runs.LIGHT, ranking_runs.SPOTS]
        model = RankingAdapter(backbone, tasks, prompt_templates=ranking_runs.WORDINGS)
        config = TrainingConfig(epochs=2, batch_size=8, learning_rate=3e-3)
        fit(model, train, val, config, checkpoint_dir=folder, progress=False)
        return model

    expected = trained("cpu").predict(val[0]).value
    with copies_in_steps(RankingAdapter, "loss", 4) as copies:
        straight = trained("auto")
    check_device(straight)
    with killed(RankingAdapter, "loss", 6):
        trained("auto", folder=work / "run")
    resumed = trained("auto", folder=work / "run")
    found = straight.predict(val[0]).value
    straight.save_pretrained(work / "saved")
    loaded = RankingAdapter.from_pretrained(work / "saved", straight.clip)
    for i, picture in enumerate(val[0]):
        picture.save(work / f"{i}.png")
    ranking = rank(work, "Rank by light.", model=loaded)
    scores = ranking.table.set_index("path")["score"]
    return {
        "apart_from_cpu": np.abs(found - expected).max() / np.ptp(ranking_runs.LIGHT.range),
        "resumed": same(straight, resumed),
        # Kept in half precision.
        "reloaded": np.allclose(loaded.predict(val[0]).value, found, atol=0.05),
        "ranked": len(scores) == 12 and bool(np.isfinite(scores).all()),
        "out_of_distribution": bool(np.isfinite(straight.ood_score(val[0])).all()),
        "copies_per_step": copies,
    }


def of_zero_shot(dtype: str, clip: Path, work: Path) -> dict:
    """Predict without training, and by a ridge on the features."""
    data, found = noise("counting", "val"), {}
    for device in ("cpu", "auto"):
        backbone = load_clip(clip, device, DTYPES[dtype])
        shot = ZeroShot(backbone, data.task, templates=(0,), fill={"object": "plural"})
        probe = LinearProbe(partial(cached_image_features, backbone), data.task).fit(data)
        found[device] = [model.predict(data).value for model in (shot, probe)]
    apart = np.abs(np.subtract(found["cpu"], found["auto"])).max()
    return {"apart_from_cpu": apart / np.ptp(data.task.range)}


def of_pretraining(clip: Path, work: Path) -> dict:
    """Pretrain a tiny CLIP, and resume."""
    from ordlib.experiments.pretrain_clip import image_pool as pools
    from ordlib.experiments.pretrain_clip.config import PretrainingConfig
    from ordlib.experiments.pretrain_clip.model_sizes import PicoCLIPConfig
    from ordlib.experiments.pretrain_clip.pretrain import pretrain
    from ordlib.experiments.pretrain_clip.trainer import Trainer

    tiny = PicoCLIPConfig("tiny", 64, 16, 32, 1, 32, 1, 24)
    sizes = {"pictures": 96, "pairs": 8 * 24, "batch_size": 24}
    config, weights = (
        PretrainingConfig(count_caption_fraction=0.5, size=tiny, **sizes, seed=3),
        "model.safetensors",
    )

    def stop(progress) -> None:
        if progress.step == 5:
            raise Killed

    AcceleratorState._reset_state(reset_partial_state=True)
    with (
        patch.object(pools, "BLOCK", 16),
        # accelerate goes through a list of accelerators that it knows.
        patch.object(PartialState, "default_device", torch.device(pretend.NAME, 0)),
    ):
        with copies_in_steps(Trainer, "_step", 8) as copies:
            straight = load_file(pretrain(config, work / "straight", workers=1) / weights)
        try:
            pretrain(config, work / "resumed", save_minutes=0, workers=1, watch=stop)
        except Killed:
            resumed = load_file(pretrain(config, work / "resumed", workers=1) / weights)
    device = json.loads((work / "straight" / "card.json").read_text())["device"]
    assert device.startswith(pretend.NAME), device
    return {
        "resumed": all(torch.equal(t, resumed[name]) for name, t in straight.items()),
        "copies_per_step": copies,
    }


def _cases() -> dict[str, Callable[[Path, Path], dict]]:
    each = product(METHODS, ("frozen", "lora", "full"), DTYPES, ("one", "two"))
    cases = {
        f"{name}, {encoder}, {dtype}, {stages} stage{'s' * (stages == 'two')}": partial(
            of_a_method, name, encoder, dtype, stages
        )
        for name, encoder, dtype, stages in each
        if stages == "one" or encoder != "frozen"
    }
    for dtype in DTYPES:
        cases[f"RankingAdapter, frozen, {dtype}, one stage"] = partial(of_the_adapter, dtype)
        cases[f"ZeroShot and LinearProbe, frozen, {dtype}"] = partial(of_zero_shot, dtype)
    return cases | {"pretraining": of_pretraining}


CASES = _cases()


def main(clip: Path, output: Path, names: list[str]) -> None:
    records = {}
    torch.set_num_threads(1)
    with pretend.pretend_accelerator():
        for name in names:
            began, work = time.perf_counter(), Path(tempfile.mkdtemp(dir=output.parent))
            try:
                record = CASES[name](clip, work)
            except Exception:
                record = {"error": traceback.format_exc()}
            records[name] = record | {"seconds": time.perf_counter() - began}
    output.write_text(json.dumps(records, indent=1, default=float))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
    # At once: autograd's thread for the device may still wait for work when Python is gone, and
    # then takes the process down with it.
    os._exit(0)

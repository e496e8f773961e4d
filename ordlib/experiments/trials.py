"""One trained and measured model of a comparison: what it is, and the row that it gives."""

import time
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cache
from pathlib import Path

import numpy as np

from ..clip import ClipBackbone, load_clip
from ..clip.feature_cache import cached_image_features
from ..data import ImageData
from ..methods.base import OrdinalMethod
from ..methods.linear_probe import LinearProbe
from ..methods.zero_shot import ZeroShot
from ..metrics import compute_metrics, ordinality_score
from ..metrics.prediction import Prediction
from ..synthetic.load import load_data
from ..training.config import TrainingConfig
from ..training.fit import fit
from ..utils.cache import atomic_write, content_hash
from ..utils.device import device_description
from .runs import number, once
from .train import METHODS

BACKBONE = "pico-clip"
# Every trial of a few labels takes as many steps as there are in so many pictures.
PICTURES_AN_EPOCH = 1024
REPORTED_METRICS = ("mae", "accuracy", "spearman", "kappa")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One model of a comparison.

    Attributes:
        label: of the method in the table.
        method: one of ``METHODS``, or "zero-shot" or "probe".
        task: one of the rendered four.
        seed: of first weights, of the order, and of the choice of labels.
        config: of the training; its seed is replaced.
        options: of the method.
        task_overrides: fields of the task that are replaced, for ablations.
        shots: labels a rank, or None for all.
        split: what it is measured on.
        score_ordinality: whether the order of the prompts' features is scored, too.
    """

    label: str
    method: str
    task: str
    seed: int = 0
    config: TrainingConfig = field(default_factory=TrainingConfig)
    options: Mapping[str, object] = field(default_factory=dict)
    task_overrides: Mapping[str, object] = field(default_factory=dict)
    shots: int | None = None
    split: str = "test"
    score_ordinality: bool = False

    @property
    def name(self) -> str:
        """A short name for everything that determines the row."""
        key = content_hash(repr(_changes(self)))
        return f"{self.task}-{self.label.replace(' ', '_')}-{self.seed}-{key}"


def run(trial: Trial, work: Path) -> tuple[dict, np.ndarray]:
    """The row of one model and its ``(N,)`` absolute errors; trained unless ``work`` has them."""
    errors = work / f"{trial.name}.npy"

    def measured() -> dict:
        row, missed = _run(trial)
        with atomic_write(errors) as temporary:
            np.save(temporary, missed)
        return row

    return once(errors.with_name(f"{trial.name}.json"), measured), np.load(errors)


def few_shot_subset(data: ImageData, shots: int, seed: int) -> ImageData:
    """Draw so many labels of every rank; of ranks that have fewer, all.

    Example:
        >>> data = few_shot_subset(load_data("dating", "train", image_size=64, num_images=50), 2, seed=0)
        >>> len(data), len(np.unique(data.values))
        (10, 5)
    """
    rng = np.random.default_rng([seed, shots])
    order = rng.permutation(len(data))
    ranks = data.ranks[order]
    chosen = np.concatenate([order[ranks == rank][:shots] for rank in np.unique(ranks)])
    return data.subset(chosen)


def _run(trial: Trial) -> tuple[dict, np.ndarray]:
    clip = _clip()
    splits = dict.fromkeys(("train", "val", trial.split))
    sets = {split: load_data(trial.task, split, clip.image_size) for split in splits}
    if trial.task_overrides:
        task = replace(sets["train"].task, **trial.task_overrides)
        sets = {split: replace(data, task=task) for split, data in sets.items()}
    if trial.shots is not None:
        sets["train"] = few_shot_subset(sets["train"], trial.shots, trial.seed)
    began = time.perf_counter()
    prediction, more = _predict(trial, clip, sets)
    seconds = time.perf_counter() - began
    judged = sets[trial.split]
    found = compute_metrics(judged.task, judged.values, prediction)
    row = {
        "method": trial.label,
        "task": trial.task,
        "image_encoder": trial.options.get("image_encoder", "frozen"),
        "seed": trial.seed,
        **({} if trial.shots is None else {"shots": trial.shots}),
        **{name: number(found[name]) for name in REPORTED_METRICS},
        **more,
        "seconds": round(seconds, 2),
        "device": device_description(clip.device),
    }
    return row, np.abs(judged.values - prediction.value)


def _predict(
    trial: Trial, clip: ClipBackbone, sets: dict[str, ImageData]
) -> tuple[Prediction, dict]:
    train, judged = sets["train"], sets[trial.split]
    if trial.method == "zero-shot":
        model = ZeroShot(clip, train.task, templates=(0,), **trial.options)
        return model.predict(judged), _order(trial, model)
    if trial.method == "probe":
        probe = LinearProbe(lambda data: cached_image_features(clip, data), train.task)
        return probe.fit(train).predict(judged), {}
    if trial.shots is not None:
        # Repeated, so that every number of labels gives the same number of steps.
        train = train.subset(np.resize(np.arange(len(train)), PICTURES_AN_EPOCH))
    config = replace(trial.config, seed=trial.seed)
    model = METHODS[trial.method](clip, train.task, seed=trial.seed, **trial.options)
    history = fit(model, train, sets["val"], config, progress=False)
    more = {"learning_rate": config.learning_rate, "steps": history.attrs["steps"]}
    return model.predict(judged), more | _order(trial, model)


def _order(trial: Trial, model: ZeroShot | OrdinalMethod) -> dict:
    """The ordinality of the prompts' features, where the trial asks for it."""
    if not trial.score_ordinality:
        return {}
    found = ordinality_score(model.text_features().detach().cpu())
    return {
        "ordinality": round(found.raw, 6),
        "ordinality_corrected": number(found.chance_corrected),
    }


def _changes(chosen: Trial | TrainingConfig) -> dict:
    """What differs from the defaults: a field that is new must not rename what is kept."""
    found = {}
    for place in fields(chosen):
        value = getattr(chosen, place.name)
        if isinstance(value, TrainingConfig):
            value = _changes(value)
        if place.default is MISSING or value != place.default:
            found[place.name] = value
    return found


@cache
def _clip() -> ClipBackbone:
    return load_clip(BACKBONE)

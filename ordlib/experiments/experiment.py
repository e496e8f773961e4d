"""Run and cache one experiment (one trained and evaluated model) of a results table."""

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
from .runs import cached_json, round_or_none
from .train import METHODS

BACKBONE = "pico-clip"
# Few-shot training sets are repeated to this size: the same number of steps for all.
FEW_SHOT_EPOCH_SIZE = 1024
REPORTED_METRICS = ("mae", "accuracy", "spearman", "kappa")


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Configuration of one model in a results table.

    Attributes:
        label: name of the method in the table.
        method: one of ``METHODS``, or "zero-shot" or "probe".
        config: hyperparameters of the training; its seed is replaced by ``seed``.
        options: hyperparameters of the method.
        task_overrides: fields of the task to replace, for ablations.
        shots: labels per rank; None for all.
        split: evaluated split.
        score_ordinality: whether to score the ordinality of the text features as well.
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
        """File name that identifies the experiment, with a hash of all non-default fields."""
        key = content_hash(repr(_non_defaults(self)))
        return f"{self.task}-{self.label.replace(' ', '_')}-{self.seed}-{key}"


def run_experiment(experiment: Experiment, work_dir: Path) -> tuple[dict, np.ndarray]:
    """Return the row of one trained model and its ``(N,)`` absolute errors, cached on disk."""
    errors_file = work_dir / f"{experiment.name}.npy"

    def compute() -> dict:
        row, errors = _train_and_evaluate(experiment)
        with atomic_write(errors_file) as temporary:
            np.save(temporary, errors)
        return row

    row = cached_json(errors_file.with_name(f"{experiment.name}.json"), compute)
    return row, np.load(errors_file)


def few_shot_subset(data: ImageData, shots: int, seed: int) -> ImageData:
    """Sample at most ``shots`` images of every rank.

    Example:
        >>> data = load_data("dating", "train", image_size=64, num_images=50)
        >>> data = few_shot_subset(data, shots=2, seed=0)
        >>> len(data), len(np.unique(data.values))
        (10, 5)
    """
    order = np.random.default_rng([seed, shots]).permutation(len(data))
    ranks = data.ranks[order]
    return data.subset(np.concatenate([order[ranks == r][:shots] for r in np.unique(ranks)]))


def _train_and_evaluate(experiment: Experiment) -> tuple[dict, np.ndarray]:
    clip = _load_backbone()
    splits = dict.fromkeys(("train", "val", experiment.split))
    data = {split: load_data(experiment.task, split, clip.image_size) for split in splits}
    if experiment.task_overrides:
        task = replace(data["train"].task, **experiment.task_overrides)
        data = {split: replace(part, task=task) for split, part in data.items()}
    if experiment.shots is not None:
        data["train"] = few_shot_subset(data["train"], experiment.shots, experiment.seed)
    start = time.perf_counter()
    prediction, extra = _predict(experiment, clip, data)
    seconds = time.perf_counter() - start
    test = data[experiment.split]
    metrics = compute_metrics(test.task, test.values, prediction)
    row = {
        "method": experiment.label, "task": experiment.task,
        "image_encoder": experiment.options.get("image_encoder", "frozen"),
        "seed": experiment.seed,
        **({} if experiment.shots is None else {"shots": experiment.shots}),
        **{name: round_or_none(metrics[name]) for name in REPORTED_METRICS},
        **extra, "seconds": round(seconds, 2), "device": device_description(clip.device),
    }  # fmt: skip
    return row, np.abs(test.values - prediction.value)


def _predict(
    experiment: Experiment, clip: ClipBackbone, data: dict[str, ImageData]
) -> tuple[Prediction, dict]:
    """Return the predictions of the trained model, and the columns that only some rows have."""
    train, test = data["train"], data[experiment.split]
    if experiment.method == "zero-shot":
        model = ZeroShot(clip, train.task, templates=(0,), **experiment.options)
        return model.predict(test), _ordinality(experiment, model)
    if experiment.method == "probe":
        probe = LinearProbe(lambda images: cached_image_features(clip, images), train.task)
        return probe.fit(train).predict(test), {}
    if experiment.shots is not None:
        train = train.subset(np.resize(np.arange(len(train)), FEW_SHOT_EPOCH_SIZE))
    config = replace(experiment.config, seed=experiment.seed)
    model = METHODS[experiment.method](clip, train.task, seed=experiment.seed, **experiment.options)
    history = fit(model, train, data["val"], config, progress=False)
    extra = {"learning_rate": config.learning_rate, "steps": history.attrs["steps"]}
    return model.predict(test), extra | _ordinality(experiment, model)


def _ordinality(experiment: Experiment, model: ZeroShot | OrdinalMethod) -> dict:
    if not experiment.score_ordinality:
        return {}
    score = ordinality_score(model.text_features().detach().cpu())
    corrected = round_or_none(score.chance_corrected)
    return {"ordinality": round(score.raw, 6), "ordinality_corrected": corrected}


def _non_defaults(instance: Experiment | TrainingConfig) -> dict:
    """Return the fields that differ from their defaults: new fields keep cached names valid."""
    changed = {}
    for item in fields(instance):
        value = getattr(instance, item.name)
        if isinstance(value, TrainingConfig):
            value = _non_defaults(value)
        if item.default is MISSING or value != item.default:
            changed[item.name] = value
    return changed


@cache
def _load_backbone() -> ClipBackbone:
    return load_clip(BACKBONE)

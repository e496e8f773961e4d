"""Run and cache one experiment (one trained and evaluated model) of a results table."""

import time
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cache, partial
from pathlib import Path

import numpy as np

from ..clip import ClipBackbone, load_clip
from ..clip.feature_cache import cached_image_features
from ..data import ImageData
from ..methods.base import OrdinalMethod
from ..methods.linear_probe import LinearProbe
from ..methods.numclip import NumCLIP
from ..methods.zero_shot import ZeroShot
from ..metrics import compute_metrics, ordinality_score
from ..synthetic.load import load_data
from ..training.config import TrainingConfig
from ..training.fit import fit
from ..utils.cache import content_hash
from ..utils.device import device_description
from .intervals import Scores, cached_rows
from .results import round_or_none
from .train import METHODS
from .training_draws import draw_training_set

BACKBONE = "pico-clip"
# Few-shot training sets are repeated to this size: the same number of steps for all.
FEW_SHOT_EPOCH_SIZE = 1024
REPORTED_METRICS = ("mae", "accuracy", "spearman", "kappa")


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Configuration of one model in a results table."""

    label: str  # name of the method in the table
    method: str  # one of METHODS, or "zero-shot" or "probe"
    task: str
    seed: int = 0  # replaces that of the config
    config: TrainingConfig = field(default_factory=TrainingConfig)
    options: Mapping[str, object] = field(default_factory=dict)  # hyperparameters of the method
    task_overrides: Mapping[str, object] = field(default_factory=dict)  # fields to replace
    shots: int | None = None  # labels per rank; None for all
    epoch_on_train: bool = False  # whether the training images choose the best epoch, not val
    draw: str | None = None  # how training labels are distorted, one of training_draws.DRAWS
    split: str = "test"  # evaluated split
    score_ordinality: bool = False  # whether to score the order of the text features as well

    @property
    def name(self) -> str:
        """File name that identifies the experiment, with a hash of all non-default fields."""
        key = content_hash(repr(_non_defaults(self)))
        return f"{self.task}-{self.label.replace(' ', '_')}-{self.seed}-{key}"


def run_experiment(experiment: Experiment, work_dir: Path) -> tuple[dict, Scores]:
    """Return the row of one trained model and its scores per image, cached on disk.

    Scores are absolute errors, "mae", and of NumCLIP whether each bin is right, "bin_accuracy".
    """
    path = work_dir / f"{experiment.name}.json"
    (row,), (scores,) = cached_rows(path, partial(_train_and_evaluate, experiment))
    return row, scores


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


def train_method(
    method: str, clip: ClipBackbone, train: ImageData, val: ImageData,
    config: TrainingConfig | None, **options: object,
) -> tuple[ZeroShot | LinearProbe | OrdinalMethod, dict]:  # fmt: skip
    """Return a trained method, and the ``attrs`` of its training history.

    ``method`` is one of ``METHODS``, or "zero-shot" or "probe", which have no history.
    """
    if method == "zero-shot":
        return ZeroShot(clip, train.task, templates=(0,), **options), {}
    if method == "probe":
        probe = LinearProbe(lambda data: cached_image_features(clip, data), train.task)
        return probe.fit(train), {}
    model = METHODS[method](clip, train.task, seed=config.seed, **options)
    return model, fit(model, train, val, config, calibration=None, progress=False).attrs


def _train_and_evaluate(experiment: Experiment) -> tuple[list[dict], list[Scores]]:
    clip = _load_backbone()
    splits = dict.fromkeys(("train", "val", experiment.split))
    data = {split: load_data(experiment.task, split, clip.image_size) for split in splits}
    if experiment.task_overrides:
        task = replace(data["train"].task, **experiment.task_overrides)
        data = {split: replace(part, task=task) for split, part in data.items()}
    train, test = data["train"], data[experiment.split]
    if experiment.shots is not None:
        train = few_shot_subset(train, experiment.shots, experiment.seed)
        if experiment.epoch_on_train:
            data["val"] = train
        if experiment.method in METHODS:
            train = train.subset(np.resize(np.arange(len(train)), FEW_SHOT_EPOCH_SIZE))
    if experiment.draw is not None:
        train = draw_training_set(train, experiment.draw, experiment.seed)
    start = time.perf_counter()
    config, options = replace(experiment.config, seed=experiment.seed), experiment.options
    model, history = train_method(experiment.method, clip, train, data["val"], config, **options)
    prediction = model.predict(test)
    seconds = time.perf_counter() - start
    scores = {"mae": np.abs(test.values - prediction.value)}
    extra = {"learning_rate": config.learning_rate, "steps": history["steps"]} if history else {}
    if experiment.score_ordinality:
        score = ordinality_score(model.text_features().detach().cpu())
        extra["ordinality"] = round(score.raw, 6)
        extra["ordinality_corrected"] = round_or_none(score.chance_corrected)
    if isinstance(model, NumCLIP):
        true_bins = test.task.bin_index(test.values)
        scores["bin_accuracy"] = (model.predict_bins(test) == true_bins).astype(float)
        extra["bin_accuracy"] = round(float(scores["bin_accuracy"].mean()), 6)
    metrics = compute_metrics(test.task, test.values, prediction)
    row = {
        "method": experiment.label, "task": experiment.task,
        "image_encoder": experiment.options.get("image_encoder", "frozen"),
        "seed": experiment.seed,
        **({} if experiment.shots is None else {"shots": experiment.shots}),
        **({} if experiment.draw is None else {"draw": experiment.draw}),
        **{name: round_or_none(metrics[name]) for name in REPORTED_METRICS},
        **extra, "seconds": round(seconds, 2), "device": device_description(clip.device),
    }  # fmt: skip
    return [row], [scores]


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

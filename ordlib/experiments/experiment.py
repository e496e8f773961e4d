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
from ..methods.predictor import Predictor
from ..methods.zero_shot import ZeroShot
from ..metrics import compute_metrics, expected_calibration_error, ordinality_score
from ..metrics.prediction import Prediction
from ..training.config import TrainingConfig
from ..training.fit import fit
from ..utils.cache import content_hash
from ..utils.device import device_description
from .adapter_data import HELD_OUT_SPLIT, held_out_objects
from .calibration import synthetic_calibration_data
from .intervals import Scores, cached_rows
from .results import round_or_none
from .synthetic_data import load_data
from .train import METHODS
from .training_draws import draw_training_set

BACKBONE = "pico-clip"
# Other pretrainings of the same CLIP, not shipped, by the command that makes each.
PRETRAIN = (
    "ordlib pretrain --seed {seed} --num-images 192000 --samples-seen 2160000 --batch-size 128 "
    "--output build/backbones/pico-clip-{seed}"
)
BACKBONES = {BACKBONE: BACKBONE} | {
    f"pico-clip, seed {seed}": f"build/backbones/pico-clip-{seed}" for seed in (1, 2)
}
# Few-shot training sets are repeated to this size: the same number of steps for all.
FEW_SHOT_EPOCH_SIZE = 1024
REPORTED_METRICS = ("mae", "accuracy", "spearman", "kappa")
CONFIDENCE_LEVEL = 0.9


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
    split: str = "test"  # evaluated split, or HELD_OUT_SPLIT
    backbone: str = BACKBONE  # one of BACKBONES
    score_ordinality: bool = False  # whether to score the order of the text features as well

    @property
    def name(self) -> str:
        """File name that identifies the experiment, with a hash of all non-default fields."""
        key = content_hash(repr(_non_defaults(self)))
        return f"{self.task}-{self.label.replace(' ', '_')}-{self.seed}-{key}"


def run_experiment(
    experiment: Experiment, work_dir: Path, device: str = "auto"
) -> tuple[dict, Scores]:
    """Return the row of one trained model and its scores per image, cached on disk.

    Scores are absolute errors, "mae", whether the 90 % prediction interval covers the true value,
    "coverage" (not on val), and of NumCLIP whether each bin is right, "bin_accuracy".
    """
    path = work_dir / f"{experiment.name}.json"
    (row,), (scores,) = cached_rows(path, partial(_train_and_evaluate, experiment, device))
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


def _train_and_evaluate(experiment: Experiment, device: str) -> tuple[list[dict], list[Scores]]:
    clip = _load_backbone(experiment.backbone, device)
    splits = dict.fromkeys(("train", "val", experiment.split))
    data = {split: _load_split(experiment.task, split, clip.image_size) for split in splits}
    if experiment.task_overrides:
        task = replace(data["train"].task, **experiment.task_overrides)
        data = {split: replace(part, task=task) for split, part in data.items()}
    train, test = data["train"], data[experiment.split]
    if experiment.shots is not None:
        train = few_shot_subset(train, experiment.shots, experiment.seed)
        if experiment.epoch_on_train:
            data["val"] = train
        if experiment.method in METHODS:
            train = _repeated(train, FEW_SHOT_EPOCH_SIZE)
    if experiment.draw is not None:
        drawn = draw_training_set(train, experiment.draw, experiment.seed)
        # As many steps for every draw; a probe would take repeated images for others.
        train = _repeated(drawn, len(train)) if experiment.method in METHODS else drawn
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
    if experiment.split != "val":
        calibration = synthetic_calibration_data(experiment.task, clip.image_size)
        calibration = replace(calibration, task=test.task)
        uncertainty, scores["coverage"] = evaluate_uncertainty(model, calibration, test, prediction)
        extra |= uncertainty
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


def _repeated(data: ImageData, size: int) -> ImageData:
    return data.subset(np.resize(np.arange(len(data)), size))


def evaluate_uncertainty(
    model: Predictor, calibration: ImageData, test: ImageData, prediction: Prediction
) -> tuple[dict, np.ndarray]:
    """Calibrate a model, and evaluate its probabilities and its prediction intervals.

    Args:
        model: is calibrated on the images of ``calibration``.
        calibration: labelled images that training has not seen.
        test: N test images.
        prediction: the model's, for the test images.

    Returns:
        The expected calibration error before and after temperature scaling, "ece" and
        "ece_scaled", None without probabilities; and the coverage and mean width, in the task's
        unit, of the conformal prediction intervals of 90 %. Then whether each interval covers the
        true value, ``(N,)`` float.
    """
    model.calibrate_intervals(calibration)
    low, high = model.intervals(prediction, CONFIDENCE_LEVEL).T
    is_covered = ((low <= test.values) & (test.values <= high)).astype(float)
    scaled = model.calibrations[test.task.name].scale
    probabilities = {"ece": prediction.probabilities, "ece_scaled": None}
    if prediction.probabilities is not None:
        probabilities["ece_scaled"] = scaled(prediction.probabilities)
    row = {
        name: None if p is None else round(expected_calibration_error(test.ranks, p), 6)
        for name, p in probabilities.items()
    }
    coverage = {"coverage": is_covered.mean(), "interval_width": (high - low).mean()}
    return row | {name: round(float(value), 6) for name, value in coverage.items()}, is_covered


def _load_split(task: str, split: str, image_size: int) -> ImageData:
    if split == HELD_OUT_SPLIT:
        return held_out_objects(image_size)
    return load_data(task, split, image_size)


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
def _load_backbone(name: str, device: str) -> ClipBackbone:
    return load_clip(BACKBONES[name], device)


def check_backbones() -> None:
    """Raise ValueError with the command to run if a backbone of ``BACKBONES`` is missing."""
    for seed, folder in enumerate(BACKBONES.values()):
        if seed and not Path(folder, "card.json").is_file():
            raise ValueError(f"{folder}: no such backbone; run {PRETRAIN.format(seed=seed)}")

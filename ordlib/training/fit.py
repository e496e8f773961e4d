"""fit(): training in one or two stages."""

import os
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Literal

import pandas as pd

from ..data import ImageData
from ..data.leakage import warn_about_calibration, warn_about_validation
from ..methods.base import OrdinalMethod
from ..methods.ranking_adapter.model import RankingAdapter
from ..utils.cache import file_signature
from ..utils.device import preserve_rng, torch_defaults
from ..utils.output import folder_path
from ..utils.validation import check_choice, check_path
from .checkpoint import weights_summary
from .config import TrainingConfig
from .held_out import hold_out_val, split_calibration
from .inputs import check_config, check_model, check_tasks, to_config, to_list
from .ranking_trainer import RankingTrainer
from .trainer import OrdinalTrainer, TrainerState

CHECKPOINT_NAME = "checkpoint.safetensors"
STAGE1_CHECKPOINT_NAME = "checkpoint-stage1.safetensors"
# Trained in the first of two stages only.
STAGE1_GROUPS = {"prompts", "text_encoder", "logit_scale", "head"}
CHECKPOINT_NAMES = (CHECKPOINT_NAME, STAGE1_CHECKPOINT_NAME)
# torch's random state and accelerate's settings belong to the process, so trainings take turns.
_LOCK = threading.RLock()


def _renew_lock() -> None:
    """A fork while another thread trains would leave the lock of nobody in the child."""
    global _LOCK
    _LOCK = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def fit(
    model: OrdinalMethod | RankingAdapter,
    train: ImageData | Sequence[ImageData],
    val: ImageData | Sequence[ImageData] | None = None,
    config: TrainingConfig | Mapping[str, object] | None = None,
    *,
    calibration: ImageData | Sequence[ImageData] | Literal["auto"] | None = "auto",
    checkpoint_dir: str | os.PathLike | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train a method in place, and load the weights that were best on the validation split.

    Afterwards the prediction intervals are calibrated and an out-of-distribution detector is
    fitted. After Ctrl-C or an error the model has the best weights so far. The caller's random
    number generators are left alone.

    On CUDA, training is in mixed precision, with loss scaling for a float16 backbone; that has not
    been run yet. Under ``accelerate launch``, each batch is split across the processes and the
    loss is computed on the gathered batch, so the result equals that of one process up to rounding.

    Args:
        train, val: labelled images of the model's task; for a RankingAdapter, one set per task.
            ``val=None`` holds out a fifth of the training images, whole groups if there are any.
        config: hyperparameters, also as a dict of fields; None uses the defaults.
        calibration: images for :meth:`~ordlib.methods.predictor.Predictor.intervals`, unseen by
            early stopping. "auto" takes half of ``val`` if that is at least 100 images; None
            leaves the intervals undefined.
        checkpoint_dir: folder of the training checkpoint, saved after each epoch. The same call
            with a new model resumes from it, bit-identical to an uninterrupted run on the same
            CPU. With more epochs, a finished run continues.

    Returns:
        One row per epoch: training loss, validation metrics, and whether it is the best so far.
        ``attrs`` has ``seconds``, ``steps``, ``best_epoch`` and ``device``.

    Raises:
        TypeError: unknown field of ``config``, or ``train`` is a dict of splits.
        ValueError: data, model and config do not match, or the checkpoint is of another run.
        OSError: an image file cannot be decoded; all are checked before the first step.
        FloatingPointError: the loss or a weight is not finite; the best weights are restored.

    Example:
        >>> from ordlib import CoOp, load_clip, load_data
        >>> data = load_data("dating", "val", num_images=60)
        >>> model = CoOp(load_clip("pico-clip", "cpu"), data.task)
        >>> train, val = data.subset(range(40)), data.subset(range(40, 60))
        >>> history = fit(model, train, val, {"epochs": 2}, progress=False)
        >>> history["epoch"].tolist(), history.attrs["steps"]
        ([1, 2], 2)
    """
    check_model(model)
    folder = None
    if checkpoint_dir is not None:
        check_path("checkpoint_dir", checkpoint_dir)
        # Absolute, since the current folder may change before the next checkpoint.
        folder = folder_path("checkpoint_dir", checkpoint_dir)
    config = to_config(config)
    train = to_list("train", train)
    if val is None:
        train, val = hold_out_val(train, config.seed)
    val = to_list("val", val)
    if isinstance(calibration, str):
        check_choice("calibration", calibration, ("auto",))
        parts = [split_calibration(data, config.seed) for data in val]
        val, calibration = [part[0] for part in parts], [part[1] for part in parts if part[1]]
    calibration = to_list("calibration", calibration or [])
    for data in chain(train, val, calibration):
        data.check_files()
    check_tasks(model, train=train, val=val, calibration=calibration)
    check_config(model, config, train)
    warn_about_validation(train, val)
    if calibration:
        warn_about_calibration([*train, *val], calibration)
    with torch_defaults(), _warn_of_changes([*train, *val]):
        with _LOCK, preserve_rng(model.clip.device), _start_weights(model, folder) as start:
            history = _train(model, train, val, config, folder, progress, start)
        model.card = {}  # of another training
        for data in calibration:
            model.calibrate_intervals(data)
    _warn_if_last_is_best(history)
    return history


def delete_checkpoints(folder: str | os.PathLike) -> None:
    """Delete the training checkpoints of a folder."""
    for name in CHECKPOINT_NAMES:
        (Path(folder) / name).unlink(missing_ok=True)


def _train(
    model: OrdinalMethod | RankingAdapter,
    train: list[ImageData],
    val: list[ImageData],
    config: TrainingConfig,
    folder: Path | None,
    progress: bool,
    start: list[float],
) -> pd.DataFrame:
    path = folder and folder / CHECKPOINT_NAME
    if isinstance(model, RankingAdapter):
        return RankingTrainer(model, train, val, config, path, start=start).train(progress)
    config = config.resolved(len(train[0]))
    if config.prompt_epochs:
        history = _fit_two_stages(model, train[0], val[0], config, folder, progress, start)
    else:
        trainer = OrdinalTrainer(model, train[0], val[0], config, path, start=start)
        history = trainer.train(progress)
    model.fit_ood_detector(train[0], val[0])
    return history


@contextmanager
def _start_weights(
    model: OrdinalMethod | RankingAdapter, folder: Path | None
) -> Iterator[list[float]]:
    """Yield a summary of the weights from which the run in a folder started.

    A model in the state in which an earlier call on this folder left it continues that run; any
    other starts a new one, to which the checkpoints of the folder must belong.
    """
    if folder is None:
        yield []
        return
    starts, key = vars(model).setdefault("_fit_starts", {}), folder.resolve()
    current = weights_summary(model.trainable_state_dict())
    left, start = starts.get(key, (None, None))
    if left != current or not any((folder / name).exists() for name in CHECKPOINT_NAMES):
        start = current
    try:
        yield start
    finally:
        starts[key] = weights_summary(model.trainable_state_dict()), start


def _warn_if_last_is_best(history: pd.DataFrame) -> None:
    if history.attrs["best_epoch"] == len(history):
        warnings.warn(
            f"the best epoch is the last of {len(history)}: the model may still improve; train "
            f"longer, for example with TrainingConfig(epochs={2 * len(history)}), on the command "
            f"line --epochs {2 * len(history)}",
            stacklevel=3,
        )


def _fit_two_stages(
    model: OrdinalMethod,
    train: ImageData,
    val: ImageData,
    config: TrainingConfig,
    folder: Path | None,
    progress: bool,
    start: list[float],
) -> pd.DataFrame:
    """Train all but the image encoder on cached features, then it and CLIP-Adapter only."""
    stage1_model, path = model.with_frozen_encoder(), folder and folder / STAGE1_CHECKPOINT_NAME
    stage_config = _stage_config(config, config.prompt_epochs, {"image_encoder"})
    # Cached features cannot be augmented.
    off = {"flip": False, "crop_scale": None, "random_crop": False, "jitter": 0.0}
    stage_config = replace(stage_config, **off)
    # A first stage that goes on would invalidate the checkpoint of the second.
    trainer = OrdinalTrainer(
        stage1_model, train, val, stage_config, path, can_continue=False, start=start
    )
    try:
        history = trainer.train(progress)
    finally:
        model.copy_trainable_from(stage1_model)
    # The second stage has to improve on the best metric of the first.
    best, path = trainer.state.best_metric, folder and folder / CHECKPOINT_NAME
    state = TrainerState(best_epoch=None if best is None else 0, best_metric=best)
    num_epochs = config.epochs - config.prompt_epochs
    stage_config = _stage_config(config, num_epochs, STAGE1_GROUPS, config.prompt_epochs)
    model.set_frozen_groups(*STAGE1_GROUPS)
    try:
        trainer = OrdinalTrainer(model, train, val, stage_config, path, state, start=start)
        return _concat_histories(history, trainer.train(progress))
    finally:
        model.set_frozen_groups()  # unfreeze all


def _stage_config(
    config: TrainingConfig, epochs: int, frozen: set[str], first_epoch: int = 0
) -> TrainingConfig:
    factors = {name: f for name, f in config.lr_multipliers.items() if name not in frozen}
    changes = {"epochs": epochs, "prompt_epochs": 0, "lr_multipliers": factors}
    if config.milestones:
        milestones = tuple(
            m - first_epoch for m in config.milestones if 0 < m - first_epoch < epochs
        )
        schedule = "multi_step" if milestones else "constant"
        changes |= {"milestones": milestones, "schedule": schedule}
    return replace(config, **changes)


def _concat_histories(stage1: pd.DataFrame, stage2: pd.DataFrame) -> pd.DataFrame:
    attrs1, attrs2, best2 = stage1.attrs, stage2.attrs, stage2.attrs["best_epoch"]
    stage2_shifted = stage2.assign(epoch=stage2["epoch"] + len(stage1))
    history = pd.concat([stage1, stage2_shifted], ignore_index=True)
    history.attrs = attrs2 | {name: attrs1[name] + attrs2[name] for name in ("seconds", "steps")}
    history.attrs["best_epoch"] = len(stage1) + best2 if best2 else attrs1["best_epoch"]
    return history


@contextmanager
def _warn_of_changes(datasets: list[ImageData]) -> Iterator[None]:
    """Warn of image files that change in the block: a tuned encoder reads them every epoch."""
    files = [x for data in datasets for x in data.images if isinstance(x, Path)]
    before = [file_signature(file) for file in files]
    yield
    changed = [x for x, old in zip(files, before, strict=True) if file_signature(x) != old]
    if changed:
        warnings.warn(
            f"{len(changed)} image files changed during the training ({changed[0]}, ...): the "
            "model may have seen both versions; train again, in another checkpoint_dir",
            stacklevel=4,
        )

"""fit(): training in one or two stages."""

import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pandas as pd

from ..data import ImageData
from ..data.leakage import warn_about_validation
from ..methods.base import OrdinalMethod
from ..methods.ranking_adapter.model import RankingAdapter
from .config import TrainingConfig
from .ranking_trainer import RankingTrainer
from .trainer import OrdinalTrainer, TrainerState

CHECKPOINT_NAME = "checkpoint.safetensors"
STAGE1_CHECKPOINT_NAME = "checkpoint-stage1.safetensors"


def fit(
    model: OrdinalMethod | RankingAdapter,
    train: ImageData | Sequence[ImageData],
    val: ImageData | Sequence[ImageData],
    config: TrainingConfig | None = None,
    *,
    checkpoint_dir: str | os.PathLike | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train a method in place, and load the weights that were best on the validation split.

    Under ``accelerate launch``, each batch is split across the processes and the loss is computed
    on the gathered batch, so the result equals that of one process up to rounding.

    Args:
        train, val: labelled images of the model's task; for a RankingAdapter, one set per task.
        config: hyperparameters; None uses the defaults.
        checkpoint_dir: folder of the training checkpoint, saved after each epoch. The same call
            with a new model resumes from it, bit-identical to an uninterrupted run on the same CPU.

    Returns:
        One row per epoch: training loss, validation metrics, and whether it is the best so far.
        ``attrs`` has ``seconds``, ``steps``, ``best_epoch`` and ``device``.

    Raises:
        ValueError: data, model and config do not match, or the checkpoint is of another run.
        OSError: an image file cannot be decoded; all are checked before the first step.
        FloatingPointError: the loss or a weight is not finite; the best weights are restored.

    Example:
        >>> from ordlib import CoOp, load_clip, load_data
        >>> data = load_data("dating", "val", num_images=60)
        >>> model = CoOp(load_clip("pico-clip", "cpu"), data.task)
        >>> train, val = data.subset(range(40)), data.subset(range(40, 60))
        >>> history = fit(model, train, val, TrainingConfig(epochs=2), progress=False)
        >>> history["epoch"].tolist(), history.attrs["steps"]
        ([1, 2], 2)
    """
    config = config or TrainingConfig()
    _check_config(model, config)
    splits = [[data] if isinstance(data, ImageData) else data for data in (train, val)]
    for data in chain(*splits):
        data.check_files()
    warn_about_validation(*splits)
    folder = None if checkpoint_dir is None else Path(checkpoint_dir)
    if config.prompt_epochs:
        return _fit_two_stages(model, train, val, config, folder, progress)
    trainer_class = RankingTrainer if isinstance(model, RankingAdapter) else OrdinalTrainer
    trainer = trainer_class(model, train, val, config, folder and folder / CHECKPOINT_NAME)
    return trainer.train(progress)


def delete_checkpoints(folder: str | os.PathLike) -> None:
    """Delete the training checkpoints of a folder."""
    for name in (CHECKPOINT_NAME, STAGE1_CHECKPOINT_NAME):
        (Path(folder) / name).unlink(missing_ok=True)


def _fit_two_stages(
    model: OrdinalMethod,
    train: ImageData,
    val: ImageData,
    config: TrainingConfig,
    folder: Path | None,
    progress: bool,
) -> pd.DataFrame:
    """Train all but the image encoder on cached features, then it and CLIP-Adapter only."""
    stage1_model, path = model.with_frozen_encoder(), folder and folder / STAGE1_CHECKPOINT_NAME
    stage_config = _stage_config(config, config.prompt_epochs, {"image_encoder"})
    trainer = OrdinalTrainer(stage1_model, train, val, stage_config, path)
    try:
        history = trainer.train(progress)
    finally:
        model.copy_trainable_from(stage1_model)
    # The second stage has to improve on the best metric of the first.
    best, path = trainer.state.best_metric, folder and folder / CHECKPOINT_NAME
    state = TrainerState(best_epoch=None if best is None else 0, best_metric=best)
    stage_config = _stage_config(config, config.epochs - config.prompt_epochs, {"prompts", "head"})
    model.set_frozen_groups("prompts", "head")
    try:
        trainer = OrdinalTrainer(model, train, val, stage_config, path, state)
        return _concat_histories(history, trainer.train(progress))
    finally:
        model.set_frozen_groups()  # unfreeze all


def _stage_config(config: TrainingConfig, epochs: int, frozen: set[str]) -> TrainingConfig:
    factors = {name: f for name, f in config.lr_multipliers.items() if name not in frozen}
    return replace(config, epochs=epochs, prompt_epochs=0, lr_multipliers=factors)


def _concat_histories(stage1: pd.DataFrame, stage2: pd.DataFrame) -> pd.DataFrame:
    attrs1, attrs2, best2 = stage1.attrs, stage2.attrs, stage2.attrs["best_epoch"]
    stage2_shifted = stage2.assign(epoch=stage2["epoch"] + len(stage1))
    history = pd.concat([stage1, stage2_shifted], ignore_index=True)
    history.attrs = attrs2 | {name: attrs1[name] + attrs2[name] for name in ("seconds", "steps")}
    history.attrs["best_epoch"] = len(stage1) + best2 if best2 else attrs1["best_epoch"]
    return history


def _check_config(model: OrdinalMethod | RankingAdapter, config: TrainingConfig) -> None:
    groups = [*model.parameter_groups()]
    for name in config.lr_multipliers:
        if name not in groups:
            raise ValueError(f"lr_multipliers: no group {name!r} is trained here; use {groups}")
    if config.prompt_epochs and "image_encoder" not in groups:
        raise ValueError(
            f"prompt_epochs = {config.prompt_epochs}: two-stage training requires a trainable "
            "image encoder; set prompt_epochs=0, or image_encoder='lora' or 'full'"
        )

"""`fit`: train a method, in one stage or in two."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ..data import ImageData
from ..methods.base import OrdinalMethod
from ..methods.ranking_adapter.model import RankingAdapter
from .config import TrainingConfig
from .ranking_trainer import RankingTrainer
from .trainer import OrdinalTrainer, TrainerState

CHECKPOINT_NAME = "unfinished.safetensors"
STAGE1_CHECKPOINT_NAME = "unfinished-words.safetensors"


def fit(
    model: OrdinalMethod | RankingAdapter,
    train: ImageData | Sequence[ImageData],
    val: ImageData | Sequence[ImageData],
    config: TrainingConfig | None = None,
    *,
    checkpoint_dir: str | os.PathLike | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train a method, and leave it in the state that was best on val.

    Works on one device, or under ``accelerate launch`` on several processes, which share every
    batch: losses see the whole of it, so the result is that of one process up to rounding.

    Args:
        model: trained in place.
        train, val: labelled pictures of the model's task; for a RankingAdapter of several tasks, a
            set of each.
        config: epochs, rates, metric; None takes the defaults of :class:`TrainingConfig`.
        checkpoint_dir: keeps the unfinished run after each epoch. The same call goes on from there, and
            ends bit-equal (on a CPU) to a run that was never interrupted. None keeps nothing.
        progress: whether to show progress.

    Returns:
        One row an epoch: loss on train, all metrics on val, and whether it is the best so far.
        ``attrs`` holds ``seconds``, ``steps``, ``best_epoch`` and ``device``. Of two stages the
        second one's epochs count on.

    Raises:
        ValueError: pictures of another task, nothing to train, an unknown group in
            ``config.lr_multipliers``, a first stage for a tower that is frozen, a batch that the processes
            cannot share, or a folder with another run.
        FloatingPointError: the loss is no longer a number (says where); the model is back in the
            best state so far.

    Example:
        >>> from ordlib import CoOp, load_clip, load_data
        >>> data = load_data("dating", "val", num_images=60)
        >>> model = CoOp(load_clip("pico-clip", "cpu"), data.task)
        >>> history = fit(model, data, data, TrainingConfig(epochs=2), progress=False)
        >>> history["epoch"].tolist(), history.attrs["steps"]
        ([1, 2], 2)
    """
    config = config or TrainingConfig()
    _check_config(model, config)
    if config.prompt_epochs:
        return _fit_in_stages(model, train, val, config, checkpoint_dir, progress)
    kind = RankingTrainer if isinstance(model, RankingAdapter) else OrdinalTrainer
    run = kind(model, train, val, config, _checkpoint_path(checkpoint_dir, CHECKPOINT_NAME))
    run.train(progress)
    return run.history()


def delete_checkpoints(folder: str | os.PathLike) -> None:
    """Delete what is kept in a folder of an unfinished run."""
    for name in (CHECKPOINT_NAME, STAGE1_CHECKPOINT_NAME):
        (Path(folder) / name).unlink(missing_ok=True)


def _fit_in_stages(
    model: OrdinalMethod,
    train: ImageData,
    val: ImageData,
    config: TrainingConfig,
    checkpoint_dir: str | os.PathLike | None,
    progress: bool,
) -> pd.DataFrame:
    """Train words on cached features, then the picture side with the words held."""
    words = model.with_frozen_encoder()
    early = _stage(config, config.prompt_epochs, {"image_encoder"})
    first = OrdinalTrainer(
        words, train, val, early, _checkpoint_path(checkpoint_dir, STAGE1_CHECKPOINT_NAME)
    )
    try:
        first.train(progress)
    finally:
        model.copy_trainable_from(words)
    model.freeze("prompts", "head")
    try:
        reached = first.state.best
        # What the first stage reached on val is what the second has to beat.
        start = TrainerState(best_epoch=None if reached is None else 0, best=reached)
        last = _stage(config, config.epochs - config.prompt_epochs, {"prompts", "head"})
        second = OrdinalTrainer(
            model, train, val, last, _checkpoint_path(checkpoint_dir, CHECKPOINT_NAME), start
        )
        second.train(progress)
    finally:
        model.freeze()
    return _join(first.history(), second.history())


def _stage(config: TrainingConfig, epochs: int, without: set[str]) -> TrainingConfig:
    rates = {name: rate for name, rate in config.lr_multipliers.items() if name not in without}
    return replace(config, epochs=epochs, prompt_epochs=0, lr_multipliers=rates)


def _join(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    one, two = first.attrs, second.attrs
    table = pd.concat([first, second.assign(epoch=second["epoch"] + len(first))])
    table = table.reset_index(drop=True)
    best = len(first) + two["best_epoch"] if two["best_epoch"] else one["best_epoch"]
    sums = {name: one[name] + two[name] for name in ("seconds", "steps")}
    table.attrs.update(two | sums | {"best_epoch": best})
    return table


def _checkpoint_path(checkpoint_dir: str | os.PathLike | None, name: str) -> Path | None:
    return None if checkpoint_dir is None else Path(checkpoint_dir) / name


def _check_config(model: OrdinalMethod, config: TrainingConfig) -> None:
    groups = model.parameter_groups()
    for name in config.lr_multipliers:
        if name not in groups:
            raise ValueError(
                f"lr_multipliers: no group {name!r} is trained here; there are {[*groups]}"
            )
    if config.prompt_epochs and "image_encoder" not in groups:
        raise ValueError(
            f"prompt_epochs = {config.prompt_epochs}: the picture tower is frozen, so there is no second "
            "stage; say prompt_epochs=0, or image_encoder='lora'"
        )

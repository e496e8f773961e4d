"""`fit`: train a method, in one stage or in two."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ..data import ImageData
from ..methods.base import Method
from ..methods.ranking_adapter.model import RankingAdapter
from .config import TrainingPlan
from .ranking_trainer import RankingTrainer
from .trainer import OrdinalTrainer, Progress

STATE = "unfinished.safetensors"
FIRST_STATE = "unfinished-words.safetensors"


def fit(
    model: Method | RankingAdapter,
    train: ImageData | Sequence[ImageData],
    val: ImageData | Sequence[ImageData],
    plan: TrainingPlan | None = None,
    *,
    folder: str | os.PathLike | None = None,
    bar: bool = True,
) -> pd.DataFrame:
    """Train a method, and leave it in the state that was best on val.

    Works on one device, or under ``accelerate launch`` on several processes, which share every
    batch: losses see the whole of it, so the result is that of one process up to rounding.

    Args:
        model: trained in place.
        train, val: labelled pictures of the model's task; for a RankingAdapter of several tasks, a
            set of each.
        plan: epochs, rates, metric; None takes the defaults of :class:`TrainingPlan`.
        folder: keeps the unfinished run after each epoch. The same call goes on from there, and
            ends bit-equal (on a CPU) to a run that was never interrupted. None keeps nothing.
        bar: whether to show progress.

    Returns:
        One row an epoch: loss on train, all metrics on val, and whether it is the best so far.
        ``attrs`` holds ``seconds``, ``steps``, ``best_epoch`` and ``device``. Of two stages the
        second one's epochs count on.

    Raises:
        ValueError: pictures of another task, nothing to train, an unknown group in
            ``plan.rates``, a first stage for a tower that is frozen, a batch that the processes
            cannot share, or a folder with another run.
        FloatingPointError: the loss is no longer a number (says where); the model is back in the
            best state so far.

    Example:
        >>> from ordlib import CoOp, load_clip, load_data
        >>> data = load_data("dating", "val", size=60)
        >>> model = CoOp(load_clip("pico-clip", "cpu"), data.task)
        >>> history = fit(model, data, data, TrainingPlan(epochs=2), bar=False)
        >>> history["epoch"].tolist(), history.attrs["steps"]
        ([1, 2], 2)
    """
    plan = plan or TrainingPlan()
    _check_plan(model, plan)
    if plan.words_first:
        return _fit_in_stages(model, train, val, plan, folder, bar)
    kind = RankingTrainer if isinstance(model, RankingAdapter) else OrdinalTrainer
    run = kind(model, train, val, plan, _state(folder, STATE))
    run.train(bar)
    return run.history()


def forget(folder: str | os.PathLike) -> None:
    """Delete what is kept in a folder of an unfinished run."""
    for name in (STATE, FIRST_STATE):
        (Path(folder) / name).unlink(missing_ok=True)


def _fit_in_stages(
    model: Method,
    train: ImageData,
    val: ImageData,
    plan: TrainingPlan,
    folder: str | os.PathLike | None,
    bar: bool,
) -> pd.DataFrame:
    """Train words on cached features, then the picture side with the words held."""
    words = model.without_tower()
    early = _stage(plan, plan.words_first, "tower")
    first = OrdinalTrainer(words, train, val, early, _state(folder, FIRST_STATE))
    try:
        first.train(bar)
    finally:
        model.take(words)
    model.hold("rest")
    try:
        reached = first.progress.best
        # What the first stage reached on val is what the second has to beat.
        start = Progress(best_epoch=None if reached is None else 0, best=reached)
        last = _stage(plan, plan.epochs - plan.words_first, "rest")
        second = OrdinalTrainer(model, train, val, last, _state(folder, STATE), start)
        second.train(bar)
    finally:
        model.hold()
    return _join(first.history(), second.history())


def _stage(plan: TrainingPlan, epochs: int, without: str) -> TrainingPlan:
    rates = {name: rate for name, rate in plan.rates.items() if name != without}
    return replace(plan, epochs=epochs, words_first=0, rates=rates)


def _join(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    one, two = first.attrs, second.attrs
    table = pd.concat([first, second.assign(epoch=second["epoch"] + len(first))])
    table = table.reset_index(drop=True)
    best = len(first) + two["best_epoch"] if two["best_epoch"] else one["best_epoch"]
    sums = {name: one[name] + two[name] for name in ("seconds", "steps")}
    table.attrs.update(two | sums | {"best_epoch": best})
    return table


def _state(folder: str | os.PathLike | None, name: str) -> Path | None:
    return None if folder is None else Path(folder) / name


def _check_plan(model: Method, plan: TrainingPlan) -> None:
    groups = model.parameter_groups()
    for name in plan.rates:
        if name not in groups:
            raise ValueError(f"rates: no group {name!r} is trained here; there are {[*groups]}")
    if plan.words_first and "tower" not in groups:
        raise ValueError(
            f"words_first = {plan.words_first}: the picture tower is frozen, so there is no second "
            "stage; say words_first=0, or tower='lora'"
        )

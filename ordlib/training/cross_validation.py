"""Repeated group cross-validation with confidence intervals, and out-of-fold predictions."""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from ..data import ImageData
from ..data.splits import split_indices
from ..methods.base import OrdinalMethod
from ..methods.predictor import Predictor
from ..methods.ranking_adapter.model import RankingAdapter
from ..metrics import bootstrap, spearman, two_way_bootstrap
from ..metrics.prediction import Prediction
from ..utils.device import preserve_rng
from ..utils.validation import check_choice, check_count
from .config import TrainingConfig
from .fit import fit
from .held_out import hold_out_val
from .inputs import check_config, check_tasks, to_config


def cross_validate(
    models: Mapping[str, Callable[[int], Predictor]],
    data: ImageData,
    config: TrainingConfig | Mapping[str, object] | None = None,
    *,
    n_splits: int = 5,
    n_repeats: int = 1,
    reference: str | None = None,
    seed: int = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """Compare models by (repeated) k-fold cross-validation over whole groups, stratified by rank.

    Each model is trained on all folds but one, a fifth of which selects its best epoch, and
    predicts the fold that is left out. The intervals are two-way bootstraps over repeats and
    groups (or images).

    Args:
        models: by name, a function that maps a seed to an untrained model, such as
            ``lambda seed: NumCLIP(clip, task, seed=seed)`` or ``lambda seed: LinearProbe(clip,
            task)``.
        data: all labelled images; with ``groups``, no group is in two folds.
        config: hyperparameters, as for :func:`~ordlib.fit`; its seed is that of the repeat.
        n_splits: number of folds.
        n_repeats: number of repeats with other folds and seeds.
        reference: name of a model; ``mae_diff`` is the MAE of each other model minus its MAE, and
            below 0 if the other model is better.
        seed: of the first repeat; the others count up.

    Returns:
        One row per model: ``mae``, ``accuracy`` and ``spearman`` with 95 % intervals (``_low`` and
        ``_high``), ``mae_diff`` with its paired interval, and ``seconds`` of training per fold.

    Raises:
        TypeError: a model is not given as a function, or that returns no model.
        ValueError: unknown ``reference``, fewer groups or images than folds, a model or config that
            does not go with the data, or a function that returns one model twice: trained on one
            fold, it would have seen those that are left out later.

    Example:
        >>> from ordlib import LinearProbe, ZeroShot, load_data
        >>> data = load_data("dating", "val", num_images=60)
        >>> models = {"zero-shot": lambda seed: ZeroShot("pico-clip", "dating"),
        ...           "ridge": lambda seed: LinearProbe("pico-clip", "dating")}
        >>> table = cross_validate(models, data, n_splits=3, reference="ridge", progress=False)
        >>> bool(table.loc["ridge", "mae"] < table.loc["zero-shot", "mae"])
        True
    """
    if not isinstance(models, Mapping) or not models:
        raise TypeError(f"models = {models!r:.80}: must be a dict of functions by name")
    check_choice("reference", reference, [*models, None])
    _check_folds(data, n_splits, seed)
    check_count("n_repeats", n_repeats)
    for name, model in models.items():  # All of them, before the first is trained for hours.
        _check_model(f"models[{name!r}]", model, data, config, seed)
    predictions = {name: np.empty((n_repeats, len(data))) for name in models}
    labels = {name: np.empty((n_repeats, len(data))) for name in models}
    seconds = dict.fromkeys(models, 0.0)
    work = [(name, r) for name in models for r in range(n_repeats)]
    bar = tqdm(
        total=len(work) * n_splits, desc="cross-validation", disable=not progress, leave=False
    )
    with bar, _warnings_once():
        for name, r in work:
            for fold in _fit_folds(models[name], data, config, n_splits, seed + r):
                predictions[name][r, fold.rows] = fold.prediction.value
                labels[name][r, fold.rows] = fold.prediction.label
                seconds[name] += fold.seconds
                bar.update()
    errors = {name: np.abs(data.values - values) for name, values in predictions.items()}
    rows = {}
    for name in models:
        hits = data.task.rank_index(labels[name]) == data.ranks
        columns = _columns("mae", two_way_bootstrap(errors[name], groups=data.groups))
        columns |= _columns("accuracy", two_way_bootstrap(hits, groups=data.groups))
        columns |= _columns("spearman", _spearman(data, predictions[name]))
        if reference not in (None, name):
            difference = two_way_bootstrap(errors[name], errors[reference], groups=data.groups)
            columns |= _columns("mae_diff", difference)
        rows[name] = columns | {"seconds": seconds[name] / (n_splits * n_repeats)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def cross_val_predict(
    model: Callable[[int], Predictor],
    data: ImageData,
    config: TrainingConfig | Mapping[str, object] | None = None,
    *,
    n_splits: int = 5,
    seed: int = 0,
) -> Prediction:
    """Out-of-fold predictions: of each image, by a model that was trained without its fold.

    The folds are those of :func:`cross_validate`. The errors of such predictions show which images
    are hard, and which labels may be wrong.

    Args:
        model: maps a seed to an untrained model.
        data, config, n_splits, seed: as for :func:`cross_validate`.

    Returns:
        The predictions of the N images, in their order.

    Raises:
        TypeError, ValueError: as :func:`cross_validate`.

    Example:
        >>> from ordlib import LinearProbe, load_data
        >>> data = load_data("dating", "val", num_images=60)
        >>> make_probe = lambda seed: LinearProbe("pico-clip", "dating")
        >>> cross_val_predict(make_probe, data, n_splits=3).value.shape
        (60,)
    """
    _check_folds(data, n_splits, seed)
    _check_model("model", model, data, config, seed)
    with _warnings_once():
        folds = list(_fit_folds(model, data, config, n_splits, seed))
    order = np.argsort(np.concatenate([fold.rows for fold in folds]))

    def join(parts: list[np.ndarray | None]) -> np.ndarray | None:
        return None if parts[0] is None else np.concatenate(parts)[order]

    fields = zip(*((p.value, p.label, p.probabilities) for _, p, _ in folds), strict=True)
    return Prediction(*map(join, fields))


class _Fold(NamedTuple):
    rows: np.ndarray  # indices of the images that were left out
    prediction: Prediction  # of these images
    seconds: float  # of the training


def _fit_folds(
    make: Callable[[int], Predictor], data: ImageData, config: object, n_splits: int, seed: int
) -> Iterator[_Fold]:
    fractions = {str(fold): 1 / n_splits for fold in range(n_splits)}
    for rows in split_indices(data.ranks, fractions, data.groups, seed).values():
        start = time.perf_counter()
        train = data.subset(np.setdiff1d(np.arange(len(data)), rows), "train")
        model = _trained(make(seed), train, config, seed)
        seconds = time.perf_counter() - start
        prediction = model.predict(data.subset(rows, "test"))
        if not isinstance(prediction, Prediction) or len(prediction) != len(rows):
            raise TypeError(
                f"{type(model).__name__}.predict returned {prediction!r:.80}: must be a Prediction "
                f"of {len(rows)} images"
            )
        yield _Fold(rows, prediction, seconds)


@contextmanager
def _warnings_once() -> Iterator[None]:
    """Repeat no warning that several folds give."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for message, category in {(str(w.message), w.category): None for w in caught}:
        warnings.warn(message, category, stacklevel=4)


def _check_model(name: str, make: object, data: ImageData, config: object, seed: int) -> None:
    rule = (
        "must be a function that maps a seed to an untrained model, such as lambda seed: "
        "NumCLIP(clip, task, seed=seed)"
    )
    if isinstance(make, Predictor) or not callable(make):
        raise TypeError(f"{name}: {rule}")
    config = to_config(config)
    with preserve_rng(torch.device("cpu")):
        try:
            model = make(seed)
        except TypeError as error:
            raise TypeError(f"{name}: {error}; it {rule}") from error
        if isinstance(model, type) or not hasattr(model, "predict"):
            raise TypeError(f"{name}: returned {model!r:.80}, which is no model; it {rule}")
        if not isinstance(model, OrdinalMethod | RankingAdapter):
            return
        tasks = [*model.tasks] if isinstance(model, RankingAdapter) else [model.task.name]
        if tasks != [data.task.name]:
            raise ValueError(
                f"{name}: returned a model of {', '.join(tasks)}; the data belong to task "
                f"{data.task.name!r}"
            )
        check_tasks(model, all=[data])
        check_config(model, config, [data])
        if model is make(seed):
            raise ValueError(f"{name}: returns the same model each time; it {rule}")
    if getattr(model, "ood_detector", None) or getattr(model, "ood_detectors", None):
        warnings.warn(
            f"{name}: returns a trained model; if it was trained on any of these images, its "
            "errors are too small",
            stacklevel=3,
        )


def _check_folds(data: object, n_splits: object, seed: object) -> None:
    if not isinstance(data, ImageData):
        raise TypeError(f"data = {data!r:.80}: must be an ImageData, as load_folder returns")
    check_count("n_splits", n_splits, 2)
    check_count("seed", seed, 0)
    kind, count = "images", len(data)
    if data.groups is not None:
        kind, count = "groups", len(np.unique(data.groups))
    if n_splits > count:
        raise ValueError(f"n_splits = {n_splits}: {count} {kind} are too few for {n_splits} splits")


def _trained(model: Predictor, train: ImageData, config: object, seed: int) -> Predictor:
    if not isinstance(model, OrdinalMethod | RankingAdapter):
        # A probe is fitted at once, and zero-shot CLIP not at all.
        return model.fit(train) if hasattr(model, "fit") else model
    config = _with_seed(config, seed)
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        kept, val = hold_out_val([train], seed)
        fit(model, kept, val, config, calibration=None, progress=False)
    return model


def _with_seed(config: TrainingConfig | Mapping[str, object] | None, seed: int) -> dict:
    fields = vars(config) if isinstance(config, TrainingConfig) else dict(config or {})
    return fields | {"seed": seed}


def _columns(name: str, interval: tuple) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), interval, strict=True))


def _spearman(data: ImageData, values: np.ndarray) -> tuple:
    """Mean over the repeats of Spearman's correlation, with a bootstrap over groups or images."""

    def mean_correlation(y_true: np.ndarray, y_pred: np.ndarray) -> float:
        return float(np.mean([spearman(y_true, repeat) for repeat in y_pred.T]))

    return bootstrap(mean_correlation, data.values, values.T, groups=data.groups)

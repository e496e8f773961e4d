"""Repeated group cross-validation of several models, with confidence intervals."""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from ..data import ImageData
from ..data.splits import split_indices
from ..methods.base import OrdinalMethod
from ..methods.predictor import Predictor
from ..methods.ranking_adapter.model import RankingAdapter
from ..metrics import bootstrap, spearman, two_way_bootstrap
from .config import TrainingConfig
from .fit import fit
from .held_out import hold_out_val


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
        TypeError: a model is not given as a function.
        ValueError: unknown ``reference``, or fewer groups or images than folds.

    Example:
        >>> from ordlib import LinearProbe, ZeroShot, load_data
        >>> data = load_data("dating", "val", num_images=60)
        >>> models = {"zero-shot": lambda seed: ZeroShot("pico-clip", "dating"),
        ...           "ridge": lambda seed: LinearProbe("pico-clip", "dating")}
        >>> table = cross_validate(models, data, n_splits=3, reference="ridge", progress=False)
        >>> bool(table.loc["ridge", "mae"] < table.loc["zero-shot", "mae"])
        True
    """
    if reference is not None and reference not in models:
        raise ValueError(f"reference = {reference!r}: must be one of {', '.join(models)}")
    for name, make in models.items():
        if isinstance(make, Predictor) or not callable(make):
            raise TypeError(
                f"models[{name!r}]: must be a function that maps a seed to an untrained model, "
                "such as lambda seed: NumCLIP(clip, task, seed=seed)"
            )
    for name in ("n_splits", "n_repeats"):
        if (value := locals()[name]) < (minimum := 2 if name == "n_splits" else 1):
            raise ValueError(f"{name} = {value}: must be {minimum} or more")
    predictions = {name: np.empty((n_repeats, len(data))) for name in models}
    labels = {name: np.empty((n_repeats, len(data))) for name in models}
    seconds = dict.fromkeys(models, 0.0)
    rounds = [(r, fold) for r in range(n_repeats) for fold in _folds(data, n_splits, seed + r)]
    work = [(name, r, fold) for name in models for r, fold in rounds]
    for name, r, test_rows in tqdm(work, "cross-validation", disable=not progress, leave=False):
        start = time.perf_counter()
        train = data.subset(np.setdiff1d(np.arange(len(data)), test_rows), "train")
        model = _trained(models[name](seed + r), train, config, seed + r)
        seconds[name] += time.perf_counter() - start
        prediction = model.predict(data.subset(test_rows, "test"))
        predictions[name][r, test_rows] = prediction.value
        labels[name][r, test_rows] = prediction.label
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
        rows[name] = columns | {"seconds": seconds[name] / len(rounds)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def _folds(data: ImageData, n_splits: int, seed: int) -> Iterator[np.ndarray]:
    fractions = {str(fold): 1 / n_splits for fold in range(n_splits)}
    yield from split_indices(data.ranks, fractions, data.groups, seed).values()


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

"""Run a published protocol: all folds and categories of a data set, with one method."""

import inspect
import json
import os
import platform
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ..clip import ClipBackbone, load_clip
from ..data import ImageData
from ..data.published import load_published
from ..data.published.dataset_folder import DatasetFolder
from ..data.published.load import PublishedSplits
from ..methods import find_method
from ..methods.linear_probe import LinearProbe
from ..methods.zero_shot import ZeroShot
from ..metrics import bootstrap
from ..metrics.ordinal import compute_metrics, epsilon_error, metrics_by
from ..training import TrainingConfig
from ..training.fit import fit
from ..training.held_out import hold_out_val
from ..utils.cache import atomic_write, content_hash
from ..utils.device import device_description
from ..utils.output import write_error
from ..utils.validation import check_choice
from .experiment import few_shot_subset
from .intervals import Scores, cached_rows
from .results import round_or_none
from .train import METHODS as TRAINED_METHODS
from .train import check_options
from .training_draws import LABEL_DRAWS

UNTRAINED = {"zero-shot": ZeroShot, "probe": LinearProbe}
METHODS = TRAINED_METHODS | {"ranking-adapter": find_method("RankingAdapter")}
CHOICES = (*UNTRAINED, *METHODS)
TAIL_AGE = 50  # OrdinalCLIP's long-tail test: images of this age and above
REPORTED = ("mae", "accuracy", "pearson", "spearman")


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """What is run: a data set, a protocol and a method.

    Attributes:
        dataset, protocol, label: see :func:`ordlib.load_published`.
        root: folder of the data set.
        method: one of ``CHOICES``.
        backbone, resize: see :func:`ordlib.load_clip`.
        categories: a model for each category, such as of "aesthetics"; else one for all.
        folds: numbers of the folds; None runs all.
        skip_missing: see :func:`ordlib.load_published`.
        shots: labels per rank of the training set, which also select the best epoch, as in the
            table ``few_shot``: a validation split would be many more labels. None takes all.
        draw: distortion of the training labels, one of ``LABEL_DRAWS``; None leaves them.
        repeats: number of seeds of each fold, which also choose the few shots and the draw.
        config, options: training and method hyperparameters.
    """

    dataset: str
    root: Path
    method: str
    backbone: str = "pico-clip"
    resize: str = "crop"
    protocol: str | None = None
    label: str | None = None
    folds: Sequence[int] | None = None
    skip_missing: bool = False
    shots: int | None = None
    draw: str | None = None
    repeats: int = 1
    config: TrainingConfig = field(default_factory=TrainingConfig)
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """One model of a reproduction: its fold, category and seed."""

    fold: int | None
    category: str | None
    seed: int


def reproduce(
    setting: Reproduction, output: str | os.PathLike, device: str = "auto",
    progress: Callable[[str], None] = print,
) -> dict:  # fmt: skip
    """Run a published protocol, and write ``results.json`` and ``report.md`` to a folder.

    Each model that is trained and tested is stored there as it is done: after an interruption, the
    same call goes on with the next one. Where no validation split is published, a fifth of the
    training images (whole groups) selects the best epoch.

    Args:
        setting: what is run.
        output: folder of the results.
        device: "auto", "cuda", "mps" or "cpu".
        progress: receives a line for each model.

    Returns:
        The content of ``results.json``: the setting, a row for each model, the mean and standard
        deviation over them, and 95 % bootstrap intervals over the test images (groups).

    Raises:
        ValueError: unknown method, draw or option, an invalid option of `load_published`, or a
            folder with the results of another setting: other folds and repeats may be added.
        FileNotFoundError: the data set is not complete.
        OSError: the folder cannot be written.
    """
    from .reproduction_report import write_report

    check_choice("method", setting.method, CHOICES)
    check_choice("draw", setting.draw, (*LABEL_DRAWS, None))
    if setting.shots is not None and setting.shots < 1:
        raise ValueError(f"shots = {setting.shots}: must be 1 or more, or None")
    _check_options(setting)
    output = Path(output)
    _check_output(setting, output)
    first = _load(setting, Run(setting.folds[0] if setting.folds else None, None, 0))
    progress(str(first))
    runs = _runs(setting, first)
    clip = load_clip(setting.backbone, device, resize=setting.resize)
    rows, errors, groups = [], [], []
    for number, run in enumerate(runs, start=1):
        with warnings.catch_warnings(action="ignore"):  # The first loading has warned.
            splits = _load(setting, run)
        path = output / "models" / f"{_key(setting, run, clip, splits)}.json"
        (row,), (scores,) = cached_rows(path, partial(_train_and_test, setting, run, clip, splits))
        rows.append(row)
        errors.append(scores["mae"])
        groups.append(splits["test"].groups)
        progress(f"{number} of {len(runs)}: {_line(row)}")
    results = {
        "setting": _as_json(setting, first, clip),
        "models": rows,
        "summary": _summary(rows),
        "intervals": {"mae": _interval(errors, groups)},
    }
    with atomic_write(output / "results.json") as temporary:
        temporary.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    write_report(results, output / "report.md")
    return results


def _check_output(setting: Reproduction, output: Path) -> None:
    """Refuse to replace the results of another setting, and what cannot be written."""
    for name in ("results.json", "report.md", "models"):
        if error := write_error(output / name, is_folder=name == "models"):
            raise OSError(f"{output / name} {error}; move it, or choose another folder")
    path = output / "results.json"
    if not path.is_file():
        return
    try:
        earlier = json.loads(path.read_text("utf-8"))["setting"]
        own = _setting_as_json(setting)
        # What is None in the setting is chosen by the data set.
        names = own.keys() - {"root", "folds", "repeats"}
        names -= {name for name in ("protocol", "label") if own[name] is None}
        changed = [name for name in own if name in names and earlier[name] != own[name]]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: no results of a reproduction ({error!r}); move it") from error
    if changed:
        name = changed[0]
        raise ValueError(
            f"{path}: has the results of {name} {earlier[name]!r}; choose another folder for "
            f"{own[name]!r}"
        )


def _check_options(setting: Reproduction) -> None:
    """Refuse options and training images for methods that take none."""
    method, options = setting.method, setting.options
    if method in TRAINED_METHODS:
        check_options(method, options)
    elif method in UNTRAINED:
        _, _, *names = inspect.signature(UNTRAINED[method]).parameters
        for name, value in options.items():
            if name not in names:
                problem = f"unknown option of {method}; available options: {', '.join(names)}"
                raise TypeError(f"{name} = {value!r}: {problem}")
    for name in ("shots", "draw"):
        if method == "zero-shot" and getattr(setting, name) is not None:
            raise ValueError(f"{name} = {getattr(setting, name)!r}: zero-shot needs no training")


def _runs(setting: Reproduction, first: PublishedSplits) -> list[Run]:
    """All models, after a look whether the lists of all folds are there."""
    if setting.folds and not first.num_folds:
        raise ValueError(f"protocol {first.protocol.name!r} has a single split: give no fold")
    folds = dict.fromkeys(setting.folds or range(first.num_folds))
    for fold in folds:
        check_choice("fold", fold, range(first.num_folds))
    folder = DatasetFolder(setting.root)
    missing = [k for k in folds if not folder.has_lists(first.protocol.list_names(k))]
    if missing:
        there = [k for k in folds if k not in missing]
        raise FileNotFoundError(
            f"protocol {first.protocol.name!r}: the lists of fold {missing[0]} are missing "
            f"({', '.join(first.protocol.list_names(missing[0]))}); those of {len(there)} folds "
            f"are there: {' '.join(f'--fold {k}' for k in there)}"
        )
    return [
        Run(fold, category, seed)
        for category in first.dataset.categories or (None,)
        for fold in (folds if first.num_folds else (None,))
        for seed in range(setting.repeats)
    ]


def _load(setting: Reproduction, run: Run) -> PublishedSplits:
    return load_published(
        setting.dataset, setting.root, protocol=setting.protocol, label=setting.label,
        fold=run.fold, category=run.category, skip_missing=setting.skip_missing,
    )  # fmt: skip


def _key(setting: Reproduction, run: Run, clip: ClipBackbone, splits: PublishedSplits) -> str:
    """Identifies a trained model; the data set may have moved."""
    unplaced = replace(setting, root=Path(), folds=None, repeats=1)
    return content_hash(
        unplaced,
        run,
        clip.weights_hash,
        clip.settings_hash,
        *(data.fingerprint for data in splits.values()),
    )


def _train_and_test(
    setting: Reproduction, run: Run, clip: ClipBackbone, splits: PublishedSplits
) -> tuple[list[dict], list[Scores]]:
    train, test = splits["train"], splits["test"]
    val = splits.get("val")
    if setting.shots is not None:
        train = val = few_shot_subset(train, setting.shots, run.seed)
    elif val is None and setting.method not in UNTRAINED:
        with warnings.catch_warnings(action="ignore", category=UserWarning):
            (train,), (val,) = hold_out_val([train], run.seed)
    if setting.draw is not None:
        train = LABEL_DRAWS[setting.draw](train, run.seed)
    start = time.perf_counter()
    model = _train(setting, clip, train, val, run.seed)
    seconds = time.perf_counter() - start
    prediction = model.predict(test)
    row = vars(run) | {"num_train": len(train), "num_test": len(test)}
    row |= _metrics(test, prediction)
    row |= {"seconds": round(seconds, 1), "device": device_description(clip.device)}
    return [row], [{"mae": np.abs(test.values - prediction.value)}]


def _train(setting: Reproduction, clip: ClipBackbone, train: ImageData, val: object, seed: int):
    if setting.method == "zero-shot":
        return ZeroShot(clip, train.task, **setting.options)
    if setting.method == "probe":
        return LinearProbe(clip, train.task, **setting.options).fit(train)
    model = METHODS[setting.method](clip, train.task, seed=seed, **setting.options)
    config = replace(setting.config, seed=seed)
    with warnings.catch_warnings():
        # Intended with few labels, see `Reproduction`.
        warnings.filterwarnings("ignore", message="all validation images")
        fit(model, [train], [val], config, calibration=None, progress=False)
    return model


def _metrics(test: ImageData, prediction) -> dict[str, float | None]:
    """Metrics of the test images, and the protocols' own where the data has what they need."""
    metrics = compute_metrics(test.task, test.values, prediction)
    row = {name: round_or_none(metrics[name]) for name in REPORTED}
    if "std" in test.metadata and test.task.unit == "years":
        std = test.metadata["std"].to_numpy(dtype=float)
        row["epsilon_error"] = round_or_none(epsilon_error(test.values, prediction.value, std))
    if "category" in test.metadata and test.metadata["category"].nunique() > 1:
        mean = metrics_by(test.task, test.values, prediction, test.metadata["category"]).loc["mean"]
        row |= {f"{name}_by_category": round_or_none(mean[name]) for name in REPORTED}
    old = test.values >= TAIL_AGE
    if test.task.unit == "years" and 0 < old.sum() < len(test):
        error = np.abs(test.values - prediction.value)[old].mean()
        row[f"mae_from_{TAIL_AGE}"] = round_or_none(error)
    return row


def _summary(rows: Sequence[Mapping]) -> dict[str, dict[str, float]]:
    """Mean, standard deviation and number of models, by metric."""
    names = [name for name in rows[0] if name.startswith((*REPORTED, "epsilon_error"))]
    summary = {}
    for name in names:
        values = np.array([row[name] for row in rows if row.get(name) is not None], dtype=float)
        if len(values):
            std = values.std(ddof=1) if len(values) > 1 else float("nan")
            mean, std = round_or_none(values.mean()), round_or_none(std)
            summary[name] = {"mean": mean, "std": std, "models": len(values)}
    return summary


def _interval(errors: list[np.ndarray], groups: list[np.ndarray | None]) -> dict[str, float]:
    """95 % bootstrap interval of the MAE over all tested images, or groups of them."""
    joined = None if groups[0] is None else np.concatenate(groups)
    interval = bootstrap(np.mean, np.concatenate(errors), groups=joined)
    return {
        name: round_or_none(value) for name, value in zip(interval._fields, interval, strict=True)
    }


def _as_json(setting: Reproduction, first: PublishedSplits, clip: ClipBackbone) -> dict:
    return _setting_as_json(setting) | {
        "protocol": first.protocol.name, "label": first.label,
        "title": first.dataset.title, "splits": first.protocol.splits,
        "description": first.protocol.description, "unit": first["test"].task.unit,
        "device": device_description(clip.device), "python": platform.python_version(),
        "versions": {name: version(name) for name in ("ordlib", "torch", "transformers")},
    }  # fmt: skip


def _setting_as_json(setting: Reproduction) -> dict:
    config = vars(setting.config) | {"lr_multipliers": dict(setting.config.lr_multipliers)}
    options = {name: repr(value) for name, value in setting.options.items()}
    content = vars(setting) | {"root": str(setting.root), "options": options, "config": config}
    return json.loads(json.dumps(content, default=str))


def _line(row: Mapping) -> str:
    where = ", ".join(
        f"{name} {row[name]}" for name in ("category", "fold", "seed") if row[name] is not None
    )
    scores = ", ".join(
        f"{name} {row[name]:.3f}" for name in ("mae", "accuracy") if row[name] is not None
    )
    return f"{where}: {scores} on {row['num_test']} images, {row['seconds']} s"

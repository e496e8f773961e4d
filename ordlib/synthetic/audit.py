"""Shortcut audit of the synthetic tasks: metadata-label correlations and pixel baselines."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..data import ImageData
from ..metrics import compute_metrics, spearman
from ..metrics.prediction import Prediction
from ..tasks import OrdinalTask
from . import SPLIT_SIZES
from .load import load_data
from .pixel_baselines import PixelRidge, PixelTrees

# Limit for every metadata column; in dating and quality tint and exposure are the signal, so
# these tasks have no limit.
MAX_ABS_SPEARMAN = 0.55
LIMITED = ("counting", "ageing")


@dataclass(frozen=True, eq=False)
class Audit:
    """Result of a shortcut audit.

    Attributes:
        task: the task's name.
        label_correlations: see `label_correlations`, on the training split.
        baselines: one row for each baseline and split: its metrics.
    """

    task: str
    label_correlations: pd.DataFrame
    baselines: pd.DataFrame

    @property
    def passed(self) -> bool:
        """Whether all correlations are within ``MAX_ABS_SPEARMAN``, if the task has a limit."""
        worst = self.label_correlations["spearman"].abs().max()
        return self.task not in LIMITED or not worst > MAX_ABS_SPEARMAN

    def __str__(self) -> str:
        verdict = "there is no limit: tint and exposure are the signal"
        if self.task in LIMITED:
            verdict = f"the limit of {MAX_ABS_SPEARMAN} is {'kept' if self.passed else 'BROKEN'}"
        return (
            f"{self.task}: metadata against the label; {verdict}\n"
            f"{self.label_correlations.round(2).to_string()}\n\n"
            f"{self.task}: pixel baselines\n{self.baselines.round(2).to_string()}"
        )


def audit_shortcuts(task: str, side: int = 96, size: int | None = None) -> Audit:
    """Audit a synthetic task for shortcuts.

    Args:
        task: "counting", "dating", "ageing" or "quality".
        side: pixels.
        size: maximum number of images of each split; None takes whole splits.

    Returns:
        The correlations of all recorded numbers, and the metrics of the pixel baselines,
        trained on the training split. Nothing of them is tuned, so test is shown beside val.

    Raises:
        ValueError: no such task.

    Example:
        >>> found = audit_shortcuts("counting", side=64, size=50)
        >>> found.baselines.index.tolist()
        [('training median', 'val'), ('training median', 'test'), ('pixel ridge', 'val'),
         ('pixel ridge', 'test'), ('pixel trees', 'val'), ('pixel trees', 'test')]
    """
    train, val, test = (_first(task, split, side, size) for split in ("train", "val", "test"))
    models = {
        "training median": _Median(train.task),
        "pixel ridge": PixelRidge(train.task),
        "pixel trees": PixelTrees(train.task),
    }
    rows = {}
    for name, model in models.items():
        model.fit(train)
        for data in (val, test):
            rows[name, data.split] = compute_metrics(data.task, data.values, model.predict(data))
    return Audit(
        train.task.name, label_correlations(train), pd.DataFrame.from_dict(rows, orient="index")
    )


def label_correlations(data: ImageData) -> pd.DataFrame:
    """Spearman correlation of each numeric metadata column with the label.

    Args:
        data: images of a synthetic task.

    Returns:
        Column ``spearman`` (-1 to 1, nan for a constant), indexed by quantity, strongest first.

    Example:
        >>> data = load_data("counting", "train", image_size=64, num_images=50)
        >>> label_correlations(data).columns.tolist()
        ['spearman']
    """
    numbers = data.metadata.select_dtypes("number")
    found = {name: spearman(data.values, column) for name, column in numbers.items()}
    table = pd.DataFrame({"spearman": pd.Series(found, dtype=float).rename_axis("quantity")})
    return table.sort_values("spearman", key=np.abs, ascending=False)


def _first(task: str, split: str, side: int, size: int | None) -> ImageData:
    return load_data(task, split, side, min(size or SPLIT_SIZES[split], SPLIT_SIZES[split]))


class _Median:
    """Baseline that predicts the median of the training labels."""

    def __init__(self, task: OrdinalTask) -> None:
        self.task = task

    def fit(self, train: ImageData) -> None:
        self.median = float(np.median(train.values))

    def predict(self, data: ImageData) -> Prediction:
        return self.task.decode_values(np.full(len(data), self.median))

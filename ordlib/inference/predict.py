"""predict_files(): values, labels, intervals and OOD scores of image files."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..data import ImageData
from ..data.image_io import check_bit_depth
from ..metrics.bootstrap import check_confidence_level
from ..metrics.prediction import Prediction
from ..tasks import OrdinalTask
from ..utils.validation import check_batch_size, listed
from .files import FileTable, find_images
from .scoring import FileProcessor

if TYPE_CHECKING:
    from ..methods.predictor import Predictor

COLUMNS = ("value", "label", "probability", "low", "high", "ood_score")


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FilePredictions(FileTable):
    """Predictions for image files.

    Attributes:
        table: one row per image, sorted by ``path``: ``value`` in ``unit``; ``label``, the nearest
            rank; ``probability`` of that rank, calibrated; ``low`` and ``high``, the prediction
            interval; ``ood_score``, above 1 for images unlike the training images. A column that
            the model cannot fill is empty, and ``notes`` says why.
        task: name of the task.
        unit: unit of ``value``, ``low`` and ``high``.
        confidence_level: of the intervals.
        notes: why columns are empty.
    """

    task: str
    unit: str
    confidence_level: float
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Task, number of images, unit and confidence level."""
        images = f"{len(self):,} image{'s'[: len(self) != 1]}"
        has_intervals = self.table["low"].notna().any()
        intervals = f", intervals at {self.confidence_level:g}" if has_intervals else ""
        return f"{self.task}: {images}, in {self.unit}{intervals}"

    @property
    def num_ood(self) -> int:
        """Number of out-of-distribution images."""
        return int((self.table["ood_score"] > 1).sum())

    @property
    def warnings(self) -> list[str]:
        """Out-of-distribution images, empty columns and missing files, one sentence each."""
        warnings = [*self.notes]
        if self.num_ood:
            warnings.insert(
                0,
                f"{self.num_ood:,} of {len(self):,} images (ood_score above 1) are unlike the "
                "training images: do not trust their predictions and intervals.",
            )
        return warnings + super().warnings

    def to_html(self, path: str | os.PathLike) -> None:
        """Write one page with thumbnails that needs no network and sorts by any column."""
        from .page import write_page

        columns = {
            "path": "file", "value": f"value ({self.unit})", "label": "label",
            "probability": "probability", "low": f"low ({self.confidence_level:.0%})",
            "high": f"high ({self.confidence_level:.0%})", "ood_score": "OOD score",
        }  # fmt: skip
        filled = self.table.columns[self.table.notna().any()]
        columns = {name: text for name, text in columns.items() if name in filled}
        title = f"Predictions: {self.task}"
        write_page(self, path, title=title, columns=columns)


def predict_files(
    model: "Predictor",
    paths: str | os.PathLike | Sequence[str | os.PathLike],
    *,
    confidence_level: float = 0.9,
    task: str | None = None,
    bit_depth: int | None = None,
    **options: Any,
) -> FilePredictions:
    """Predict the image files of a folder, or of a list of files and folders.

    Memory is bounded for any number of images. Features are cached on disk, so a second run reads
    them. Files that cannot be read are skipped and listed in the result.

    Args:
        model: a trained method.
        paths: a folder, searched with its subfolders, or a sequence of files and folders.
        confidence_level: of the prediction intervals, between 0 and 1.
        task: for a RankingAdapter of several tasks, the name of one.
        bit_depth: of images with more than 8 bits, as in :func:`ordlib.load_folder`.
        **options: further arguments of the model's ``predict``, such as ``batch_size``.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: no image can be read, or an argument is invalid.
        FloatingPointError: a number is NaN or infinite; the message names the image.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> from ordlib import load_component
        >>> folder = tempfile.mkdtemp()
        >>> Image.new("RGB", (96, 96), "navy").save(f"{folder}/a.png")
        >>> predictions = predict_files(load_component("numclip-counting"), folder)
        >>> predictions.table.columns.tolist()
        ['path', 'value', 'label', 'probability', 'low', 'high', 'ood_score']
    """
    predictor = FilePredictor(model, task, confidence_level, bit_depth, options)
    scan = find_images(paths)
    processor = predictor.processor()
    table = processor.run(scan.files)
    return predictor.result(
        table, scan.skipped | processor.errors, scan.ignored, processor.bit_depth
    )


class FilePredictor:
    """Arguments of `predict_files`, validated: what the parts of a folder are predicted with."""

    def __init__(
        self,
        model: "Predictor",
        task: str | None,
        confidence_level: float,
        bit_depth: int | None,
        options: dict[str, Any],
    ) -> None:
        check_confidence_level(confidence_level)
        check_batch_size(options.get("batch_size", 1))
        check_bit_depth(bit_depth)
        self.model, self.task = model, find_task(model, task)
        self.confidence_level, self.bit_depth, self.options = confidence_level, bit_depth, options

    def processor(self) -> FileProcessor:
        """Return a processor of files into rows of the table."""
        return FileProcessor(self.task, self._process, "predicting", self.bit_depth)

    def _process(self, data: ImageData) -> pd.DataFrame:
        if hasattr(self.model, "predict_with_ood"):
            prediction, ood_scores = self.model.predict_with_ood(data, **self.options)
        else:
            prediction, ood_scores = self.model.predict(data, **self.options), None
        return _table(self.model, self.task, prediction, ood_scores, self.confidence_level)

    def result(
        self, table: pd.DataFrame, skipped: dict[str, str], ignored: int, bit_depth: int | None
    ) -> FilePredictions:
        """Return the predictions of all files; ValueError if there are none."""
        table = table.reindex(columns=["path", *COLUMNS])
        if table.empty:
            lines = listed([f"{path!r} {reason}" for path, reason in skipped.items()])
            raise ValueError(f"paths: none of {len(skipped)} images can be read:{lines}")
        return FilePredictions(
            table=table,
            task=self.task.name,
            unit=self.task.unit,
            confidence_level=self.confidence_level,
            skipped=dict(sorted(skipped.items())),
            ignored=ignored,
            bit_depth=bit_depth,
            notes=tuple(_notes(self.model, self.task, table)),
        )


def find_task(model: "Predictor", name: str | None) -> OrdinalTask:
    """The model's task of that name, or its only one."""
    if isinstance(model, type) or not hasattr(model, "calibrations"):
        raise TypeError(
            f"model = {model!r:.80}: must be a trained model, as load_component returns"
        )
    tasks = getattr(model, "tasks", None) or {model.task.name: model.task}
    if name is None and len(tasks) == 1:
        return next(iter(tasks.values()))
    if name not in [*tasks]:
        raise ValueError(f"task = {name!r}: this model predicts {', '.join(tasks)}; name one")
    return tasks[name]


def _table(
    model: "Predictor",
    task: OrdinalTask,
    prediction: Prediction,
    ood_scores: np.ndarray | None,
    confidence_level: float,
) -> pd.DataFrame:
    ranks = task.rank_index(prediction.label)
    calibration = model.calibrations.get(task.name)
    table = pd.DataFrame({"value": prediction.value, "label": [*map(task.rank_label, ranks)]})
    if prediction.probabilities is not None:
        probabilities = prediction.probabilities
        probabilities = calibration.scale(probabilities) if calibration else probabilities
        table["probability"] = probabilities[np.arange(len(ranks)), ranks]
    if calibration:
        table[["low", "high"]] = model.intervals(prediction, confidence_level, task)
    if ood_scores is not None:
        table["ood_score"] = ood_scores
    return table


def _notes(model: "Predictor", task: OrdinalTask, table: pd.DataFrame) -> list[str]:
    """Why columns are empty."""
    notes, method = [], type(model).__name__
    if table["probability"].isna().all():
        notes.append(f"No probabilities: {method} predicts a value only.")
    if task.name not in model.calibrations:
        notes.append(
            "No intervals: the model is not calibrated. Training needs 200 validation images or "
            "more, half of them for the calibration; or call calibrate_intervals."
        )
    if table["ood_score"].isna().all():
        notes.append(f"No OOD scores: this {method} has no detector of unlike images.")
    return notes

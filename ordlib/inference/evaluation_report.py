"""Report on an evaluation: metrics, figures and the worst errors."""

import base64
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..data import ImageData
from ..metrics.evaluate import Evaluation
from ..utils.spreadsheet import csv_text
from ..utils.validation import escape_nonprintable
from .files import FileTable, write_text
from .page import write_page

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..methods.predictor import Predictor

NUM_WORST = 24
MAX_RANKS_NUMBERED = 12
COLUMNS = {"path": "file", "true": "true", "value": "predicted", "error": "error"}


def write_report(
    model: "Predictor", evaluation: Evaluation, data: ImageData, folder: str | os.PathLike
) -> Path:
    """Write ``metrics.csv``, ``predictions.csv`` and a page; return the path of the page.

    The page has the metrics, the confusion matrix, predicted against true values, the learning
    curve (if the component's card has one) and the images with the largest errors.
    """
    folder, history = Path(folder), _history(model)
    predictions = _table(evaluation, data)
    for name, table in (("metrics", evaluation.table()), ("predictions", predictions)):
        write_text(csv_text(table, index=name == "metrics"), folder / f"{name}.csv")
    worst = predictions.sort_values("error", ascending=False, kind="stable").head(NUM_WORST)
    title = f"{evaluation.name}: {len(data):,} images"
    result = _WorstErrors(
        table=worst, skipped={}, ignored=0, bit_depth=data.bit_depth, unit=evaluation.unit
    )
    html = evaluation.table().rename_axis(None).round(3).to_html(border=0)
    html += "".join(_figure(draw, alt) for draw, alt in _figures(evaluation, data, history))
    images = f'<div class="figures">{html}</div>'
    return write_page(result, folder / "report.html", title=title, columns=COLUMNS, images=images)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class _WorstErrors(FileTable):
    unit: str

    @property
    def title(self) -> str:
        count = f"{len(self)} image{'s'[: len(self) != 1]}"
        return f"Metrics with 95 % intervals; the {count} with the largest errors, in {self.unit}"


def _table(evaluation: Evaluation, data: ImageData) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "path": [str(image) for image in data.images],
            "true": evaluation.y_true,
            "value": evaluation.prediction.value,
            "label": [
                data.task.rank_label(i) for i in data.task.rank_index(evaluation.prediction.label)
            ],
        }
    )
    return table.assign(error=(table["value"] - table["true"]).abs())


def _history(model: "Predictor") -> pd.DataFrame | None:
    """Training history of the component's card, if it has one."""
    history = getattr(model, "card", {}).get("history")
    if not history:
        return None
    try:
        table = pd.DataFrame(history).astype({"epoch": int, "loss": float, "best": bool})
        monitors = table.columns.difference(["epoch", "loss", "best"])
        return table.astype({monitors[0]: float})
    except (ValueError, TypeError, LookupError) as error:
        raise ValueError(
            f"card.json: history is damaged ({error}); delete it, or train the component again"
        ) from error


def _figures(
    evaluation: Evaluation, data: ImageData, history: pd.DataFrame | None
) -> list[tuple[Callable, str]]:
    figures = [
        (lambda axes: _draw_confusion(axes, evaluation, data), "Confusion matrix of the ranks"),
        (lambda axes: _draw_predictions(axes, evaluation), "Predicted against true values"),
    ]
    if history is not None:
        figures.append((lambda axes: _draw_learning_curve(axes, history), "Learning curve"))
    return figures


def _draw_confusion(axes: "Axes", evaluation: Evaluation, data: ImageData) -> None:
    from sklearn.metrics import ConfusionMatrixDisplay

    task = data.task
    few = task.num_ranks <= MAX_RANKS_NUMBERED
    ConfusionMatrixDisplay.from_predictions(
        data.ranks,
        task.rank_index(evaluation.prediction.label),
        labels=np.arange(task.num_ranks),
        display_labels=[escape_nonprintable(task.rank_label(i)) for i in range(task.num_ranks)],
        include_values=few,
        xticks_rotation="horizontal" if few else "vertical",
        cmap="Blues",
        colorbar=not few,
        ax=axes,
    )
    axes.set(xlabel=f"predicted ({task.unit})", ylabel=f"true ({task.unit})")
    if not few:  # More would overlap.
        step = -(-task.num_ranks // MAX_RANKS_NUMBERED)
        for axis in (axes.xaxis, axes.yaxis):
            for i, label in enumerate(axis.get_ticklabels()):
                label.set_visible(i % step == 0)


def _draw_predictions(axes: "Axes", evaluation: Evaluation) -> None:
    from matplotlib.ticker import MaxNLocator
    from sklearn.metrics import PredictionErrorDisplay

    PredictionErrorDisplay.from_predictions(
        evaluation.y_true,
        evaluation.prediction.value,
        kind="actual_vs_predicted",
        subsample=None,
        scatter_kwargs={"alpha": 0.4, "s": 18},
        ax=axes,
    )
    for axis in (axes.xaxis, axes.yaxis):  # scikit-learn divides the range into four.
        axis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set(xlabel=f"predicted ({evaluation.unit})", ylabel=f"true ({evaluation.unit})")


def _draw_learning_curve(axes: "Axes", table: pd.DataFrame) -> None:
    monitor = next(name for name in table if name not in ("epoch", "loss", "best"))
    axes.plot(table["epoch"], table["loss"], color="0.55", label="training loss")
    twin = axes.twinx()
    twin.plot(table["epoch"], table[monitor], color="#0b6e99", label=f"validation {monitor}")
    best = table.loc[table["best"], "epoch"]
    if len(best):
        twin.axvline(best.iloc[-1], color="#9a5b00", linestyle=":", label="best epoch")
    axes.set(xlabel="epoch", ylabel="training loss")
    twin.set_ylabel(f"validation {monitor}")
    lines = [*axes.get_lines(), *twin.get_lines()]
    twin.legend(lines, [line.get_label() for line in lines], frameon=False)


def _figure(draw: Any, alt: str) -> str:
    """An ``img`` with a figure as a data URI."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    png = io.BytesIO()
    # A unit such as "$/m^2" is no formula.
    with rc_context({"text.parse_math": False}):
        # Not by pyplot, so that no window or backend is needed.
        figure = Figure(figsize=(4.6, 4.2), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        axes.set_title(alt, loc="left")
        figure.savefig(png, format="png", dpi=110)
    content = base64.b64encode(png.getvalue()).decode("ascii")
    return f'<img src="data:image/png;base64,{content}" alt="{alt}">'

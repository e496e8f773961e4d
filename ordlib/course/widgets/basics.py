"""Interactive figures of notebook 00: images by rank, simulated predictions and their metrics."""

from math import log10

import numpy as np
from ipywidgets import Dropdown, IntSlider, VBox
from matplotlib.axes import Axes

from ...data import ImageData
from ...metrics import compute_metrics
from ...metrics.ordinal_checks import check_1d_pair
from ...tasks import OrdinalTask
from ...utils.validation import check_choice
from ..plots import contact_sheet, predicted_against_true
from .controls import NAME_WIDTH, check_sets, interactive_figure, show_message, slider


def draw_rank(data: ImageData, rank: int) -> Axes:
    """Contact sheet of up to eight images of a rank (0 to M - 1), or a message without any."""
    check_choice("rank", rank, range(data.task.num_ranks))
    rows = np.flatnonzero(data.ranks == rank)[:8]
    label = data.task.rank_label(rank)
    if not len(rows):
        return show_message(f"{data.task.name}: no image is labelled {label}")
    ax = contact_sheet([data[i] for i in rows])
    ax.set_title(f"{data.task.name}: {label}", parse_math=False)
    return ax


def explore_datasets(datasets: dict[str, ImageData]) -> VBox:
    """Dataset browser: :func:`draw_rank` with a dataset menu and a rank slider."""
    check_sets("datasets", datasets, ImageData)
    menu = Dropdown(options=list(datasets), description="task", style=NAME_WIDTH)
    last_rank = datasets[menu.value].task.num_ranks - 1
    ranks = IntSlider(0, 0, last_rank, description="rank", style=NAME_WIDTH)

    def reset_rank(change: dict) -> None:
        ranks.value, ranks.max = 0, datasets[change["new"]].task.num_ranks - 1

    menu.observe(reset_rank, "value")

    def draw(task: str, rank: int) -> None:
        draw_rank(datasets[task], min(rank, datasets[task].task.num_ranks - 1))

    return interactive_figure(draw, {"task": menu, "rank": ranks})


def simulate_predictions(
    y_true: np.ndarray, task: OrdinalTask, bias: float, spread: float, hits: float
) -> np.ndarray:
    """Simulated predictions of ``(N,)`` values, deterministic and clipped to the task's range.

    A share ``hits`` (0 to 1) is exact; the misses have a mean error ``bias`` and a standard
    deviation ``spread``, both before clipping and in the task's unit.

    Example:
        >>> from ordlib.tasks import load_task
        >>> simulate_predictions(np.array([3.0, 18.0]), load_task("counting"), 5, 0, 0.0)
        array([ 8., 20.])
    """
    rng = np.random.default_rng(0)
    noise, is_hit = rng.normal(size=len(y_true)), rng.uniform(size=len(y_true)) < hits
    missed = np.clip(y_true + bias + spread * noise, *task.range)
    return np.where(is_hit, y_true, missed)


def draw_predictor(
    y_true: np.ndarray, task: OrdinalTask, bias: float, spread: float, hits: float
) -> Axes:
    """Scatter plot of :func:`simulate_predictions` with its metrics in the title."""
    y_pred = simulate_predictions(y_true, task, bias, spread, hits)
    ax = predicted_against_true(y_true, y_pred, task)
    metrics = compute_metrics(task, y_true, task.decode_values(y_pred))
    ax.set_title(
        f"MAE {metrics['mae']:.2f} {task.unit}   accuracy {metrics['accuracy']:.2f}\n"
        f"off by one {metrics['off_by_one']:.2f}   kappa {metrics['kappa']:.2f}   "
        f"Spearman {metrics['spearman']:.2f}",
        fontsize=11,
        parse_math=False,
    )
    return ax


def explore_predictor(y_true: np.ndarray, task: OrdinalTask) -> VBox:
    """:func:`draw_predictor` with sliders for bias, spread and exact hits."""
    if not isinstance(task, OrdinalTask):
        raise TypeError(f"task = {task!r:.80}: must be an OrdinalTask, as load_task returns")
    y_true, _ = check_1d_pair(y_true, y_true)
    half_range = (task.range[1] - task.range[0]) / 2
    # A power of ten, so that handles and readouts agree; 0 and the limits are whole steps.
    step = 10.0 ** round(log10(half_range / 40))
    limit = round(half_range / step) * step
    sliders = {
        "bias": slider("bias", 0.0, -limit, limit, step),
        "spread": slider("spread", 2.0, 0.0, limit, step),
        "hits": slider("exact hits", 0.3, 0.0, 1.0, 0.05),
    }
    return interactive_figure(lambda **state: draw_predictor(y_true, task, **state), sliders)

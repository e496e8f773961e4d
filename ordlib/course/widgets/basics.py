"""Explorers of notebook 00: pictures by rank, and what made-up predictors do to the metrics."""

import numpy as np
from ipywidgets import Dropdown, IntSlider, VBox
from matplotlib.axes import Axes

from ...data import ImageData
from ...metrics import compute_metrics
from ...tasks import OrdinalTask
from ..plots import contact_sheet, predicted_against_true
from .controls import NAME_WIDTH, explorer, say, slider


def draw_rank(data: ImageData, rank: int) -> Axes:
    """Draw up to eight pictures of one rank (0 to M - 1), or say that there are none."""
    found = np.flatnonzero(data.ranks == rank)[:8]
    name = data.task.rank_label(rank)
    if len(found):
        ax = contact_sheet([data[i] for i in found])
        ax.set_title(f"{data.task.name}: {name}")
        return ax
    return say(f"{data.task.name}: no picture is labelled {name}")


def explore_world(datasets: dict[str, ImageData]) -> VBox:
    """A menu of data sets, by their names, and a slider over ranks above :func:`draw_rank`."""
    names = list(datasets)
    menu = Dropdown(options=names, description="task", style=NAME_WIDTH)
    ranks = IntSlider(0, 0, datasets[names[0]].task.num_ranks - 1, description="rank")
    ranks.style = NAME_WIDTH

    def follow(change: dict) -> None:
        ranks.value, ranks.max = 0, datasets[change["new"]].task.num_ranks - 1

    menu.observe(follow, "value")

    def draw(task: str, rank: int) -> None:
        last = datasets[task].task.num_ranks - 1
        draw_rank(datasets[task], min(rank, last))

    return explorer(draw, {"task": menu, "rank": ranks})


def imperfect(
    truth: np.ndarray, task: OrdinalTask, bias: float, spread: float, hits: float
) -> np.ndarray:
    """Make up predictions with a known bias, spread and share of exact hits.

    Args:
        truth: ``(N,)`` values on the task's number line.
        task: its range clips the predictions.
        bias: added to every miss, in the task's unit.
        spread: standard deviation of the misses, in the task's unit, >= 0.
        hits: share of predictions that are exactly right, 0 to 1.

    Example:
        >>> from ordlib.tasks import load_task
        >>> imperfect(np.array([3.0, 18.0]), load_task("counting"), 5, 0, 0.0)
        array([ 8., 20.])
    """
    rng = np.random.default_rng(0)
    noise, lucky = rng.normal(size=len(truth)), rng.uniform(size=len(truth)) < hits
    missed = np.clip(truth + bias + spread * noise, *task.range)
    return np.where(lucky, truth, missed)


def draw_predictor(
    truth: np.ndarray, task: OrdinalTask, bias: float, spread: float, hits: float
) -> Axes:
    """Draw the predictions of :func:`imperfect`, with their metrics in the title."""
    predicted = imperfect(truth, task, bias, spread, hits)
    ax = predicted_against_true(truth, predicted, task)
    numbers = compute_metrics(task, truth, task.decode_values(predicted))
    ax.set_title(
        f"MAE {numbers['mae']:.2f} {task.unit}   accuracy {numbers['accuracy']:.2f}\n"
        f"off by one {numbers['off_by_one']:.2f}   kappa {numbers['kappa']:.2f}   "
        f"Spearman {numbers['spearman']:.2f}",
        fontsize=11,
    )
    return ax


def explore_predictor(truth: np.ndarray, task: OrdinalTask) -> VBox:
    """Sliders for bias, spread and exact hits above :func:`draw_predictor`."""
    reach = (task.range[1] - task.range[0]) / 2
    step = reach / 40
    sliders = {
        "bias": slider("bias", 0.0, -reach, reach, step),
        "spread": slider("spread", 2.0, 0.0, reach, step),
        "hits": slider("exact hits", 0.3, 0.0, 1.0, 0.05),
    }
    return explorer(lambda **state: draw_predictor(truth, task, **state), sliders)

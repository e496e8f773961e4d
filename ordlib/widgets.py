"""Explorers: a plain drawing function for each, and the same function behind sliders.

The drawing function comes first in a notebook, so that a reader on GitHub sees the default
state; the explorer then calls the very same function.
"""

import matplotlib.pyplot as plt
import numpy as np
from ipywidgets import (
    Dropdown,
    FloatSlider,
    HBox,
    IntSlider,
    Layout,
    VBox,
    interactive_output,
)
from matplotlib.axes import Axes

from .data import ImageData
from .metrics import score
from .plots import contact_sheet, predicted_against_true
from .tasks import OrdinalTask

# A fixed width for the names of sliders; ipywidgets 7 and 8 both cut longer ones off.
NAME_WIDTH = {"description_width": "9em"}


def imperfect(
    truth: np.ndarray, task: OrdinalTask, bias: float, spread: float, hits: float, seed: int = 0
) -> np.ndarray:
    """Make up predictions with a known bias, spread and share of exact hits.

    Args:
        truth: ``(N,)`` values on the task's number line.
        task: its range clips the predictions.
        bias: added to every miss, in the task's unit.
        spread: standard deviation of the misses, in the task's unit, >= 0.
        hits: share of predictions that are exactly right, 0 to 1.
        seed: of the noise.

    Returns:
        ``(N,)`` predicted values.

    Example:
        >>> from ordlib.tasks import load_task
        >>> imperfect(np.array([3.0, 18.0]), load_task("counting"), 5, 0, 0.0)
        array([ 8., 20.])
    """
    rng = np.random.default_rng(seed)
    noise, lucky = rng.normal(size=len(truth)), rng.uniform(size=len(truth)) < hits
    missed = np.clip(truth + bias + spread * noise, *task.range)
    return np.where(lucky, truth, missed)


def draw_predictor(
    truth: np.ndarray,
    task: OrdinalTask,
    bias: float = 0.0,
    spread: float = 2.0,
    hits: float = 0.3,
    ax: Axes | None = None,
) -> Axes:
    """Draw the predictions of :func:`imperfect` with their metrics in the title.

    Args:
        truth, task, bias, spread, hits: as in :func:`imperfect`.
        ax: where to draw; None makes a figure.

    Returns:
        The Axes.
    """
    predicted = imperfect(truth, task, bias, spread, hits)
    ax = predicted_against_true(truth, predicted, task, ax=ax)
    numbers = score(task, truth, task.read_values(predicted))
    ax.set_title(
        f"MAE {numbers['mae']:.2f} {task.unit}   accuracy {numbers['accuracy']:.2f}\n"
        f"off by one {numbers['off_by_one']:.2f}   kappa {numbers['kappa']:.2f}   "
        f"Spearman {numbers['spearman']:.2f}",
        fontsize=11,
    )
    return ax


def explore_predictor(truth: np.ndarray, task: OrdinalTask) -> VBox:
    """Put :func:`draw_predictor` behind three sliders.

    Args:
        truth: ``(N,)`` values on the task's number line.
        task: says what they mean.

    Returns:
        A widget: bias, spread and exact hits above the figure.
    """
    reach = (task.range[1] - task.range[0]) / 2
    step = reach / 40
    sliders = {
        "bias": _slider("bias", 0.0, -reach, reach, step),
        "spread": _slider("spread", 2.0, 0.0, reach, step),
        "hits": _slider("exact hits", 0.3, 0.0, 1.0, 0.05),
    }
    return _explorer(lambda **state: draw_predictor(truth, task, **state), sliders)


def draw_rank(data: ImageData, rank: int, most: int = 8, ax: Axes | None = None) -> Axes:
    """Draw pictures of one rank.

    Args:
        data: labelled pictures.
        rank: index of the rank, 0 to M - 1.
        most: number of pictures at most.
        ax: where to draw; None makes a figure.

    Returns:
        The Axes; it says so if the data hold no picture of that rank.
    """
    found = np.flatnonzero(data.ranks == rank)[:most]
    name = data.task.label_of(rank)
    if not len(found):
        ax = ax or plt.subplots(figsize=(6, 1))[1]
        ax.set_axis_off()
        ax.set_title(f"{data.task.name}: no picture is labelled {name}")
        return ax
    ax = contact_sheet([data[i] for i in found], columns=most, ax=ax)
    ax.set_title(f"{data.task.name}: {name}")
    return ax


def explore_world(datasets: dict[str, ImageData]) -> VBox:
    """Browse pictures by task and rank.

    Args:
        datasets: labelled pictures by the name to show.

    Returns:
        A widget: a menu of tasks and a slider over ranks above the pictures.
    """
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

    return _explorer(draw, {"task": menu, "rank": ranks})


def _slider(name: str, value: float, low: float, high: float, step: float) -> FloatSlider:
    return FloatSlider(
        value, min=low, max=high, step=step, description=name, style=NAME_WIDTH,
        continuous_update=False, layout=Layout(width="24em"),
    )  # fmt: skip


def _explorer(draw, controls: dict) -> VBox:
    """Join controls and a figure that is drawn anew at every change."""

    def show(**state: object) -> None:
        draw(**state)
        plt.show()

    return VBox([HBox(list(controls.values())), interactive_output(show, controls)])

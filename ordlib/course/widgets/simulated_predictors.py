"""Made-up predictors: what bias, spread and luck do to the metrics."""

import numpy as np
from ipywidgets import VBox
from matplotlib.axes import Axes

from ...metrics import score
from ...tasks import OrdinalTask
from ..plots import predicted_against_true
from .controls import explorer, slider


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
        "bias": slider("bias", 0.0, -reach, reach, step),
        "spread": slider("spread", 2.0, 0.0, reach, step),
        "hits": slider("exact hits", 0.3, 0.0, 1.0, 0.05),
    }
    return explorer(lambda **state: draw_predictor(truth, task, **state), sliders)

"""Interactive figure of notebook 05: what each method reaches in a given situation."""

from collections.abc import Mapping

import pandas as pd
from ipywidgets import Dropdown, Layout, SelectionSlider, VBox
from matplotlib.axes import Axes

from ...experiments.adapter_data import HELD_OUT_SPLIT
from ...experiments.grid import SHOTS, TASKS
from ...experiments.training_draws import WITHOUT_OBJECTS
from ...metrics import Interval
from ...tasks import load_task
from ..plots import METHOD_COLORS, interval_plot
from .controls import NAME_WIDTH, check_sets, interactive_figure

ALL = "all"
LABELS = (*map(str, SHOTS["counting"]), ALL)
# By need: the results table, and the rows of it with all labels.
NEEDS: Mapping[str, tuple[str, str]] = {
    "the value": ("methods", "image_encoder == 'frozen'"),
    "the value, encoder tuned": ("methods", "image_encoder == 'lora'"),
    "a question in words": ("ranking_adapter", "split == 'test' and prompts == 'seen'"),
    "30 % wrong labels": ("shift", "draw == '30 % wrong labels'"),
    "skewed labels": ("shift", "draw == 'half of the ranks keep 10 %'"),
    "unseen objects": (
        "unseen_objects",
        f"split == '{HELD_OUT_SPLIT}' and draw == '{WITHOUT_OBJECTS}'",
    ),
}
FEW_LABELS_NEED = "the value"
# Only these can be asked another question after training.
ASKED_IN_WORDS = ("zero-shot", "ranking adapter", "ranking adapter, one task")


def methods_for(
    tables: Mapping[str, pd.DataFrame], task: str, labels: str, need: str
) -> pd.DataFrame:
    """Mean absolute error of the methods in a situation, with intervals, the lowest first.

    Args:
        tables: results tables by name, of ``load_results``: that of the need, and "few_shot".
        task: one of ``TASKS``.
        labels: training labels per rank, one of ``LABELS``.
        need: one of ``NEEDS``.

    Returns:
        One row per method with the columns method, mae, mae_low and mae_high.

    Raises:
        ValueError: this situation is in no table.
    """
    table, query = NEEDS[need]
    if labels != ALL:
        if need != FEW_LABELS_NEED:
            raise ValueError(f"With few labels only {FEW_LABELS_NEED!r} was measured")
        table, query = "few_shot", f"shots == {labels}"
    rows = pd.DataFrame(tables[table].attrs["intervals"]).query(query)
    if need == "a question in words":
        rows = rows[rows["method"].isin(ASKED_IN_WORDS)]
    rows = rows[rows["task"] == task]
    if rows.empty:
        raise ValueError(f"Not measured: {task}, {labels} labels per rank, {need}")
    return rows.sort_values("mae")[["method", "mae", "mae_low", "mae_high"]]


def methods_figure(
    tables: Mapping[str, pd.DataFrame], task: str, labels: str = ALL, need: str = FEW_LABELS_NEED
) -> Axes:
    """Draw :func:`methods_for`, the method with the lowest error on top."""
    rows = methods_for(tables, task, labels, need).set_index("method")
    ax = interval_plot(
        {method: Interval(*values) for method, values in rows.iterrows()},
        f"mean absolute error ({load_task(task).unit})",
    )
    for label in ax.get_yticklabels():
        label.set_color(METHOD_COLORS.get(label.get_text(), "black"))
    # Zero is far from all errors.
    ax.set_xlim(0.9 * rows["mae_low"].min(), 1.05 * rows["mae_high"].max())
    amount = "all labels" if labels == ALL else f"{labels} labels per rank"
    ax.set_title(f"{task}, {amount}" + f": {need}" * (need != FEW_LABELS_NEED))
    return ax


def explore_methods(tables: Mapping[str, pd.DataFrame]) -> VBox:
    """:func:`methods_figure` with a menu of tasks, of needs, and a slider for the labels.

    The menu has the needs whose table is among ``tables``.
    """
    check_sets("tables", tables, pd.DataFrame)
    needs = [need for need, (table, _) in NEEDS.items() if table in tables]

    def draw(task: str, labels: str, need: str) -> None:
        methods_figure(tables, task, labels, need)

    return interactive_figure(draw, {
        "task": Dropdown(options=TASKS, description="task", style=NAME_WIDTH),
        "labels": SelectionSlider(options=LABELS, value=ALL, description="labels per rank",
                                  style=NAME_WIDTH, continuous_update=False),
        "need": Dropdown(options=needs, description="needed", style=NAME_WIDTH,
                         layout=Layout(width="27em")),
    })  # fmt: skip

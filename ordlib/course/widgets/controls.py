"""Widget helpers: sliders, figures redrawn on every change, messages in place of figures."""

from collections.abc import Callable
from textwrap import fill

import matplotlib.pyplot as plt
from ipywidgets import FloatSlider, HBox, Layout, VBox, Widget, interactive_output
from matplotlib.axes import Axes

# Fixed width of widget descriptions; ipywidgets truncates longer ones.
NAME_WIDTH = {"description_width": "9em"}


def slider(name: str, value: float, low: float, high: float, step: float) -> FloatSlider:
    """Slider that updates on release."""
    return FloatSlider(
        value, min=low, max=high, step=step, description=name, style=NAME_WIDTH,
        continuous_update=False, layout=Layout(width="24em"),
    )  # fmt: skip


def interactive_figure(draw: Callable[..., object], controls: dict[str, Widget]) -> VBox:
    """Row of controls above a figure that is redrawn whenever one of them changes.

    ``draw`` is called with the value of each control by name; a ValueError is shown as a message.
    """

    def show(**state: object) -> None:
        try:
            draw(**state)
        except ValueError as error:
            show_message(str(error))
        plt.show()

    return VBox([HBox(list(controls.values())), interactive_output(show, controls)])


def show_message(message: str) -> Axes:
    """Draw a message in place of a figure; more than 300 characters are abbreviated."""
    if len(message) > 300:
        message = f"{message[:100]} ... {message[-190:]}"
    ax = plt.subplots(figsize=(8, 0.2))[1]
    ax.set_axis_off()
    ax.set_title(fill(message, 90), fontsize=11, parse_math=False)
    return ax

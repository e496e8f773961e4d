"""What explorers are put together from: sliders, a sentence, a figure drawn anew."""

from collections.abc import Callable
from textwrap import fill

import matplotlib.pyplot as plt
from ipywidgets import FloatSlider, HBox, Layout, VBox, Widget, interactive_output
from matplotlib.axes import Axes

# A fixed width for the names of sliders; ipywidgets 7 and 8 both cut longer ones off.
NAME_WIDTH = {"description_width": "9em"}


def slider(name: str, value: float, low: float, high: float, step: float) -> FloatSlider:
    """Return a slider that reports when it is let go."""
    return FloatSlider(
        value, min=low, max=high, step=step, description=name, style=NAME_WIDTH,
        continuous_update=False, layout=Layout(width="24em"),
    )  # fmt: skip


def explorer(draw: Callable[..., object], controls: dict[str, Widget]) -> VBox:
    """Join controls and a figure that is drawn anew at every change."""

    def show(**state: object) -> None:
        draw(**state)
        plt.show()

    return VBox([HBox(list(controls.values())), interactive_output(show, controls)])


def say(message: str) -> Axes:
    """Draw a sentence instead of a figure; a pasted page is cut in the middle."""
    if len(message) > 300:
        message = f"{message[:100]} ... {message[-190:]}"
    ax = plt.subplots(figsize=(8, 0.2))[1]
    ax.set_axis_off()
    ax.set_title(fill(message, 90), fontsize=11, parse_math=False)
    return ax

"""Widget helpers: sliders, figures redrawn on every change, choices, messages."""

import io
from collections.abc import Callable
from math import floor, log10
from textwrap import fill

import matplotlib.pyplot as plt
from IPython.display import display
from ipywidgets import FloatSlider, HBox, Image, Layout, RadioButtons, VBox, Widget
from matplotlib.axes import Axes

# Fixed width of widget descriptions; ipywidgets truncates longer ones.
NAME_WIDTH = {"description_width": "9em"}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def slider(name: str, value: float, low: float, high: float, step: float) -> FloatSlider:
    """Slider that updates on release; whole steps are read without decimals."""
    decimals = max(0, -floor(log10(step)))
    return FloatSlider(
        value, min=low, max=high, step=step, description=name, style=NAME_WIDTH,
        continuous_update=False, readout_format=f".{decimals}f", layout=Layout(width="24em"),
    )  # fmt: skip


def interactive_figure(draw: Callable[..., object], controls: dict[str, Widget]) -> VBox:
    """Row of controls above a figure that is redrawn whenever one of them changes.

    ``draw`` is called with the value of each control by name; a ValueError is shown as a message.
    The figure is an image and not an output area: nbclient replies to output areas while a cell
    runs, and then may wait for that cell forever (nbclient#312).
    """
    image = Image(format="png", layout=Layout(max_width="100%"))

    def show(_: object = None) -> None:
        try:
            draw(**{name: control.value for name, control in controls.items()})
        except ValueError as error:
            show_message(str(error))
        figure, buffer = plt.gcf(), io.BytesIO()
        figure.savefig(buffer, dpi=2 * figure.dpi)
        image.width = figure.get_figwidth() * figure.dpi
        image.value = buffer.getvalue()
        plt.close(figure)

    for control in controls.values():
        control.observe(show, "value")
        control.tooltip = control.description  # sliders of ipywidgets 8 would show "null"
    show()
    return VBox([HBox(list(controls.values())), image])


def check_sets(name: str, sets: object, kind: type) -> None:
    """Validate the dict that a menu shows; TypeError if it is empty or none of a kind by name."""
    is_dict = isinstance(sets, dict) and bool(sets)
    if not is_dict or not all(isinstance(value, kind) for value in sets.values()):
        raise TypeError(f"{name} = {sets!r:.80}: must be a dict of {kind.__name__}s by name")


def choose(*options: str) -> None:
    """Show options of which the reader chooses one; a plain line where there are no widgets.

    Example:
        >>> choose("the regressor", "the adapter")  # doctest: +SKIP
        Your choice: ○ the regressor ○ the adapter
    """
    buttons = RadioButtons(options=options, index=None, layout=Layout(width="max-content"))
    line = "Your choice: " + " ".join(f"○ {option}" for option in options)
    # Made here, because the widgets of ipywidgets 7 (Colab) display themselves, without text.
    view = {"version_major": 2, "version_minor": 0, "model_id": buttons.model_id}
    bundle = {"text/plain": line, "text/markdown": line, WIDGET_VIEW: view}
    display(bundle, raw=True)


def show_message(message: str) -> Axes:
    """Draw a message in place of a figure; more than 300 characters are abbreviated."""
    if len(message) > 300:
        message = f"{message[:100]} ... {message[-190:]}"
    ax = plt.subplots(figsize=(8, 0.2))[1]
    ax.set_axis_off()
    ax.set_title(fill(message, 90), fontsize=11, parse_math=False)
    return ax

"""Sliders, interactive figures without output areas, and choices."""

import io
from unittest.mock import patch

import matplotlib.pyplot as plt
import pytest
from figures import no_figures
from ipywidgets import IntSlider, Output, Widget
from PIL import Image

from ordlib.course.widgets import choose, controls
from ordlib.course.widgets.controls import interactive_figure, slider


def test_interactive_figure_is_an_image_of_the_figure():
    """nbclient replies to output areas while a cell runs, and may then wait forever."""
    drawn = []

    def draw(size):
        drawn.append(size)
        plt.subplots(figsize=(size, 1))

    before = set(Widget.widgets.values()) if hasattr(Widget, "widgets") else set()
    box = interactive_figure(draw, {"size": IntSlider(4, 1, 9, description="size")})
    after = set(Widget.widgets.values()) if hasattr(Widget, "widgets") else set()
    assert not any(isinstance(widget, Output) for widget in after - before)
    control, image = box.children[0].children[0], box.children[1]
    narrow = Image.open(io.BytesIO(image.value))
    control.value = 8
    wide = Image.open(io.BytesIO(image.value))
    assert drawn == [4, 8]
    assert control.tooltip == control.description
    assert wide.width > narrow.width > 100
    assert no_figures()


def test_interactive_figure_shows_errors():
    def draw(size):
        raise ValueError(f"size = {size}")

    with patch.object(controls, "show_message", wraps=controls.show_message) as shown:
        interactive_figure(draw, {"size": IntSlider(4, 1, 9)})
    assert [call.args for call in shown.call_args_list] == [("size = 4",)]


@pytest.mark.parametrize(("step", "readout"), [(1, ".0f"), (0.5, ".1f"), (0.05, ".2f")])
def test_slider_reads_its_steps(step, readout):
    assert slider("edge", 2, 0, 9, step).readout_format == readout


def test_choose_shows_a_plain_line_where_there_are_no_widgets():
    with patch.object(controls, "display") as display:
        choose("a", "b")
    (bundle,) = display.call_args.args
    assert display.call_args.kwargs == {"raw": True}
    assert bundle["text/markdown"] == bundle["text/plain"] == "Your choice: ○ a ○ b"
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_choose_works_without_a_method_that_ipywidgets_7_lacks(monkeypatch):
    monkeypatch.delattr(Widget, "_repr_mimebundle_", raising=False)
    buttons = controls.RadioButtons(options=["a", "b"])
    monkeypatch.setattr(controls, "RadioButtons", lambda **options: buttons)
    with patch.object(controls, "display") as display:
        choose("a", "b")
    view = {"version_major": 2, "version_minor": 0, "model_id": buttons.model_id}
    assert display.call_args.args[0]["application/vnd.jupyter.widget-view+json"] == view

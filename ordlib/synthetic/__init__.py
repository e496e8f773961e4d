"""The rendered world: four tasks, drawn on the spot, the same on every machine."""

from .rendering import SPLIT_SIZES, TASKS, Rendered, render, render_many, render_split
from .sample import Picture

__all__ = ["SPLIT_SIZES", "TASKS", "Picture", "Rendered", "render", "render_many", "render_split"]

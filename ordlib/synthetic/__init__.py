"""The rendered world: four tasks, drawn on the spot, the same on every machine."""

from .rendering import SPLIT_SIZES, TASKS, RenderedSplit, render, render_many, render_split
from .sample import Sample

__all__ = [
    "SPLIT_SIZES",
    "TASKS",
    "RenderedSplit",
    "Sample",
    "render",
    "render_many",
    "render_split",
]

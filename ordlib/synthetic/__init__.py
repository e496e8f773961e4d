"""Synthetic image datasets for four ordinal tasks, deterministic on every machine."""

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

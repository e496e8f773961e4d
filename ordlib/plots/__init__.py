"""Figures of the course: each function draws on one Axes and returns it."""

from .doses import dose_response
from .labels import label_histogram
from .pictures import contact_sheet
from .predictions import confusion, per_rank_accuracy, predicted_against_true
from .style import METHOD_COLOURS, PALETTE, theme
from .texts import similarity

__all__ = [
    "METHOD_COLOURS",
    "PALETTE",
    "confusion",
    "contact_sheet",
    "dose_response",
    "label_histogram",
    "per_rank_accuracy",
    "predicted_against_true",
    "similarity",
    "theme",
]

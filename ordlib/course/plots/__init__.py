"""Figures of the course: each function draws on one Axes and returns it."""

from .comparisons import methods_figure
from .costs import cost_plot
from .doses import dose_response
from .heat import attention_maps
from .labels import label_histogram
from .maps import rank_map
from .pictures import contact_sheet
from .predictions import confusion, per_rank_accuracy, predicted_against_true
from .shots import few_shot_curve
from .strips import rank_strip
from .style import METHOD_COLOURS, PALETTE, theme
from .texts import similarity
from .weights import ranking_matrix

__all__ = [
    "METHOD_COLOURS",
    "PALETTE",
    "attention_maps",
    "confusion",
    "contact_sheet",
    "cost_plot",
    "dose_response",
    "few_shot_curve",
    "label_histogram",
    "methods_figure",
    "per_rank_accuracy",
    "predicted_against_true",
    "rank_map",
    "rank_strip",
    "ranking_matrix",
    "similarity",
    "theme",
]

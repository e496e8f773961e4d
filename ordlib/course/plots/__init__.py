"""Figures of the course.

Each function draws on the Axes that it is given, or else on a figure of its own, and returns the
Axes.
"""

from .comparisons import cost_plot, few_shot_curve, methods_figure
from .doses import dose_response
from .pictures import contact_sheet, occlusion_maps, rank_strip
from .predictions import confusion, label_histogram, per_rank_accuracy, predicted_against_true
from .style import METHOD_COLOURS, PALETTE, theme
from .words import rank_map, ranking_matrix, similarity

__all__ = [
    "METHOD_COLOURS",
    "PALETTE",
    "confusion",
    "contact_sheet",
    "cost_plot",
    "dose_response",
    "few_shot_curve",
    "label_histogram",
    "methods_figure",
    "occlusion_maps",
    "per_rank_accuracy",
    "predicted_against_true",
    "rank_map",
    "rank_strip",
    "ranking_matrix",
    "similarity",
    "theme",
]

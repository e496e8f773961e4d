"""Figures of the course.

Each function draws on the Axes that it is given, or else on a figure of its own, and returns the
Axes.
"""

from .comparisons import few_shot_curve, method_comparison, scaling_plot
from .doses import dose_response
from .pictures import contact_sheet, occlusion_maps, ranking_strip
from .predictions import confusion, label_histogram, per_rank_accuracy, predicted_against_true
from .style import METHOD_COLOURS, PALETTE, theme
from .words import fcrc_weight_heatmap, rank_embedding_map, similarity

__all__ = [
    "METHOD_COLOURS",
    "PALETTE",
    "confusion",
    "contact_sheet",
    "dose_response",
    "fcrc_weight_heatmap",
    "few_shot_curve",
    "label_histogram",
    "method_comparison",
    "occlusion_maps",
    "per_rank_accuracy",
    "predicted_against_true",
    "rank_embedding_map",
    "ranking_strip",
    "scaling_plot",
    "similarity",
    "theme",
]

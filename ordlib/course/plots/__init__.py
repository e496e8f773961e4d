"""Figures of the course: each function draws on one Axes and returns it."""

from .comparisons import methods_figure
from .dose_response import dose_response
from .embedding_map import rank_map
from .fcrc_weights import ranking_matrix
from .few_shot import few_shot_curve
from .label_histogram import label_histogram
from .patch_maps import attention_maps
from .pictures import contact_sheet
from .predictions import confusion, per_rank_accuracy, predicted_against_true
from .ranked_strip import rank_strip
from .scaling import cost_plot
from .similarity import similarity
from .style import METHOD_COLOURS, PALETTE, theme

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

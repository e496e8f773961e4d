"""Figures of the course.

Each function draws on the given Axes, or on a new figure, and returns the Axes. Arguments that do
not fit their description raise a ValueError.
"""

from .comparisons import few_shot_curve, interval_plot, method_comparison, scaling_plot
from .decisions import decision_tree, grouped_intervals, verdict_legend, verdict_matrix
from .diagrams import method_diagram
from .dose_response import dose_response
from .embeddings import fcrc_weight_heatmap, rank_embedding_map, similarity_heatmap
from .images import contact_sheet, occlusion_maps, ranking_strip
from .predictions import confusion, label_histogram, per_rank_accuracy, predicted_against_true
from .style import METHOD_COLORS, PALETTE, set_theme

__all__ = [
    "METHOD_COLORS", "PALETTE", "confusion", "contact_sheet", "decision_tree", "dose_response",
    "fcrc_weight_heatmap", "few_shot_curve", "grouped_intervals", "interval_plot",
    "label_histogram", "method_comparison", "method_diagram", "occlusion_maps",
    "per_rank_accuracy", "predicted_against_true", "rank_embedding_map", "ranking_strip",
    "scaling_plot", "set_theme", "similarity_heatmap", "verdict_legend", "verdict_matrix",
]  # fmt: skip

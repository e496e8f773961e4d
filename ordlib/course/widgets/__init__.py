"""Interactive figures: a plain drawing function for each, and the same function behind widgets.

Notebooks call the drawing function first, so that GitHub shows the default state. Arguments that
do not fit their description raise a ValueError.
"""

from .basics import (
    draw_predictor,
    draw_rank,
    explore_datasets,
    explore_predictor,
    simulate_predictions,
)
from .choices import explore_methods, methods_figure, methods_for
from .controls import choose
from .errors import errors_figure, explore_errors
from .methods import bins_figure, blend_figure, explore_bins, explore_blend
from .orders import closest_first, draw_ordered, explore_prompt, explore_ranking, ranking_figure

__all__ = [
    "bins_figure", "blend_figure", "choose", "closest_first", "draw_ordered", "draw_predictor",
    "draw_rank", "errors_figure", "explore_bins", "explore_blend", "explore_datasets",
    "explore_errors", "explore_methods", "explore_predictor", "explore_prompt",
    "explore_ranking", "methods_figure", "methods_for", "ranking_figure", "simulate_predictions",
]  # fmt: skip

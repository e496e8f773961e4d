"""Explorers: a plain drawing function for each, and the same function behind sliders.

The drawing function comes first in a notebook, so that a reader on GitHub sees the default
state; the explorer then calls the very same function.
"""

from .basics import draw_predictor, draw_rank, explore_predictor, explore_world, imperfect
from .methods import bins_figure, blend_figure, explore_bins, explore_blend
from .orders import closest_first, draw_ordered, explore_prompt, explore_ranking, ranking_figure

__all__ = [
    "bins_figure",
    "blend_figure",
    "closest_first",
    "draw_ordered",
    "draw_predictor",
    "draw_rank",
    "explore_bins",
    "explore_blend",
    "explore_predictor",
    "explore_prompt",
    "explore_ranking",
    "explore_world",
    "imperfect",
    "ranking_figure",
]

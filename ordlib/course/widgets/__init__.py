"""Explorers: a plain drawing function for each, and the same function behind sliders.

The drawing function comes first in a notebook, so that a reader on GitHub sees the default
state; the explorer then calls the very same function.
"""

from .bins import bins_figure, explore_bins
from .dataset_browser import draw_rank, explore_world
from .prompts import closest_first, draw_ordered, explore_prompt
from .rankformer_blend import blend_figure, explore_blend
from .rankings import explore_ranking, ranking_figure
from .simulated_predictors import draw_predictor, explore_predictor, imperfect

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

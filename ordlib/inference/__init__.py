"""Image folders: rank them by a text prompt, or predict them."""

from .predict import FilePredictions, predict_files
from .rank import rank
from .result import Ranking

__all__ = ["FilePredictions", "Ranking", "predict_files", "rank"]

"""Rank a folder of images by a text prompt."""

from .rank import rank
from .result import Ranking

__all__ = ["Ranking", "rank"]

"""Folders of pictures, put in order by a sentence."""

from .rank import rank
from .result import Ranking

__all__ = ["Ranking", "rank"]

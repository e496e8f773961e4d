"""Folders of pictures, put in order by a sentence."""

from .ordering import rank
from .result import Ranking

__all__ = ["Ranking", "rank"]

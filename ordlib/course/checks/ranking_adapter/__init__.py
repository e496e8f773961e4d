"""Checks of notebook 04."""

from .batches import rank_batch
from .pairs import antisymmetry, shortcut, ties

__all__ = ["antisymmetry", "rank_batch", "shortcut", "ties"]

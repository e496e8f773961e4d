"""The data sets of the papers, with their published splits: `load_published`."""

from .check import check_published
from .load import PublishedSplits, list_published, load_published

__all__ = ["PublishedSplits", "check_published", "list_published", "load_published"]

"""The ranking-aware adapter (Yu et al., 2025): images in order by any of its sentences."""

from .model import RankingAdapter, RankingAdapterConfig

__all__ = ["RankingAdapter", "RankingAdapterConfig"]
